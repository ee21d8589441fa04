"""The dashboard of one run."""

from cluster.monitoring.board_training_lower import DEVICES, LOADING, RATE, RUN, SAFETY
from cluster.monitoring.panels import (
    RUNS,
    TRAINING,
    Annotation,
    Board,
    Panel,
    Variable,
    query,
    row,
)

GLANCE = row(
    "At a glance",
    Panel(
        "Progress",
        "Share of the run's iterations that are done.",
        (query(f"max(ray_training_iteration{RUN}) / max(ray_training_target_iterations{RUN})"),),
        kind="stat",
        unit="percentunit",
        width=3,
        height=4,
        maximum=1,
    ),
    Panel(
        "Time left",
        "Estimated from the speed of the last report.",
        (query(f"max(ray_training_remaining_seconds{RUN})"),),
        kind="stat",
        unit="s",
        width=3,
        height=4,
    ),
    Panel(
        "Images per second",
        "Pictures of both modalities that all workers together train on.",
        (query(f"sum(rate(ray_training_images_total{RUN}{RATE}))"),),
        kind="stat",
        width=3,
        height=4,
    ),
    Panel(
        "Since the last iteration",
        "Grows where a run stands still, whatever the other panels show, and where its workers are gone while its "
        "driver lives.",
        (
            query(
                f"time() - max(last_over_time(ray_training_last_iteration_timestamp_seconds{RUN}[$__range])) "
                f"and on () sum(rate(ray_training_heartbeat_seconds_total{RUN}[1m])) > 0"
            ),
        ),
        kind="stat",
        unit="s",
        width=3,
        height=4,
        thresholds=((120, "orange"), (600, "red")),
    ),
    Panel(
        "Goodput",
        "Share of the driver's time that went into iterations which counted: not into starting, evaluating, saving, "
        "recovering or doing iterations again.",
        (
            query(
                f"sum(increase(ray_training_productive_seconds_total{RUN}[$__range])) "
                f"/ sum(increase(ray_training_heartbeat_seconds_total{RUN}[$__range]))"
            ),
        ),
        kind="stat",
        unit="percentunit",
        width=3,
        height=4,
        thresholds=((0, "red"), (0.5, "orange"), (0.8, "green")),
        maximum=1,
    ),
    Panel(
        "Checkpoint age",
        "Work that a failure now would cost.",
        (query(f"time() - max(ray_training_last_checkpoint_timestamp_seconds{RUN})"),),
        kind="stat",
        unit="s",
        width=3,
        height=4,
        thresholds=((1800, "orange"), (3600, "red")),
    ),
    Panel(
        "Restarts",
        "Times that workers were replaced in the time shown.",
        (query(f"round(sum(increase(ray_training_restarts_total{RUN}[$__range])))"),),
        kind="stat",
        width=3,
        height=4,
        thresholds=((1, "orange"), (3, "red")),
    ),
    Panel(
        "Workers",
        "Worker processes that are alive.",
        (query(f"count(sum by (rank) (rate(ray_training_worker_heartbeat_seconds_total{RUN}[1m])) > 0)"),),
        kind="stat",
        width=3,
        height=4,
    ),
)

LOSSES = row(
    "Losses and the game",
    Panel(
        "Losses of the networks that are kept",
        "Means over the last report's iterations and all workers, by the names of the paper's equations.",
        (query('max by (loss) (ray_training_loss{run="$run", loss!~"d_.*"})', "{{loss}}"),),
        width=12,
    ),
    Panel(
        "Losses of the discriminators",
        "Eq. 7, its two terms for each discriminator.",
        (query('max by (loss) (ray_training_loss{run="$run", loss=~"d_.*"})', "{{loss}}"),),
        width=12,
    ),
    Panel(
        "Discriminator accuracy",
        "Share of patches judged rightly. All at 1 for long: the discriminator has won, and the generators learn "
        "nothing from it. Near 0.5: it cannot tell real from fake.",
        (
            query(
                f"max by (discriminator, input) (ray_training_discriminator_accuracy_ratio{RUN})",
                "{{discriminator}} on {{input}}",
            ),
        ),
        unit="percentunit",
        thresholds=((0.97, "red"),),
        maximum=1,
    ),
    Panel(
        "Gradient norm",
        "Before clipping, over all networks that a phase trains.",
        (query(f"max by (phase) (ray_training_gradient_norm{RUN})", "{{phase}}"),),
        logarithmic=True,
    ),
    Panel(
        "Learning rate",
        "Of each phase's first parameter group.",
        (query(f"max by (phase) (ray_training_learning_rate{RUN})", "{{phase}}"),),
        logarithmic=True,
    ),
)

