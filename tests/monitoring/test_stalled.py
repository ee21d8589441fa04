"""What the panels say of runs that stand still and of workers that died, computed by Prometheus' own tool."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.monitoring.board_training import BOARD
from cluster.monitoring.picture import fill_in

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt install prometheus)")

BEATING = {'ray_training_heartbeat_seconds_total{run="a",WorkerId="d"}': "0+60x120"}
LIVING = {
    f'ray_training_worker_heartbeat_seconds_total{{run="a",rank="{rank}",WorkerId="w{rank}"}}': "0+60x120"
    for rank in "01"
}
DEAD = {
    f'ray_training_worker_heartbeat_seconds_total{{run="a",rank="{rank}",WorkerId="v{rank}"}}': "0+60x30 1800x90"
    for rank in "01"
}
LAST = 'ray_training_last_iteration_timestamp_seconds{run="a",rank="0",WorkerId="w0"}'
IMAGES = 'ray_training_images_total{run="a",rank="0",WorkerId='


@dataclass(frozen=True)
class Case:
    panel: str
    what: str
    series: dict[str, str]
    value: float | None
    """At the 60th minute; None where the panel is to be empty."""


CASES = [
    Case("Since the last iteration", "iterations", BEATING | {LAST: "0+60x120"}, 0),
    Case("Since the last iteration", "standing still for 40 minutes", BEATING | {LAST: "0+60x20 1200x100"}, 2400),
    Case("Since the last iteration", "its workers are gone", BEATING | {LAST: "0+60x20 stale _x100"}, 2400),
    Case("Since the last iteration", "ended", {key: "0+60x20 1200x100" for key in BEATING} | {LAST: "60x120"}, None),
    Case("Images per second", "standing still", BEATING | {f'{IMAGES}"w0"}}': "0+600x20 12000x100"}, 0),
    Case(
        "Images per second",
        "a dead worker's counter is still there",
        {f'{IMAGES}"v0"}}': "0+600x30 18000x90", f'{IMAGES}"w0"}}': "_x31 0+600x90"},
        10,
    ),
    Case("Workers", "two after two others died", BEATING | LIVING | DEAD, 2),
    Case("Workers", "all died", BEATING | DEAD, None),
]


def values_at(tmp_path: Path, series: dict[str, str], expected: dict[str, list[float]], minute: int) -> None:
    """Let promtool compare the values of expressions, without their labels, with those expected."""
    assert PROMTOOL is not None
    checks = [
        {
            "expr": expression,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": value} for value in values],
        }
        for expression, values in expected.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    file = tmp_path / f"test-{minute}.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")
    found = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.panel}: {case.what}")
def test_a_panel_tells_what_goes_on(case: Case, tmp_path: Path) -> None:
    panel = next(panel for panel in BOARD.panels if panel.title == case.panel and panel.kind == "stat")
    values = {"run": "a", "__rate_interval": "5m"}
    # Prometheus' fixtures have a sample a minute, so what looks back a minute needs more here.
    expression = fill_in(panel.queries[0].expression, 3600, values).replace("[1m]", "[5m]")
    values_at(tmp_path, case.series, {expression: [] if case.value is None else [case.value]}, 60)


def test_each_checkpoint_is_marked_once_and_none_between_two_steps_is_missed(tmp_path: Path) -> None:
    (mark,) = (mark for mark in BOARD.annotations if mark.name == "checkpoint")
    expression = fill_in(mark.expression, 3600, {"run": "a", "__interval": "10m"})
    # At minute 21, which no rate over the minutes to 20 or from 21 to 30 sees, and at minute 60.
    series = {'ray_training_checkpoints_total{run="a"}': "0x20 1x38 2x60"}
    marked = {20: [], 30: [1.0], 40: [], 50: [], 60: [1.0], 70: []}
    for minute, values in marked.items():
        values_at(tmp_path, series, {expression: values}, minute)
