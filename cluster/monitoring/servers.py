"""Prometheus and Grafana on this machine: what they read, how they are started and ended. Both bind to loopback."""

import configparser
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster.monitoring.api import Prometheus, PrometheusError
from cluster.monitoring.generate import DASHBOARDS, RULES
from cluster.monitoring.panels import TRAINING
from cluster.monitoring.prometheus import configuration

LOOPBACK = "127.0.0.1"
GRAFANA_HOMES = ("/usr/share/grafana", "/usr/local/share/grafana", "/opt/grafana")
RAYS_DASHBOARDS = "/tmp/ray/session_latest/metrics/grafana/dashboards"  # noqa: S108  # where Ray writes them


class ServerFailed(RuntimeError):
    """A server that did not start; the message holds the end of its log."""


def write_prometheus(
    directory: Path, *, targets: Path | None = None, dashboard: str | None = None, token: Path | None = None
) -> Path:
    """Write Prometheus' configuration to a directory; returns the file."""
    path = directory / "prometheus.yml"
    content = configuration(rules=RULES, targets=targets, dashboard=dashboard, token=token)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def write_grafana(directory: Path, port: int, prometheus_url: str) -> Path:
    """Write Grafana's configuration, its data source and where its dashboards are; returns `grafana.ini`.

    Whoever reaches the port may look: it is open on this machine only.
    """
    home = directory / "grafana"
    for part in ("datasources", "dashboards"):
        (home / "provisioning" / part).mkdir(parents=True, exist_ok=True)
    source: dict[str, Any] = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus_url,
    }
    source |= {"isDefault": True, "jsonData": {"timeInterval": "10s"}}
    providers = [
        {"name": name, "folder": folder, "type": "file", "options": {"path": path}}
        for name, folder, path in (("training", "", str(DASHBOARDS)), ("ray", "Ray", RAYS_DASHBOARDS))
        if Path(path).is_dir()
    ]
    for part, content in (("datasources", {"datasources": [source]}), ("dashboards", {"providers": providers})):
        file = home / "provisioning" / part / "default.yml"
        file.write_text(yaml.safe_dump({"apiVersion": 1, **content}, sort_keys=False), encoding="utf-8")
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_dict(
        {
            "paths": {"data": str(home / "data"), "provisioning": str(home / "provisioning")},
            "server": {"http_addr": LOOPBACK, "http_port": str(port)},
            "auth.anonymous": {"enabled": "true", "org_role": "Viewer"},
            "analytics": {"reporting_enabled": "false", "check_for_updates": "false"},
            "dashboards": {"default_home_dashboard_path": str(DASHBOARDS / f"{TRAINING}.json")},
        }
    )
    path = home / "grafana.ini"
    with path.open("w", encoding="utf-8") as output:
        settings.write(output)
    return path


@contextlib.contextmanager
def prometheus(program: str, configuration_file: Path, port: int, retention: str) -> Iterator[Prometheus]:
    """Run Prometheus; yield it once it answers.

    Raises:
        ServerFailed: where it ends or does not answer.
    """
    directory = configuration_file.parent
    command = [
        program,
        f"--config.file={configuration_file}",
        f"--storage.tsdb.path={directory / 'prometheus-data'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with _running(command, directory / "prometheus.log") as process:
        server = Prometheus(f"http://{LOOPBACK}:{port}")
        try:
            server.wait_until_ready(ended=lambda: process.poll() is not None)
            # Where another one answers at this port, it answers before this one has found out.
            time.sleep(0.5)
            server.wait_until_ready(ended=lambda: process.poll() is not None)
        except PrometheusError as error:
            raise ServerFailed(_why(error, directory / "prometheus.log", port)) from None
        yield server


def grafana_command(ini: Path) -> list[str] | None:
    """Return the command that starts the installed Grafana, or None where there is none."""
    home = next((path for path in GRAFANA_HOMES if Path(path, "conf", "defaults.ini").exists()), None)
    arguments = [f"--config={ini}", *([f"--homepath={home}"] if home else [])]
    if program := shutil.which("grafana"):
        return [program, "server", *arguments]
    return [program, *arguments] if (program := shutil.which("grafana-server")) else None


@contextlib.contextmanager
def grafana(command: list[str], log: Path) -> Iterator[None]:
    """Run Grafana."""
    with _running(command, log):
        yield


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _why(error: PrometheusError, log: Path, port: int) -> str:
    end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    if "address already in use" in end:
        return f"port {port} is taken, maybe by another Prometheus: choose one by --port"
    return f"{error}\n{end}"
