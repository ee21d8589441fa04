"""Weak scaling and start-up of the training under Ray, beside the same training under torchrun without Ray.

    python -m tests.benchmarks.scaling
    python -m tests.benchmarks.scaling --workers 1 --spare-cores 1
    python -m tests.benchmarks.scaling --workers 1 2 4 8 --rounds 5 --preset paper data.root=/data/SYSU-MM01

Every worker has the same share of a batch, so twice the workers train on twice the pictures. Rounds of both ways take
turns and medians over rounds are printed, because a shared machine changes its speed; trust the ratios. More workers
than cores (or GPUs) share them: the column of efficiency then says what sharing costs, not what a network costs.
Ray's own processes need a little of a core: --spare-cores leaves some to them, in both ways of training alike.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
WAYS = ("ray", "torchrun")
SMALL = (
    *("data.image_size=[64, 32]", "backbone.image_size=[96, 48]", "translator.width=16", "discriminator.width=16"),
    *("data.images_per_person=2", "stages.feature_warmup=0", "stages.pixel_warmup=0", "train.precision=float32"),
    *("train.pixel_batch=null", "evaluation.before_training=false", "data.synthetic.persons=24"),
)
"""A joint iteration of seconds on one core, all three phases in it."""
PERSONS_PER_WORKER = 2
REPORT = 10
"""Iterations between two reports, as trainings have it: a report is a round trip of all workers to Ray Train."""

Measured = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every number of workers both ways and print the tables."""
    arguments = _arguments(argv)
    if arguments.child:
        measured = train(arguments)
        if os.environ.get("RANK", "0") == "0":
            Path(arguments.out).write_text(json.dumps(measured), encoding="utf-8")
        return 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    plan = [(way, workers) for _ in range(arguments.rounds) for workers in arguments.workers for way in WAYS]
    if arguments.iterations < 2 * REPORT:
        raise SystemExit(f"--iterations: found {arguments.iterations}, accepted: at least {2 * REPORT}")
    found: dict[tuple[str, int], list[Measured]] = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(plan))
        for way, workers in plan:
            progress.update(task, description=f"{workers} workers, {way}")
            found.setdefault((way, workers), []).append(_measure(arguments, way, workers))
            progress.advance(task)
    console.print(_speeds(found, arguments.workers))
    console.print(_starts(found, arguments.workers))
    return 0


def train(arguments: argparse.Namespace) -> Measured:
    """Train in this process (torchrun) or from it (Ray) and return what was measured; in the child only."""
    imported = time.time()
    from aligngan.config import resolve

    own = [f"train.iterations={arguments.iterations}", f"train.report_every={REPORT}", "checkpoint.every=1000000"]
    own += [f"run.workers={arguments.count}", f"data.persons_per_batch={PERSONS_PER_WORKER * arguments.count}"]
    small = [] if arguments.preset else SMALL
    config = resolve(arguments.preset or "demo", overrides=[*small, *own, *arguments.overrides])
    run = _under_ray if arguments.child == "ray" else _under_torchrun
    return {"started": arguments.started, "imports": imported, **run(config, arguments)}


def _under_ray(config: Any, arguments: argparse.Namespace) -> Measured:
    from cluster.connection import connect
    from cluster.folder import RunFolder
    from cluster.trainer import fit

    with tempfile.TemporaryDirectory(prefix="scaling-") as directory:
        folder = RunFolder(f"{directory}/run")
        folder.claim("refuse")
        task = {"config": config.model_dump(mode="json"), "folder": folder.location}
        with connect(config.run):
            connected = time.time()
            records: list[Measured] = []
            seen: list[float] = []

            def note(record: Measured) -> None:
                if record["kind"] == "train":
                    records.append(record)
                    seen.append(time.time())

            fit(timed, task, run=config.run, checkpoint=config.checkpoint, folder=folder, on_report=note)
        entered = json.loads(folder.read_bytes("entered.json"))
        return {"Ray": connected, "workers": entered, "iterations": seen[0], "records": records}


def timed(task: Measured) -> None:
    """Train on a Ray worker, after noting when the worker was ready to begin."""
    import ray.train

    from aligngan.training.loop import train_on_worker
    from cluster.folder import RunFolder

    if ray.train.get_context().get_world_rank() == 0:
        RunFolder(task["folder"]).write_json("entered.json", time.time())
    train_on_worker(task)


