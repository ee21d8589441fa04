"""From a worker's report to the run's metrics.jsonl and to the terminal.

The controller of Ray Train appends every report of rank 0 to the file; the driver, which Ray places on the same
node, follows the file and shows it.
"""

import contextlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray.train
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cluster.board import Board
from cluster.errors import first_line
from cluster.folder import RunFolder
from cluster.interruption import PROGRESS, RECOVERY, Preempted
from cluster.watchdog import take_hang

METRICS = "metrics.jsonl"
UPLOAD_SECONDS = 30.0
FOLLOW_SECONDS = 0.2
SHOWN_APART = ("kind", "iteration", "iterations", "images_per_second", "seconds_left")
NOT_SHOWN = ("seconds", "learning_rate_")
"""How keys begin that are for files and dashboards and too many for a terminal."""
NOT_SHOWN_SCORES = (" R10", " R20")
"""How the keys of such scores end."""

Record = dict[str, Any]

logger = logging.getLogger(__name__)


def report_metrics(record: Record) -> None:
    """Report a record of numbers; every worker must call it, rank 0's record is kept.

    Unlike a plain `ray.train.report` it waits neither for a checkpoint that is being uploaded nor for the controller.

    Args:
        record: flat and JSON-able, with "kind" and "iteration"; one record of a kind per iteration.
    """
    ray.train.report(record, checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC)


