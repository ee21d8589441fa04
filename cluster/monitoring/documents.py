"""The pages that say what the metrics are and what to do when an alert fires, written from their definitions."""

from cluster.metrics import METRICS, RUN_METRICS, WORKER_METRICS, Metric
from cluster.monitoring.alerts import ALERTS, Alert
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.panels import Board

INTRODUCTION = """\
# Metrics

Written by `python -m cluster.monitoring.generate` from `cluster/metrics.py`, the one place that defines them.

## Watching

```
python -m cluster.monitoring                      # every Ray on this machine; Prometheus, and Grafana where installed
python -m cluster.monitoring --address HOST:6379  # one cluster
python -m cluster.monitoring.picture --set run=NAME --minutes 30 run.png
```

Prometheus (`apt install prometheus`) and Grafana listen on 127.0.0.1. Without Grafana the last command draws a
dashboard from the same queries. The dashboards in `cluster/monitoring/dashboards/` are built with Grafana's own library
in the schema that Grafana reads from version 9 on, and can be imported; every query of theirs is run against a real
Prometheus by the tests, but they have not been looked at in a running Grafana. Their links to Ray's own dashboards lead
somewhere where Ray's dashboard has run on the same machine, which writes them. `docs/runbook.md` says what to do when
an alert fires.

Workers and drivers hand their metrics to Ray, whose nodes serve them at one port each; Prometheus finds the nodes by
Ray's own list of them. Labels are few on purpose: `run` (the run folder's name), `rank`, and where it applies `part`,
`phase` or the name of a loss. No hyper-parameter is a label. Ray adds `WorkerId`, `NodeAddress` and `Component`,
Prometheus `instance`. Two runs of one name on the same cluster at the same time would be mixed.

![The training dashboard](training-dashboard.png)

The demo preset with short warm-up stages, two workers on one machine without a GPU, watched by
`python -m cluster.monitoring`; one worker was killed on the way. Drawn with matplotlib from what Prometheus had
scraped, not a screenshot of Grafana.

## Reading them rightly

- Workers that died leave their counters behind, under a `WorkerId` of their own, until their node's Ray ends. Always
  `sum by (run)` or `sum by (run, rank)` of a `rate` or `increase`, never of the counter itself; gauges by `max`.
- Means are quotients of counters: `rate(ray_training_seconds_total) / rate(ray_training_iterations_total)`. There are
  no histograms.
- Gauges are set anew every five seconds while their owner lives, and vanish 20 s after it died. A run that stands
  still has a heartbeat that grows, iterations that do not, and a `last_iteration_timestamp_seconds` that grows old.
- Counters are handed on every five seconds and leave a process every ten. A killed worker takes its last seconds with
  it.
- A counter begins at 2e-308 instead of 0, since Ray takes no increment of 0.
- The time of a part is counted when a report or a checkpoint is made. On a GPU it is measured by events on the GPU's
  own time line, so that nothing waits for it.
- Batches ready and waiting for data belong together. Always 0 ready and much waiting: loading is too slow. All ready
  and much waiting, with DALI: its graph is, not the reading of files. With two streams it is the one with fewer.
- Publishing costs a worker about 30 microseconds an iteration and 0.1 ms every five seconds, far below 1 % of the
  demo's iterations; `python -m tests.monitoring.overhead` measures it.
- Goodput is new iterations' seconds over the driver's lifetime: starting, evaluating, saving, recovering and
  iterations that are done again do not count. The time between a driver that was killed and the next is not seen.
- `metrics.jsonl` and the event files in `tensorboard/` of the run folder hold the same numbers, under the keys given
  below and tags such as `loss/cyc`, `gradient_norm/pixel` and `evaluation_score/all-single/mAP`
  (`tensorboard --logdir runs`).
- Ray publishes nodes' CPUs, memory, disks and networks, and GPUs' utilisation, memory and power itself
  (`ray_node_*`).

MLflow and Weights & Biases: a run's event files are read by `wandb sync runs/NAME/tensorboard`. Sweeps take Ray Tune's
own callbacks, `ray.air.integrations.mlflow.MLflowLoggerCallback` and `ray.air.integrations.wandb.WandbLoggerCallback`,
beside the one that `tune/running.py` gives to `ray.tune.RunConfig(callbacks=[...])`: at each evaluation a trial reports
its scores and last losses, with its iteration as the step. In a single training a `ray.train.UserCallback` among
`cluster.trainer.fit(callbacks=[...])` gets every record in its `after_report`.
"""

RUNBOOK_INTRODUCTION = """\
# Runbook

Written by `python -m cluster.monitoring.generate` from `cluster/monitoring/alerts.py`. Each alert's annotation
`runbook` leads to its section.
"""


def metrics_page() -> str:
    """Return `docs/metrics.md`."""
    lines = [INTRODUCTION]
    lines += _table("Of every worker", WORKER_METRICS) + _table(
        "Of a run, from the process that started it", RUN_METRICS
    )
    lines += ["## Dashboards", ""]
    for board in BOARDS:
        lines += _panels(board)
    return "\n".join(lines).rstrip() + "\n"


def runbook_page() -> str:
    """Return `docs/runbook.md`."""
    return "\n".join([RUNBOOK_INTRODUCTION, *(_section(alert) for alert in ALERTS)]).rstrip() + "\n"


def used_metrics(expression: str) -> set[str]:
    """Return this project's metrics that a PromQL expression names."""
    return {metric.name for metric in METRICS.values() if metric.exported in expression}


def _table(title: str, metrics: tuple[Metric, ...]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| metric | type | unit | labels | meaning | record, keys |",
        "|---|---|---|---|---|---|",
    ]
    for metric in metrics:
        source = f"{metric.record}: `{metric.key}`".replace("|", "\\|") if metric.record else ""
        labels = ", ".join(metric.labels)
        lines.append(f"| `{metric.exported}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} | {source} |")
    return [*lines, ""]


def _panels(board: Board) -> list[str]:
    lines = [f"### {board.title}", "", board.description, ""]
    for title, panels in board.rows:
        lines += [f"- {title}: " + ", ".join(panel.title for panel in panels)]
    return [*lines, ""]


def _section(alert: Alert) -> str:
    lines = [f"## {alert.name}", "", f"{alert.severity.capitalize()}. {alert.meaning}", ""]
    if alert.empty:
        lines += [f"Never fires where there is {alert.empty}.", ""]
    lines += ["Look at:", "", *(f"{number}. {text}" for number, text in enumerate(alert.look, start=1)), ""]
    lines += ["Then:", "", *(f"- {text}" for text in alert.remedy), ""]
    return "\n".join([*lines, f"Fires after {alert.hold} of:", "", "```", alert.expression, "```", ""])
