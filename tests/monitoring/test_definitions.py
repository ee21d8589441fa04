"""Metrics are defined once, and everything that shows them agrees with the definitions."""

import re

import promql_parser
import pytest

from cluster.metrics import METRICS, Metric, measured, metric_of
from cluster.metrics_tensorboard import tag
from cluster.monitoring.alerts import ALERTS
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.documents import used_metrics
from cluster.monitoring.generate import contents

RAYS_OWN = {
    "ray_node_cpu_count",
    "ray_node_cpu_utilization",
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_node_mem_shared_bytes",
    "ray_node_disk_utilization_percentage",
    "ray_node_disk_free",
    "ray_node_disk_io_read_speed",
    "ray_node_disk_io_write_speed",
    "ray_node_network_send_speed",
    "ray_node_network_receive_speed",
    "ray_node_gpus_utilization",
    "ray_node_gram_used",
    "ray_node_gpu_power_milliwatts",
    "ray_placement_groups",
}
EXPRESSIONS = [
    *(
        (f"{board.title}: {panel.title}", query.expression)
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
    ),
    *((f"{board.title}: {mark.name}", mark.expression) for board in BOARDS for mark in board.annotations),
    *((alert.name, alert.expression) for alert in ALERTS),
]


def filled_in(expression: str, **values: str) -> str:
    """Put values where Grafana's variables stand."""
    values = {"__rate_interval": "1m", "__range": "10m", "__interval": "1m"} | values
    for name, value in sorted(values.items(), key=lambda item: -len(item[0])):
        expression = expression.replace(f"${name}", value)
    return expression


def test_dashboards_rules_and_pages_are_what_the_definitions_say() -> None:
    for path, content in contents().items():
        assert path.read_text(encoding="utf-8") == content, f"{path}: run python -m cluster.monitoring.generate"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"training_[a-z_]+", metric.name)
    assert metric.exported.endswith("_total") == (metric.kind == "counter")
    for unit in ("seconds", "bytes", "ratio"):
        if metric.unit.startswith(unit):
            assert metric.name.endswith(unit)
    assert metric.labels[0] == "run"
    assert len(metric.labels) <= 3
    assert metric.help.endswith(".")


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_expressions_parse_and_name_metrics_that_exist(name: str, expression: str) -> None:
    expression = filled_in(expression, run="demo", trial=".+", node=".+", search="all-single", loss="cyc")
    promql_parser.parse(expression)
    assert "$" not in expression
    known = {metric.exported for metric in METRICS.values()} | RAYS_OWN
    assert set(re.findall(r"\bray_\w+", expression)) <= known


def test_counters_are_never_compared_or_summed_without_a_rate() -> None:
    """Workers that died leave their counters behind, so a bare sum counts them for ever."""
    from_the_driver = {metric.exported for metric in METRICS.values() if metric.publisher == "run"}
    for name, expression in EXPRESSIONS:
        for counter in re.findall(r"\bray_training_\w+_total", expression):
            if counter not in from_the_driver:
                assert re.search(rf"(rate|increase)\({counter}", expression), name


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {metric for _, expression in EXPRESSIONS for metric in used_metrics(expression)}
    assert set(METRICS) == shown


RECORD = {
    "kind": "train",
    "iteration": 10,
    "iterations": 20,
    "images_per_second": 5.0,
    "seconds_left": 7.5,
    "data_wait_share": 0.1,
    "seconds": 3.0,
    "seconds_data_wait": 0.3,
    "cyc": 0.5,
    "d_joint_real": 0.7,
    "d_joint_accuracy_real": 0.9,
    "grad_norm_pixel_warmup": 3.0,
    "learning_rate_feature": 0.01,
}


def test_a_training_record_is_read_by_the_names_of_its_keys() -> None:
    found = {(metric.name, *labels.values()): value for metric, labels, value in measured(RECORD)}
    assert found == {
        ("training_iteration",): 10,
        ("training_target_iterations",): 20,
        ("training_remaining_seconds",): 7.5,
        ("training_loss", "cyc"): 0.5,
        ("training_loss", "d_joint_real"): 0.7,
        ("training_discriminator_accuracy_ratio", "joint", "real"): 0.9,
        ("training_gradient_norm", "pixel_warmup"): 3.0,
        ("training_learning_rate", "feature"): 0.01,
    }


def test_scores_are_published_as_shares_of_one() -> None:
    record = {"kind": "evaluation", "iteration": 10, "all-single R1": 15.0, "visible-to-thermal mAP": 40.0}
    found = [(metric.name, labels, value) for metric, labels, value in measured(record)]
    assert found == [
        ("training_evaluation_score_ratio", {"search": "all-single", "score": "R1"}, pytest.approx(0.15)),
        ("training_evaluation_score_ratio", {"search": "visible-to-thermal", "score": "mAP"}, pytest.approx(0.4)),
    ]


def test_tags_of_tensorboard_come_from_the_same_names() -> None:
    metric, labels = metric_of("evaluation", "all-single mAP") or pytest.fail("no metric")
    assert tag(metric.name, labels) == "evaluation_score/all-single/mAP"
    assert tag("training_loss", {"loss": "cyc"}) == "loss/cyc"
