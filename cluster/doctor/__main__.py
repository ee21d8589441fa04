"""`python -m cluster.doctor`: would a training run on this cluster, and what would hurt it?"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.config import RunSettings

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.doctor.examination import Examination

EPILOG = """\
Examines the cluster that RAY_ADDRESS names, as under `ray job submit`, or this machine alone.

examples:
  python -m cluster.doctor
      this machine, runs kept in ./runs
  ray job submit -- python -m cluster.doctor --storage /shared/runs --workers 8 --gpu yes
      a cluster, before a training of eight workers with a GPU each

exit status: 0 a training would run, 1 it would fail, 2 the command line is wrong
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    defaults = RunSettings()
    arguments = argparse.ArgumentParser(
        prog="python -m cluster.doctor",
        description="Examine every node of a Ray cluster: resources, versions, storage, clocks, links and free space.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--storage", default=defaults.storage, help="run.storage of the training (%(default)s)")
    arguments.add_argument("--workers", type=int, default=defaults.workers, help="run.workers (%(default)s)")
    arguments.add_argument(
        "--cpus-per-worker", type=float, default=defaults.cpus_per_worker, help="run.cpus_per_worker (%(default)s)"
    )
    arguments.add_argument("--autoscaler", action="store_true", help="run.autoscaler: nodes are added where they lack")
    arguments.add_argument("--gpu", choices=("auto", "yes", "no"), default=defaults.gpu, help="run.gpu (%(default)s)")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = parser().parse_args(argv)
    run = RunSettings(
        storage=given.storage,
        workers=given.workers,
        cpus_per_worker=given.cpus_per_worker,
        autoscaler=given.autoscaler,
        gpu=given.gpu,
    )

    from rich.console import Console

    from cluster.connection import connect
    from cluster.doctor.examination import examine
    from cluster.doctor.findings import findings
    from cluster.errors import ClusterError

    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        with connect(run):
            found = examine(run)
    except ClusterError as error:
        print(f"no cluster to examine: {error}", file=sys.stderr)
        return 1
    for table in (_nodes(found), _versions(found), _exchange(found)):
        console.print(table)
    wrong = findings(found)
    for finding in wrong:
        label = "[red]would fail[/]" if finding.fails else "[yellow]will hurt[/]"
        console.print(f"{label}: ", finding.text, sep="", highlight=False, soft_wrap=True)
    fails = any(finding.fails for finding in wrong)
    console.print("a training would fail here" if fails else "a training would run here", highlight=False)
    return 1 if fails else 0


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table


def _nodes(found: "Examination") -> "Table":
    from cluster.doctor.findings import size

    table = _table("Nodes", "node", "role", "CPUs", "GPUs", "memory available", "temporary disk", "shared memory")
    for node in found.nodes:
        facts = node.facts
        free = (size(facts[key]) for key in ("memory_available", "disk_free", "shared_memory_free")) if facts else ()
        role = "head" if node.head else "worker"
        cpus, gpus = (f"{node.resources.get(kind, 0):g}" for kind in ("CPU", "GPU"))
        names = f" {facts['gpus'][0]}" if facts and facts["gpus"] else ""
        table.add_row(node.name, role, cpus, gpus + names, *free)
    return table


def _versions(found: "Examination") -> "Table":
    nodes = [node for node in found.nodes if node.facts]
    packages = list(nodes[0].facts["versions"]) if nodes else []
    table = _table("Versions", "node", *packages)
    for node in nodes:
        table.add_row(node.name, *(node.facts["versions"][package] for package in packages))
    return table


def _exchange(found: "Examination") -> "Table":
    from cluster.doctor.findings import size

    title = f"Storage {found.storage}, clocks, and tensors over {found.backend}"
    table = _table(title, "node", "sees storage", "writes it", "clock", "all-reduce", "to the next node")
    for node in found.nodes:
        if not node.facts:
            continue
        storage, links = node.storage, node.links
        writes = f"{size(storage['bytes_per_second'])}/s" if storage["writes"] else "no"
        clock = f"{node.skew * 1e3:+.1f} ms (+-{node.skew_uncertainty * 1e3:.1f})"
        speeds = (f"{size(links[key])}/s" for key in ("reduced", "to_next")) if links else ("-", "-")
        table.add_row(node.name, "yes" if storage["sees"] else "no", writes, clock, *speeds)
    return table


if __name__ == "__main__":
    sys.exit(main())
