"""Every number that a training shows, defined once: its name, unit, labels and meaning, and the record it comes from.

From here come what Prometheus scrapes, the tags of TensorBoard, the dashboards' queries, the alert rules and
`docs/metrics.md`. Names and units follow Prometheus' conventions; Ray puts `ray_` in front of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    """Name as the code uses it, without Ray's prefix and without `_total`."""
    kind: Literal["counter", "gauge"]
    unit: str
    """Base unit, or what is counted."""
    help: str
    """One sentence for people."""
    labels: tuple[str, ...]
    """Labels that this project sets; Ray adds WorkerId, NodeAddress and others."""
    publisher: Literal["worker", "run"]
    """Every worker of a training, or the process that started the run."""
    record: str = ""
    """Kind of record of metrics.jsonl that holds the value; empty where no record does."""
    key: str = ""
    """Regular expression of the record's keys; its named groups are labels."""
    scale: float = 1.0
    """What a record's value is multiplied by to be in `unit`."""

    @property
    def exported(self) -> str:
        """Name as Prometheus knows it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


_WORKER = ("run", "rank")

WORKER_METRICS = (
    Metric(
        "training_iterations", "counter", "iterations", "Iterations done, repeated ones included.", _WORKER, "worker"
    ),
    Metric("training_images", "counter", "images", "Pictures trained on by this worker.", _WORKER, "worker"),
    Metric(
        "training_seconds",
        "counter",
        "seconds",
        "Seconds by what they were spent on: data_wait; each phase by its name, forward and backward; communication, "
        "the averaging of gradients that the backward pass did not hide; optimizer; evaluation; checkpoint; other. "
        "The parts add up to the worker's time.",
        (*_WORKER, "part"),
        "worker",
    ),
    Metric(
        "training_worker_heartbeat_seconds",
        "counter",
        "seconds",
        "Time that a worker has lived; it grows while the process is there, also where its training stands still.",
        _WORKER,
        "worker",
    ),
    Metric(
        "training_last_iteration_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When this worker finished its last iteration.",
        _WORKER,
        "worker",
    ),
    Metric(
        "training_evaluated_images",
        "counter",
        "images",
        "Pictures whose features an evaluation computed.",
        _WORKER,
        "worker",
    ),
    Metric(
        "training_decoded_images",
        "counter",
        "images",
        "Pictures decoded for iterations; none where data.cache keeps them decoded.",
        _WORKER,
        "worker",
    ),
    Metric(
        "training_loader_batches_ready",
        "gauge",
        "batches",
        "Batches loaded ahead that wait to be asked for at the end of an iteration: at 0 the next one has to wait. Of "
        "the stream that has the fewest; with DALI, batches whose files are read and that wait for its graph.",
        _WORKER,
        "worker",
    ),
    Metric(
        "training_skipped_images",
        "counter",
        "images",
        "Broken pictures that another one of the same person took the place of; with data.on_error=skip.",
        _WORKER,
        "worker",
    ),
    Metric("training_gpu_memory_bytes", "gauge", "bytes", "GPU memory that torch holds.", _WORKER, "worker"),
    Metric(
        "training_gpu_memory_peak_bytes",
        "gauge",
        "bytes",
        "Most GPU memory in tensors at once so far.",
        _WORKER,
        "worker",
    ),
)

# Prometheus gets these as counters of seconds and pictures, from which it computes rates over any window.
_BESIDE_LOSSES = r"kind|seconds(_\w+)?|images_per_second|data_wait_share|skipped_pictures"

RUN_METRICS = (
    Metric(
        "training_heartbeat_seconds",
        "counter",
        "seconds",
        "Wall time of the run's driver; a run is active while it grows.",
        ("run",),
        "run",
    ),
    Metric(
        "training_productive_seconds",
        "counter",
        "seconds",
        "Seconds of iterations that were done for the first time; divided by the heartbeat, the goodput.",
        ("run",),
        "run",
    ),
    Metric("training_iteration", "gauge", "iterations", "Iterations done.", ("run",), "run", "train", "iteration"),
    Metric(
        "training_target_iterations",
        "gauge",
        "iterations",
        "Iterations that the run is to do.",
        ("run",),
        "run",
        "train",
        "iterations",
    ),
    Metric(
        "training_remaining_seconds",
        "gauge",
        "seconds",
        "Estimated time left.",
        ("run",),
        "run",
        "train",
        "seconds_left",
    ),
    Metric(
        "training_discriminator_accuracy_ratio",
        "gauge",
        "ratio",
        "Share of patches that a discriminator judges rightly, for real and for fake input. Both at 1 for long: it has "
        "won and the generators learn nothing. Both near 0.5: it has lost.",
        ("run", "discriminator", "input"),
        "run",
        "train",
        r"d_(?P<discriminator>\w+)_accuracy_(?P<input>real|fake)",
    ),
    Metric(
        "training_gradient_norm",
        "gauge",
        "1",
        "Norm of a phase's gradient before clipping.",
        ("run", "phase"),
        "run",
        "train",
        r"grad_norm_(?P<phase>\w+)",
    ),
    Metric(
        "training_learning_rate",
        "gauge",
        "1",
        "Learning rate of a phase's first parameter group.",
        ("run", "phase"),
        "run",
        "train",
        r"learning_rate_(?P<phase>\w+)",
    ),
    Metric(
        "training_evaluation_score_ratio",
        "gauge",
        "ratio",
        "Rank-k and mean average precision of each search of the newest evaluation, as a share of 1.",
        ("run", "search", "score"),
        "run",
        "evaluation",
        r"(?P<search>\S+) (?P<score>R\d+|mAP)",
        0.01,
    ),
    Metric("training_evaluations", "counter", "evaluations", "Evaluations finished.", ("run",), "run"),
    Metric(
        "training_checkpoints",
        "counter",
        "checkpoints",
        "Checkpoints that a resumed run could start from.",
        ("run",),
        "run",
    ),
    Metric(
        "training_last_checkpoint_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When the newest checkpoint was sealed; before the first one, when the run started.",
        ("run",),
        "run",
    ),
    Metric(
        "training_checkpoint_size_bytes", "gauge", "bytes", "Size of the newest checkpoint's files.", ("run",), "run"
    ),
    Metric(
        "training_checkpoint_write_seconds",
        "counter",
        "seconds",
        "Seconds that checkpoints took to write and seal in the background, while training went on.",
        ("run",),
        "run",
    ),
    Metric(
        "training_failures",
        "counter",
        "failures",
        "Failures of workers by reason: not_finite, checkpoint or worker.",
        ("run", "reason"),
        "run",
    ),
    Metric(
        "training_restarts",
        "counter",
        "restarts",
        "Times that workers were replaced or their number changed.",
        ("run",),
        "run",
    ),
    Metric(
        "training_lost_iterations",
        "counter",
        "iterations",
        "Iterations that had to be repeated after restarts.",
        ("run",),
        "run",
    ),
    Metric(
        "training_recovery_seconds",
        "counter",
        "seconds",
        "Seconds from a failure to the first iteration that was new.",
        ("run",),
        "run",
    ),
    # A loss may be called anything, so it is what no other metric claims and the record does not hold beside losses.
    Metric(
        "training_loss",
        "gauge",
        "1",
        "Mean of a named loss over the last report's iterations and all workers.",
        ("run", "loss"),
        "run",
        "train",
        rf"(?!({_BESIDE_LOSSES})$)(?P<loss>.+)",
    ),
)
"""Read from top to bottom for a record's key: the first metric that matches it takes it."""

METRICS = {metric.name: metric for metric in (*WORKER_METRICS, *RUN_METRICS)}

FAILURE_REASONS = ("not_finite", "checkpoint", "worker")


def measured(record: Record) -> Iterator[tuple[Metric, dict[str, str], float]]:
    """Yield the metrics that a record of metrics.jsonl holds, with their labels but for `run`, and their values."""
    for key, value in record.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if (found := metric_of(str(record.get("kind")), key)) is not None:
            metric, labels = found
            yield metric, labels, value * metric.scale


def metric_of(kind: str, key: str) -> tuple[Metric, dict[str, str]] | None:
    """Return the metric that a key of a kind of record stands for and its labels, or None."""
    for metric in RUN_METRICS:
        if metric.record == kind and (match := re.fullmatch(metric.key, key)) is not None:
            return metric, match.groupdict()
    return None
