"""What the process that started a run publishes of it: the records that reach metrics.jsonl, as metrics."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from cluster.checkpoints import checkpoint_name, read_manifest
from cluster.errors import DamagedCheckpoint
from cluster.folder import RunFolder
from cluster.metrics import FAILURE_REASONS, RUN_METRICS, Record, measured
from cluster.metrics_publish import Meter
from cluster.metrics_tensorboard import tensorboard

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def publishing(folder: RunFolder, earlier: Iterable[Record] = ()) -> Iterator[Callable[[Record], None]]:
    """Yield what publishes a record of the run to Prometheus, through Ray, and to TensorBoard files in its folder.

    Args:
        folder: the run's folder.
        earlier: records of a run that is resumed.
    """
    highest = max((int(record["iteration"]) for record in earlier if record.get("kind") == "train"), default=0)
    with Meter({"run": folder.name}, heartbeat="training_heartbeat_seconds") as meter, tensorboard(folder) as draw:
        metrics = RunMetrics(meter, folder, highest)

        def publish(record: Record) -> None:
            try:
                metrics.publish(record)
                draw(record)
            except OSError as error:  # storage that is full or away must not end a training that can do without this
                logger.warning("could not publish a record of %s: %s", folder.location, error)

        yield publish


class RunMetrics:
    """The metrics of a run, from its records in their order.

    One process publishes them for as long as the run lasts, so they neither end nor add up when workers are replaced.

    Args:
        meter: what to publish them through.
        folder: the run's folder, where the manifests of checkpoints are.
        highest: iterations that were done before, by an earlier start of the run.
    """

    def __init__(self, meter: Meter, folder: RunFolder, highest: int = 0) -> None:
        self._meter, self._folder = meter, folder
        self._highest = self._last = highest
        for metric in RUN_METRICS:
            if metric.kind == "counter":
                for reason in FAILURE_REASONS if "reason" in metric.labels else ("",):
                    meter.count(metric.name, 0, **({"reason": reason} if reason else {}))
        meter.set("training_last_checkpoint_timestamp_seconds", time.time())

    def publish(self, record: Record) -> None:
        """Publish a record of metrics.jsonl."""
        # A phase that is over leaves no losses behind.
        for metric in RUN_METRICS:
            if metric.record == record.get("kind") and len(metric.labels) > 1:
                self._meter.drop(metric.name)
        for metric, labels, value in measured(record):
            self._meter.set(metric.name, value, **labels)
        handle = {
            "train": self._train,
            "evaluation": lambda record: self._meter.count("training_evaluations"),
            "checkpoint": self._checkpoint,
            "failure": lambda record: self._meter.count("training_failures", reason=failure_reason(record)),
            "recovery": self._recovery,
        }.get(str(record.get("kind")))
        if handle is not None:
            handle(record)

    def _train(self, record: Record) -> None:
        iteration = int(record["iteration"])
        if iteration > self._highest:
            # A report that goes past the highest iteration so far may begin with iterations that were done before.
            new = (iteration - self._highest) / (iteration - min(self._last, self._highest))
            self._meter.count("training_productive_seconds", new * record.get("seconds", 0.0))
            self._highest = iteration
        self._last = iteration

    def _checkpoint(self, record: Record) -> None:
        self._meter.count("training_checkpoints")
        self._meter.set("training_last_checkpoint_timestamp_seconds", time.time())
        # Checkpoints that are no longer the newest may be gone by now.
        with contextlib.suppress(DamagedCheckpoint):
            manifest = read_manifest(self._folder, checkpoint_name(int(record["iteration"])))
            size = sum(file["size"] for file in manifest["files"].values())
            self._meter.set("training_checkpoint_size_bytes", size)
            self._meter.count("training_checkpoint_write_seconds", manifest.get("write_seconds", 0.0))

    def _recovery(self, record: Record) -> None:
        self._last = int(record["iteration"])
        self._meter.count("training_restarts")
        self._meter.count("training_lost_iterations", record["lost_iterations"])
        self._meter.count("training_recovery_seconds", record["recovery_seconds"])


def failure_reason(record: Record) -> str:
    """Return which of FAILURE_REASONS a failure record is about."""
    message = str(record.get("message", ""))
    if "is not finite" in message:
        return "not_finite"
    return "checkpoint" if "StorageFull" in message or "checkpoint" in message.lower() else "worker"
