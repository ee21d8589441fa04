"""When somebody has to look, and what to do then: alert rules with the text of `docs/runbook.md`."""

from dataclasses import dataclass
from typing import Any, Literal

GROUP = "training"
RUNBOOK = "docs/runbook.md"
ACTIVE = "sum by (run) (increase(ray_training_heartbeat_seconds_total[10m]))"
"""Seconds of the last ten minutes in which a run's driver was alive."""


@dataclass(frozen=True)
class Alert:
    """One alert rule and its page in the runbook."""

    name: str
    expression: str
    hold: str
    """How long the expression has to have a value before the alert fires."""
    severity: Literal["critical", "warning"]
    summary: str
    """One line; `{{ $labels.run }}` and `{{ $value }}` are filled in."""
    meaning: str
    look: tuple[str, ...]
    """Where to look, in this order."""
    remedy: tuple[str, ...]
    empty: str = ""
    """Why it can never fire somewhere."""


ALERTS = (
    Alert(
        "TrainingStalled",
        # Ten minutes alive, and in none of them an iteration or a picture of an evaluation.
        f"{ACTIVE} > 540 unless (sum by (run) (increase(ray_training_iterations_total[10m])) > 0 "
        "or sum by (run) (increase(ray_training_evaluated_images_total[10m])) > 0)",
        "2m",
        "critical",
        "Run {{ $labels.run }} is alive and has finished no iteration for ten minutes.",
        "The driver lives but no worker finished an iteration or evaluated a picture: workers hang in a collective, "
        "wait for room on the cluster, or cannot read the data.",
        (
            "Training, Workers: 0 means that they did not start; Cluster, Placement groups waiting: no room for them.",
            "`hangs/` in the run folder: stacks of all workers, written after run.hang_timeout.",
            "`ray status` and `ray list actors` on the head; Cluster, Network: a node that receives nothing.",
        ),
        (
            "No room: add nodes, or lower run.workers or run.cpus_per_worker.",
            "Hanging in a collective: the workers are replaced after run.hang_timeout by themselves; if it returns, "
            "check the network interface that GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME names.",
            "Storage that does not answer: restore it; training goes on from the newest checkpoint.",
        ),
    ),
    Alert(
        "LossNotFinite",
        # A run may end by it before its counter is scraped twice; then the series is new and already counts 1.
        'sum by (run) (increase(ray_training_failures_total{reason="not_finite"}[1h])) > 0.5 '
        'or (sum by (run) (ray_training_failures_total{reason="not_finite"}) >= 1 '
        'unless sum by (run) (ray_training_failures_total{reason="not_finite"} offset 1h) >= 1)',
        "0m",
        "critical",
        "Run {{ $labels.run }} stopped: a loss or gradient is infinite or not a number.",
        "The run has ended; new workers would compute the same. Checkpoints before it are whole.",
        (
            "The message of the run: which value of which phase at which iteration.",
            "`failures/` in the run folder: the batches of that iteration.",
            "Training, Gradient norm: did it grow before?",
        ),
        (
            "Lower the learning rate of the phase, set optimizer.clip_norm, or train.precision=float32; then resume.",
            "A broken picture: `python -m loaders.check` on the data set.",
        ),
    ),
    Alert(
        "DiscriminatorCollapsed",
        "min by (run, discriminator) (min_over_time(ray_training_discriminator_accuracy_ratio[10m])) > 0.97",
        "10m",
        "warning",
        "Discriminator {{ $labels.discriminator }} of run {{ $labels.run }} judges everything rightly.",
        "Real and fake are told apart in over 97 % of patches for twenty minutes: the generators get no useful "
        "gradient, and the adversarial losses say nothing any more.",
        (
            "Training, Discriminator accuracy and Losses: do gan_pix and gan_feat grow while d_ losses go to 0?",
            "`evaluations/*-translation.png` in the run folder: are the fake pictures still pictures?",
        ),
        (
            "Lower optimizer.discriminator_lr or raise optimizer.pixel_lr, and resume from a checkpoint before it.",
            "Harmless where lambda_gan_feat is 0 and retrieval still improves.",
        ),
    ),
    Alert(
        "DataStarvation",
        'sum by (run) (rate(ray_training_seconds_total{part="data_wait"}[5m])) '
        '/ sum by (run) (rate(ray_training_seconds_total{part!~"evaluation|checkpoint"}[5m])) > 0.3',
        "10m",
        "warning",
        "Run {{ $labels.run }} spends {{ $value | humanizePercentage }} of its time waiting for pictures.",
        "Loading is slower than training.",
        (
            "Training, Waiting for data: one worker or all? One worker: its node.",
            "Cluster, CPU utilisation: all CPUs busy means decoding is the limit; idle ones mean the storage is.",
        ),
        (
            "CPUs busy: data.backend=dali on GPU nodes, or more run.cpus_per_worker and data.threads.",
            "Storage slow: copy the data set to a local disk of every node.",
        ),
    ),
    Alert(
        "CheckpointTooOld",
        "time() - max by (run) (ray_training_last_checkpoint_timestamp_seconds) > 3600",
        "5m",
        "warning",
        "Run {{ $labels.run }} made its last checkpoint {{ $value | humanizeDuration }} ago.",
        "A failure now would cost more than an hour of work.",
        (
            "Training, An iteration's time: has the run become slow?",
            "The driver's output: warnings of storage that cannot be reached or is full.",
        ),
        ("Lower checkpoint.every so that one falls into every half hour.", "Free space, or restore the storage."),
    ),
    Alert(
        "WorkersFlapping",
        "sum by (run) (increase(ray_training_restarts_total[1h])) > 2.5 "
        'or sum by (run) (increase(ray_training_failures_total{reason="worker"}[1h])) > 2.5',
        "0m",
        "warning",
        "Workers of run {{ $labels.run }} were lost three times or more within an hour.",
        "The run goes on by itself, but loses the iterations since the last checkpoint each time, and ends after "
        "run.max_failures.",
        (
            "`metrics.jsonl`: records of kind failure say which worker and why.",
            "Cluster, Memory used: above 95 % Ray or the kernel kills workers.",
            "Is it always the same node? `ray list nodes`.",
        ),
        (
            "Memory: fewer data.threads, smaller batches, or larger nodes.",
            "Preemptible nodes: lower checkpoint.every. A node at fault: `ray drain-node` it.",
        ),
    ),
    Alert(
        "GpuIdle",
        "avg_over_time(ray_node_gpus_utilization[15m]) < 10 "
        "and on () (count(sum by (run) (increase(ray_training_iterations_total[15m])) > 0) > 0)",
        "5m",
        "warning",
        "GPU {{ $labels.GpuIndex }} of {{ $labels.instance }} does nothing while trainings run.",
        "A paid-for GPU is used less than 10 %.",
        (
            "Training, Where the time goes: data_wait, or a worker that waits for the others?",
            "Cluster, Active runs: fewer workers than GPUs?",
        ),
        ("Set run.workers to the number of GPUs and run.gpu=yes.", "See DataStarvation."),
        empty="no GPU",
    ),
    Alert(
        "DiskFilling",
        # An empty disk is not foreseen to fill because a data set was copied to it a minute ago.
        "ray_node_disk_utilization_percentage > 90 or (predict_linear(ray_node_disk_free[1h], 4 * 3600) < 0 "
        "and on (instance) ray_node_disk_utilization_percentage > 60)",
        "5m",
        "warning",
        "The disk of {{ $labels.instance }} is full, or will be in four hours.",
        "Checkpoints and Ray's logs will fail; Ray starts no tasks on a node above 95 %.",
        ("`du -xh --max-depth=2 /tmp/ray` on the node, and the run folders where they are on the same disk.",),
        ("Delete folders of old Ray sessions and old runs.", "Lower checkpoint.keep; put run.storage elsewhere."),
    ),
    Alert(
        "GoodputLow",
        "sum by (run) (increase(ray_training_productive_seconds_total[1h])) "
        "/ sum by (run) (increase(ray_training_heartbeat_seconds_total[1h])) < 0.5 "
        "and sum by (run) (increase(ray_training_heartbeat_seconds_total[1h])) > 1800",
        "15m",
        "warning",
        "Only {{ $value | humanizePercentage }} of the last hour of run {{ $labels.run }} went into new iterations.",
        "The rest went into starting, evaluating, saving, recovering or doing iterations again.",
        (
            "Training, Shares of the time: evaluation or checkpoint too large?",
            "Training, Restarts and what they cost.",
        ),
        (
            "Raise evaluation.every or checkpoint.every where they take the time.",
            "Many restarts: see WorkersFlapping; lower checkpoint.every, so that less is done again.",
        ),
    ),
)


def rules() -> dict[str, Any]:
    """Return all alert rules as Prometheus reads them: the `groups` of a rule file or of a PrometheusRule's spec."""
    return {"groups": [{"name": GROUP, "rules": [_rule(alert) for alert in ALERTS]}]}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.hold,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.meaning,
            "runbook": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }
