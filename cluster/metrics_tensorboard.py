"""The records of a run as TensorBoard's event files."""

import contextlib
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cluster.folder import RunFolder
from cluster.metrics import Record, measured
from cluster.progress import repeatedly

FOLDER = "tensorboard"
UPLOAD_SECONDS = 30.0

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def tensorboard(folder: RunFolder) -> Iterator[Callable[[Record], None]]:
    """Yield what appends a record to event files in `tensorboard/` of the run folder; it raises OSError.

    For an object store they are spooled and uploaded every half minute and at the end.
    """
    with contextlib.ExitStack() as stack:
        if folder.local_path is not None:
            directory = folder.local_path / FOLDER
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tensorboard-")))
            stack.enter_context(_uploading(directory, folder))
        file: EventFile | None = None

        def draw(record: Record) -> None:
            nonlocal file
            # Without labels is how far the run is: that is the axis here.
            values = {tag(metric.name, labels): value for metric, labels, value in measured(record) if labels}
            if not values:
                return
            iteration = int(record.get("iteration", 0))
            try:
                if file is None:
                    file = EventFile(directory, iteration)
                file.append(values, iteration)
            except OSError:
                file = None  # it may end in half a record, so what comes next goes to another one
                raise

        yield draw


class EventFile:
    """One event file of TensorBoard, written at once.

    The writer that tensorboardX has for users queues what it writes, and waits for ever when its disk was full once.

    Args:
        directory: where it is made.
        iteration: of what an earlier start of the run drew, TensorBoard drops what lies behind this iteration.
    """

    def __init__(self, directory: Path, iteration: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        directory.mkdir(parents=True, exist_ok=True)
        self._events: Any = EventsWriter(str(directory / "events"), f".{uuid.uuid4().hex[:8]}")
        start = SessionLog(status=SessionLog.START)
        self._events.write_event(Event(wall_time=time.time(), step=iteration, session_log=start))

    def append(self, values: dict[str, float], iteration: int) -> None:
        """Write values by tag, down to the disk."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._events.write_event(Event(wall_time=time.time(), step=iteration, summary=summary))
        self._events.flush()


def tag(name: str, labels: dict[str, str]) -> str:
    """Return the tag in TensorBoard of a metric's series, such as `loss/cyc` or `evaluation_score/all-single/R1`."""
    return "/".join([name.removeprefix("training_").removesuffix("_ratio"), *labels.values()])


@contextlib.contextmanager
def _uploading(directory: Path, folder: RunFolder) -> Iterator[None]:
    def upload() -> None:
        try:
            for file in directory.iterdir():
                folder.write_bytes(f"{FOLDER}/{file.name}", file.read_bytes())
        except OSError as error:
            logger.warning("could not write %s: %s", folder.path(FOLDER), error)

    with repeatedly(UPLOAD_SECONDS, upload):
        yield