SPEED = row(
    "Where the time goes",
    Panel(
        "An iteration's time",
        "Seconds of an iteration by what they go into, as the mean of all workers. communication is what backward "
        "passes did not hide.",
        (
            query(
                'sum by (part) (rate(ray_training_seconds_total{run="$run", part!~"evaluation|checkpoint"}'
                f"{RATE})) / ignoring (part) group_left () sum(rate(ray_training_iterations_total{RUN}{RATE}))",
                "{{part}}",
            ),
        ),
        unit="s",
        width=12,
        stacked=True,
    ),
    Panel(
        "Shares of the time",
        "Evaluation and checkpoints included.",
        (
            query(
                f"sum by (part) (rate(ray_training_seconds_total{RUN}{RATE})) "
                f"/ ignoring (part) group_left () sum(rate(ray_training_seconds_total{RUN}{RATE}))",
                "{{part}}",
            ),
        ),
        unit="percentunit",
        width=12,
        stacked=True,
        maximum=1,
    ),
    Panel(
        "Images per second",
        "By worker, stacked.",
        (query(f"sum by (rank) (rate(ray_training_images_total{RUN}{RATE}))", "worker {{rank}}"),),
        width=6,
        stacked=True,
    ),
    Panel(
        "Waiting for data",
        "Share of each worker's time. Above 30 % the loader holds the training up.",
        (
            query(
                f'sum by (rank) (rate(ray_training_seconds_total{{run="$run", part="data_wait"}}{RATE})) '
                f"/ sum by (rank) (rate(ray_training_seconds_total{RUN}{RATE}))",
                "worker {{rank}}",
            ),
        ),
        unit="percentunit",
        width=6,
        thresholds=((0.3, "red"),),
    ),
    Panel(
        "Batches ready",
        "Loaded ahead and waiting to be asked for. Always 0: loading is what holds the training up; always full: it "
        "is not.",
        (query(f"max by (rank) (ray_training_loader_batches_ready{RUN})", "worker {{rank}}"),),
        width=6,
    ),
    Panel(
        "Waiting for each other",
        "Share of each worker's time in communication. The worker that waits least is the slowest one.",
        (
            query(
                f'sum by (rank) (rate(ray_training_seconds_total{{run="$run", part="communication"}}{RATE})) '
                f"/ sum by (rank) (rate(ray_training_seconds_total{RUN}{RATE}))",
                "worker {{rank}}",
            ),
        ),
        unit="percentunit",
        width=6,
    ),
)

RETRIEVAL = row(
    "Retrieval",
    *(
        Panel(
            title,
            "At each evaluation, by search. On the published data sets it is the official protocol.",
            (
                query(
                    f'max by (search, score) (ray_training_evaluation_score_ratio{{run="$run", score=~"{scores}"}})',
                    legend,
                ),
            ),
            unit="percentunit",
        )
        for title, scores, legend in (
            ("Rank-1", "R1", "{{search}}"),
            ("Rank-10 and Rank-20", "R10|R20", "{{search}} {{score}}"),
            ("Mean average precision", "mAP", "{{search}}"),
        )
    ),
)

BOARD = Board(
    uid=TRAINING,
    title="Training",
    description="One run: is it learning, is it moving, what does it wait for, what would a failure cost.",
    variables=(Variable("run", RUNS, "Run"),),
    rows=(GLANCE, LOSSES, SPEED, LOADING, RETRIEVAL, SAFETY, DEVICES),
    annotations=tuple(
        # A difference and no `increase`, which would not see what happens between two of its windows.
        Annotation(name, f"sum({counter}{RUN}) - sum({counter}{RUN} offset $__interval) > 0", colour)
        for name, counter, colour in (
            ("checkpoint", "ray_training_checkpoints_total", "green"),
            ("evaluation", "ray_training_evaluations_total", "blue"),
            ("restart", "ray_training_restarts_total", "red"),
        )
    ),
)
