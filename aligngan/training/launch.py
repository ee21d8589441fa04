"""From a checked configuration to a finished run: what happens on the machine where the command was typed."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from aligngan.config import Config, dump
from aligngan.training.resume import CONFIG_FILE
from aligngan.training.summary import finish, print_summary
from cluster.connection import connect
from cluster.errors import ClusterError, Interrupted
from cluster.folder import RunFolder, reaching, run_folder
from cluster.lock import locked
from cluster.progress import Record, show_progress
from cluster.trainer import fit
from loaders.dataset import DatasetError
from loaders.storage import is_remote
from loaders.synthetic import ensure
from loaders.synthetic.terminal import progress_bar

EXPECTED = (ClusterError, DatasetError, OSError)
"""What ends a training with a message instead of a traceback: OSError where storage was away for too long."""


def launch(config: Config) -> int:
    """Train as configured, print the scores and where the run is kept.

    Returns:
        The command's exit status: 0 done, 1 failed (the reason is printed), 130 by Ctrl-C, 143 by SIGTERM.
    """
    try:
        with claimed(config) as (config, folder, resuming):
            print(f"run folder: {folder.location}{' (resumed)' if resuming else ''}", flush=True)
            try:
                make_data(config)
                with connect(config.run), show_progress() as on_report:
                    train(config, folder, on_report)
            except KeyboardInterrupt as interrupted:
                what = interrupted if isinstance(interrupted, Interrupted) else "interrupted"
                print(f"{what}; continue with: python -m aligngan.train --resume {folder.location}", file=sys.stderr)
                return interrupted.status if isinstance(interrupted, Interrupted) else 130
            print_summary(finish(folder, config.train.iterations), folder)
    except EXPECTED as error:
        print(f"training failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while another command was waited for
        return 130
    return 0


@contextlib.contextmanager
def claimed(config: Config) -> Iterator[tuple[Config, RunFolder, bool]]:
    """Make the run folder that a configuration names, keep others out of it and write the configuration to it.

    Yields:
        the configuration with paths that mean the same on every worker, the folder, and whether it holds a run that
        is to be resumed.

    Raises:
        RunExists: where it holds a run that is not to be resumed.
        RunInUse: where another command trains in it.
        StorageUnreachable: where it cannot be written.
    """
    folder = run_folder(config.run, f"{config.method}-{config.data.name}")
    resuming = folder.claim(config.run.if_exists)
    config = located(config, folder)
    with contextlib.ExitStack() as stack:
        with reaching(folder.location):
            stack.enter_context(locked(folder))
            folder.write_bytes(CONFIG_FILE, dump(config).encode())
        yield config, folder, resuming


def make_data(config: Config) -> None:
    """Make the synthetic set where it is missing; workers make it too on their nodes, here it can be watched."""
    if config.data.name == "synthetic":
        with progress_bar(Console(stderr=True)) as progress:
            ensure(config.data.synthetic, config.data.root, progress)


def train(config: Config, folder: RunFolder, on_report: Callable[[Record], None]) -> None:
    """Train on the connected cluster, in a folder that was claimed; what it raises is that of `cluster.trainer.fit`."""
    fit(
        _train_on_worker,
        {"config": config.model_dump(mode="json"), "folder": folder.location},
        run=config.run,
        checkpoint=config.checkpoint,
        folder=folder,
        on_report=on_report,
        counts=worker_counts(config),
    )


def _train_on_worker(task: dict[str, Any]) -> None:
    # Networks and loaders take seconds to import, and only workers need them.
    from aligngan.training.loop import train_on_worker

    train_on_worker(task)


def worker_counts(config: Config) -> list[int]:
    """Return the numbers of workers that an elastic run may have: those that share every batch equally."""
    batches = [config.data.persons_per_batch]
    if config.train.pixel_batch is not None:
        batches.append(config.train.pixel_batch.persons_per_batch)
    sizes = range(config.run.min_workers, config.run.max_workers + 1)
    return [size for size in sizes if not any(persons % size for persons in batches)]


def _absolute(path: str | None) -> str | None:
    return path if path is None or is_remote(path) else str(Path(path).absolute())


def located(config: Config, folder: RunFolder) -> Config:
    """Return the configuration with the run's name, and paths that mean the same in any working directory."""
    data, backbone = config.data, config.backbone
    root, cache_folder = (_absolute(path) for path in (data.root, data.cache_folder))
    weights = backbone.weights
    if weights not in ("imagenet", "none"):
        weights = str(Path(weights).absolute())
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"name": folder.name, "storage": folder.storage}),
            "data": data.model_copy(update={"root": root, "cache_folder": cache_folder}),
            "backbone": backbone.model_copy(update={"weights": weights}),
        }
    )
