"""The dashboard of trials beside each other; every trial is a run."""

from cluster.monitoring.panels import OF_ITS_RUN, RUNS, SWEEP, Board, Panel, Variable, query, row

TRIAL = '{run=~"$trial"}'
RATE = "[$__rate_interval]"


def _scores(score: str) -> str:
    return f'max by (run) (ray_training_evaluation_score_ratio{{run=~"$trial", score="{score}", search="$search"}})'


BOARD = Board(
    uid=SWEEP,
    title="Sweep",
    description="Trials beside each other: which is best, which is furthest, which is in trouble.",
    variables=(
        Variable("trial", RUNS, "Trial", multiple=True),
        Variable("search", "label_values(ray_training_evaluation_score_ratio, search)", "Search"),
        Variable("loss", "label_values(ray_training_loss, loss)", "Loss"),
    ),
    rows=(
        row(
            "Standing",
            Panel(
                "Best mAP so far",
                "Of every trial, in the time shown.",
                (query(f"sort_desc(max_over_time({_scores('mAP')}[$__range:]))", "{{run}}"),),
                kind="bars",
                unit="percentunit",
            ),
            Panel(
                "Best Rank-1 so far",
                "Of every trial, in the time shown.",
                (query(f"sort_desc(max_over_time({_scores('R1')}[$__range:]))", "{{run}}"),),
                kind="bars",
                unit="percentunit",
            ),
            Panel(
                "Progress",
                "Share of every trial's iterations that are done.",
                (
                    query(
                        # Trials that are over publish nothing any more.
                        f"max by (run) (last_over_time(ray_training_iteration{TRIAL}[$__range])) "
                        f"/ max by (run) (last_over_time(ray_training_target_iterations{TRIAL}[$__range]))",
                        "{{run}}",
                    ),
                ),
                kind="bars",
                unit="percentunit",
                maximum=1,
            ),
        ),
        row(
            "Courses",
            Panel("mAP", "At each evaluation.", (query(_scores("mAP"), "{{run}}"),), unit="percentunit"),
            Panel("Rank-1", "At each evaluation.", (query(_scores("R1"), "{{run}}"),), unit="percentunit"),
            Panel(
                "Loss",
                "The one chosen above.",
                (query('max by (run) (ray_training_loss{run=~"$trial", loss="$loss"})', "{{run}}"),),
            ),
            Panel(
                "Discriminator accuracy",
                "The lowest of all discriminators and inputs: near 1, the game has collapsed.",
                (query(f"min by (run) (ray_training_discriminator_accuracy_ratio{TRIAL})", "{{run}}"),),
                unit="percentunit",
                thresholds=((0.97, "red"),),
                maximum=1,
            ),
            Panel(
                "Images per second",
                "By trial, stacked.",
                (query(f"sum by (run) (rate(ray_training_images_total{TRIAL}{RATE}))", "{{run}}"),),
                stacked=True,
            ),
            Panel(
                "Time left",
                "By trial.",
                (query(f"max by (run) (ray_training_remaining_seconds{TRIAL})", "{{run}}"),),
                unit="s",
            ),
        ),
        row(
            "Trouble",
            Panel(
                "Since the last iteration",
                "A trial that stands still grows here.",
                (
                    query(
                        "time() - max by (run) (last_over_time("
                        f"ray_training_last_iteration_timestamp_seconds{TRIAL}[$__range])) "
                        f"and on (run) sum by (run) (rate(ray_training_heartbeat_seconds_total{TRIAL}[1m])) > 0",
                        "{{run}}",
                    ),
                ),
                unit="s",
                width=12,
                thresholds=((600, "red"),),
            ),
            Panel(
                "Failures",
                "Since Ray was started where each trial's driver is.",
                (query(f"sum by (run) (ray_training_failures_total{TRIAL})", "{{run}}"),),
                width=12,
            ),
        ),
    ),
    data_links={"Training": OF_ITS_RUN},
)
