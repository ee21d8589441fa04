"""`python -m cluster.monitoring`: watch the trainings of a Ray cluster with Prometheus and Grafana."""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

EPILOG = """\
examples:
  python -m cluster.monitoring
      watch every Ray on this machine, also those that `python -m aligngan.train` starts for itself
  python -m cluster.monitoring --address 10.0.0.1:6379
      watch one cluster whose ports this machine reaches
  python -m cluster.monitoring --dashboard http://10.0.0.1:8265 --token ~/.ray/auth_token
      the same, by the list of nodes that the cluster's dashboard keeps
  python -m cluster.monitoring --write-only --directory /etc/mine
      write the configuration for a Prometheus and a Grafana that run elsewhere

Prometheus is needed (Debian: apt install prometheus); Grafana is started where it is installed. docs/metrics.md says
what there is to see, docs/runbook.md what to do when an alert fires.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m cluster.monitoring",
        description="Write the configuration of Prometheus and Grafana, and run them until Ctrl-C. Both listen on "
        "127.0.0.1 only.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = arguments.add_mutually_exclusive_group()
    which.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster, as in RAY_ADDRESS (default: all here)")
    which.add_argument("--dashboard", metavar="URL", help="a Ray dashboard that lists its cluster's nodes")
    arguments.add_argument("--token", metavar="FILE", type=Path, help="Ray's authentication token for --dashboard")
    arguments.add_argument(
        "--directory",
        metavar="DIR",
        type=Path,
        default=Path("runs/.monitoring"),
        help="where configuration and data are kept (default: runs/.monitoring)",
    )
    arguments.add_argument("--port", type=int, default=9090, help="Prometheus' port (default: 9090)")
    arguments.add_argument("--grafana-port", type=int, default=3000, help="Grafana's port (default: 3000)")
    arguments.add_argument("--retention", default="30d", help="how long Prometheus keeps data (default: 30d)")
    arguments.add_argument("--write-only", action="store_true", help="write the configuration and start nothing")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 ended by a signal or nothing to start, 1 Prometheus is missing."""
    arguments = parser().parse_args(argv)
    # A cluster that ended, or one behind another network, is no news.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    from cluster.monitoring import servers
    from cluster.monitoring.discovery import SECONDS, Discovery, is_reachable

    directory: Path = arguments.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    targets = None if arguments.dashboard else directory / "targets.json"
    token = None if arguments.token is None else arguments.token.expanduser().absolute()
    configuration = servers.write_prometheus(directory, targets=targets, dashboard=arguments.dashboard, token=token)
    url = f"http://{servers.LOOPBACK}:{arguments.port}"
    ini = servers.write_grafana(directory, arguments.grafana_port, url)
    print(f"configuration: {configuration}\n               {ini}")
    if arguments.write_only:
        if targets is not None:
            Discovery(targets, arguments.address).write()
        return 0
    program = shutil.which("prometheus")
    if program is None:
        print("Prometheus is not installed: apt install prometheus, or put its binary on PATH", file=sys.stderr)
        return 1
    try:
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(_until_signal())
            if targets is not None:
                stack.enter_context(Discovery(targets, arguments.address))
            stack.enter_context(servers.prometheus(program, configuration, arguments.port, arguments.retention))
            print(f"Prometheus:    {url}  (alerts: {url}/alerts)")
            if arguments.address and not is_reachable(arguments.address):
                print(f"Ray:           nothing answers at {arguments.address}; it is tried again every {SECONDS:g} s")
            command = servers.grafana_command(ini)
            if command is None:
                print("Grafana:       not installed; dashboards to import are in", servers.DASHBOARDS)
            else:
                stack.enter_context(servers.grafana(command, directory / "grafana.log"))
                print(f"Grafana:       http://{servers.LOOPBACK}:{arguments.grafana_port}")
            print("Ctrl-C ends it", flush=True)
            stop.wait()
    except servers.ServerFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _until_signal() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