def _under_torchrun(config: Any, arguments: argparse.Namespace) -> Measured:
    import torch
    import torch.distributed as dist

    from aligngan.training.batches import Batches
    from aligngan.training.loop import run_iteration
    from aligngan.training.state import TrainingState
    from aligngan.training.telemetry import Telemetry
    from cluster.metrics_clock import Stopwatch
    from loaders.catalog import open_dataset

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cuda = torch.cuda.is_available() and torch.cuda.device_count() >= world
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    entered = time.time()
    dataset = open_dataset(config.data)
    state = TrainingState(config, len(dataset.train_persons), device)
    stopwatch = Stopwatch(device)
    images = 2 * config.data.persons_per_batch * config.data.images_per_person
    telemetry = Telemetry(images, config.train.iterations, stopwatch)
    records, first = [], 0.0
    with Batches(config, dataset, rank, world, device) as batches:
        while state.iteration < config.train.iterations:
            telemetry.add(state.iteration, *run_iteration(state, batches, rank, stopwatch))
            if state.iteration % REPORT == 0:
                records.append(telemetry.report(state.iteration))
                first = first or time.time()
    dist.destroy_process_group()
    return {"workers": entered, "iterations": first, "records": records}


def _measure(arguments: argparse.Namespace, way: str, workers: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="scaling-") as directory:
        out = Path(directory, "measured.json")
        module = ["-m", "tests.benchmarks.scaling"]
        if way == "torchrun":
            module = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", *module]
        options = ["--child", way, "--count", str(workers), "--iterations", str(arguments.iterations)]
        options += ["--out", str(out), "--started", str(time.time())]
        options += ["--preset", arguments.preset] if arguments.preset else []
        cores = len(os.sched_getaffinity(0)) - arguments.spare_cores
        environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores // workers))}
        command = [sys.executable, *module, *options, *arguments.overrides]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        return json.loads(out.read_text(encoding="utf-8"))


def _speeds(found: dict[tuple[str, int], list[Measured]], counts: Sequence[int]) -> Table:
    table = Table(title="Weak scaling, medians", title_justify="left")
    for column in ("workers", "way", "s/iteration", "images/s", "efficiency", "communication", "Ray over torchrun"):
        table.add_column(column, justify="right")
    for count in counts:
        for way in WAYS:
            seconds, images, share = _speed(found[way, count])
            alone = _speed(found[way, counts[0]])[1] / counts[0]
            over = ""
            if way == "ray":
                pairs = zip(found["ray", count], found["torchrun", count], strict=True)
                ratio = statistics.median(_speed([ours])[0] / _speed([plain])[0] for ours, plain in pairs)
                over = f"{100 * (ratio - 1):+.1f} %"
            efficiency = f"{100 * images / count / alone:.0f} %"
            row = (str(count), way, f"{seconds:.3f}", f"{images:.1f}", efficiency, f"{100 * share:.1f} %", over)
            table.add_row(*row)
    return table


def _speed(rounds: list[Measured]) -> tuple[float, float, float]:
    """Median seconds per iteration, pictures per second and share of communication; the first report left out."""
    records = [record for measured in rounds for record in measured["records"][1:]]
    seconds = statistics.median(record["seconds"] / REPORT for record in records)
    images = statistics.median(record["images_per_second"] for record in records)
    share = statistics.median(record.get("seconds_communication", 0.0) / record["seconds"] for record in records)
    return seconds, images, share


def _starts(found: dict[tuple[str, int], list[Measured]], counts: Sequence[int]) -> Table:
    steps = ("imports", "Ray", "workers", "iterations")
    table = Table(
        title=f"Seconds from command to the first report, after {REPORT} iterations, medians", title_justify="left"
    )
    for column in ("workers", "way", "interpreter", "Ray", "worker processes", f"{REPORT} iterations", "all"):
        table.add_column(column, justify="right")
    for count in counts:
        for way in WAYS:
            rows = []
            for measured in found[way, count]:
                times = [measured["started"]]
                times += [measured.get(step, times[-1]) for step in steps]
                ordered = [max(times[: index + 1]) for index in range(len(times))]
                rows.append([after - before for before, after in itertools.pairwise(ordered)])
            medians = [statistics.median(column) for column in zip(*rows, strict=True)]
            whole = statistics.median(sum(row) for row in rows)
            table.add_row(str(count), way, *(f"{value:.1f}" for value in (*medians, whole)))
    return table


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the configuration")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of workers (1 2 4)")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each kind (%(default)s)")
    parser.add_argument("--iterations", type=int, default=40, help="iterations of each training (%(default)s)")
    parser.add_argument("--spare-cores", type=int, default=0, help="cores that no worker computes on (%(default)s)")
    parser.add_argument("--preset", help="recipe in place of the demo made small")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    # The importable module, so that workers unpickle its functions by name.
    from tests.benchmarks import scaling

    sys.exit(scaling.main())