class MetricsFile(ray.train.UserCallback):
    """Appends to a local file what rank 0 reports, how workers failed or left, and what it cost to go on.

    Runs in the controller of Ray Train.
    """

    def __init__(self, path: Path, board: Board) -> None:
        self._path, self._board = path, board
        self._iteration = 0
        self._left = False
        self._unwritten: list[str] = []

    def after_report(self, run_context: Any, metrics: list[Record], checkpoint: ray.train.Checkpoint | None) -> None:
        """Append one line in one write, so that a reader sees whole lines but for a crash."""
        if (recovery := self._board.take(RECOVERY)) is not None:
            self._append(recovery)
        self._left = False
        self._iteration = metrics[0].get("iteration", self._iteration)
        self._append(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Append one line that says which workers failed, or that they left on notice."""
        left = [error.kind for error in worker_exceptions.values() if isinstance(error, Preempted)]
        everyone_left = len(left) == len(worker_exceptions)
        if everyone_left and self._left:  # Ray Train asks again at each poll until all have left
            return
        self._left = everyone_left
        progress = self._board.read(PROGRESS) or {}
        text = "; ".join(f"worker {rank}: {first_line(error)}" for rank, error in worker_exceptions.items())
        self._append(
            {
                "kind": left[0] if everyone_left else "failure",
                "iteration": max(self._iteration, progress.get("iteration", 0)),
                "message": take_hang(self._board) or text,
            }
        )

    def _append(self, record: Record) -> None:
        self._unwritten.append(json.dumps(record) + "\n")
        size = None
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(self._unwritten))
        except OSError as error:  # the lines come with a later record; a full disk shows at the next checkpoint
            logger.warning("could not write %s: %s", self._path, error)
            if size is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self._path, size)
        else:
            self._unwritten.clear()


def read_metrics(folder: RunFolder) -> list[Record]:
    """Return the records of a run in order, without those that a resumed training did again.

    A run that resumes goes back to its checkpoint. So a record supersedes all earlier records of later iterations,
    and those from its own iteration on that begin with a record of its kind. Recoveries stay: they happened. A last
    line cut off by a crash is left out. The last one or two reports before a checkpoint may be missing where workers
    died right after it.
    """
    records: list[Record] = []
    for record in parse_lines(folder.read_bytes(METRICS)):
        start = _superseded_from(records, record)
        records[start:] = [again for again in records[start:] if again.get("kind") == RECOVERY]
        records.append(record)
    return records


def parse_lines(content: bytes) -> list[Record]:
    """Return the records of whole lines; what follows the last line break was cut off and is left out."""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


@contextlib.contextmanager
def metrics_file(folder: RunFolder) -> Iterator[Path]:
    """Yield the local file that metrics.jsonl is written to, kept in step with the run folder.

    For an object store that is a spool file, uploaded every half minute and at the end.
    """
    if folder.local_path is not None:
        path = folder.local_path / METRICS
        _cut_to_whole_lines(path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="metrics-") as directory:
        path = Path(directory, METRICS)
        if folder.exists(METRICS):
            path.write_bytes(folder.read_bytes(METRICS))
        _cut_to_whole_lines(path)

        def upload() -> None:
            try:
                folder.write_bytes(METRICS, path.read_bytes())
            except OSError as error:
                logger.warning("could not write %s: %s", folder.path(METRICS), error)

        with repeatedly(UPLOAD_SECONDS, upload):
            yield path


@contextlib.contextmanager
def following(path: Path, on_report: Callable[[Record], None]) -> Iterator[None]:
    """Call `on_report` in a thread with every record that is appended to a file from now on."""
    position, rest, away = path.stat().st_size, b"", False

    def read_on() -> None:
        nonlocal position, rest, away
        try:
            # Opened each time: what was opened before a network file system was away may never read again.
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
        except OSError as error:
            if not away:
                logger.warning("could not read %s: %s; going on when it is back", path, error)
            away = True
            return
        away = False
        position += len(new)
        rest += new
        for record in parse_lines(rest):
            on_report(record)
        rest = rest[rest.rfind(b"\n") + 1 :]

    with repeatedly(FOLLOW_SECONDS, read_on):
        yield


@contextlib.contextmanager
def show_progress() -> Iterator[Callable[[Record], None]]:
    """Yield a function that shows a record: a live display on a terminal, otherwise one line each."""
    console = Console()
    if not console.is_terminal:
        yield lambda record: print(describe(record), flush=True)
        return
    bar = Progress(
        TextColumn("iteration"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[speed]}"), console=console
    )
    task = bar.add_task("", total=None, speed="waiting for the first iterations")
    with Live(bar, console=console, refresh_per_second=4) as live:

        def show(record: Record) -> None:
            if record.get("kind") != "train":
                live.console.print(describe(record), highlight=False)
                return
            bar.update(task, completed=record["iteration"], total=record.get("iterations"), speed=_speed(record))
            live.update(Group(bar, Text(_values(record))))

        yield show


def describe(record: Record) -> str:
    """Return a record as a line for people."""
    if record.get("kind") == "train":
        of = f" of {record['iterations']}" if "iterations" in record else ""
        head = f"iteration {record['iteration']}{of}"
    else:
        head = f"{record.get('kind', 'report')} at iteration {record.get('iteration', '?')}"
    return "  ".join(part for part in (head, _speed(record), _values(record)) if part)


def _speed(record: Record) -> str:
    parts = []
    if "images_per_second" in record:
        parts.append(f"{record['images_per_second']:.1f} images/s")
    if "seconds_left" in record:
        parts.append(f"{timedelta(seconds=round(record['seconds_left']))} left")
    return "  ".join(parts)


def _values(record: Record) -> str:
    shown = (name for name in record if name not in SHOWN_APART and not name.startswith(NOT_SHOWN))
    values = ((name, record[name]) for name in shown if not name.endswith(NOT_SHOWN_SCORES))
    return "  ".join(f"{name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values)


def _superseded_from(records: list[Record], record: Record) -> int:
    if record.get("kind") == RECOVERY:  # about an iteration gone back to, and written when some were done again
        return len(records)
    iteration, start = record.get("iteration", 0), len(records)
    for index in range(len(records) - 1, -1, -1):
        if records[index].get("kind") == RECOVERY:
            continue
        earlier = records[index].get("iteration", 0)
        if earlier < iteration:
            break
        if earlier > iteration or records[index].get("kind") == record.get("kind"):
            start = index
    return start


def _cut_to_whole_lines(path: Path) -> None:
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def repeatedly(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    """Call a function every so many seconds in a thread, and a last time at the end."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            function()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        function()
