"""Every alert fires when it should and is silent when it should be, as Prometheus' own tool sees it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.monitoring.alerts import ALERTS
from cluster.monitoring.generate import RULES
from cluster.monitoring.servers import write_prometheus

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt install prometheus)")

ALIVE = {'ray_training_heartbeat_seconds_total{run="a",WorkerId="d"}': "0+60x120"}
STEPPING = {f'ray_training_iterations_total{{run="a",rank="{rank}",WorkerId="w{rank}"}}': "0+30x120" for rank in "01"}
WAITING = 'ray_training_seconds_total{run="a",rank="0",part="data_wait"}'
WORKING = 'ray_training_seconds_total{run="a",rank="0",part="pixel"}'
ACCURACY = 'ray_training_discriminator_accuracy_ratio{run="a",discriminator="joint",input='
NOT_FINITE = 'ray_training_failures_total{run="a",reason="not_finite"}'
LOST = 'ray_training_failures_total{run="a",reason="worker"}'
CHECKPOINT = 'ray_training_last_checkpoint_timestamp_seconds{run="a"}'
PRODUCTIVE = 'ray_training_productive_seconds_total{run="a"}'
RESTARTS = 'ray_training_restarts_total{run="a"}'
GPU = 'ray_node_gpus_utilization{instance="n",GpuIndex="0"}'
DISK = 'ray_node_disk_utilization_percentage{instance="n"}'
FREE = 'ray_node_disk_free{instance="n"}'


@dataclass(frozen=True)
class Case:
    alert: str
    what: str
    series: dict[str, str]
    fires: bool
    minute: int = 60


CASES = [
    Case("TrainingStalled", "no iteration", ALIVE | {key: "30x120" for key in STEPPING}, True),
    Case("TrainingStalled", "workers never started", ALIVE, True),
    Case("TrainingStalled", "iterations", ALIVE | STEPPING, False),
    Case(
        "TrainingStalled",
        "a long evaluation",
        ALIVE | {'ray_training_evaluated_images_total{run="a"}': "0+9x120"},
        False,
    ),
    Case("TrainingStalled", "just started", ALIVE, False, minute=5),
    Case("TrainingStalled", "ended an hour ago", {key: "0+60x20 1200x100" for key in ALIVE}, False, minute=90),
    Case(
        "TrainingStalled",
        "workers were replaced and the dead ones' counters are still there",
        ALIVE | {key: "30x120" for key in STEPPING} | {key.replace("w", "v"): "0+30x120" for key in STEPPING},
        False,
    ),
    Case("LossNotFinite", "it happened", {NOT_FINITE: "0x50 1x70"}, True),
    Case("LossNotFinite", "before the second scrape", {NOT_FINITE: "_x50 1x70"}, True),
    Case("LossNotFinite", "yesterday", {NOT_FINITE: "0x5 1x200"}, False, minute=120),
    Case("LossNotFinite", "another failure", {NOT_FINITE: "0x120", LOST: "0x50 1x70"}, False),
    Case("DiscriminatorCollapsed", "won", {f'{ACCURACY}"real"}}': "0.99x120", f'{ACCURACY}"fake"}}': "1x120"}, True),
    Case(
        "DiscriminatorCollapsed", "fooled", {f'{ACCURACY}"real"}}': "0.99x120", f'{ACCURACY}"fake"}}': "0.6x120"}, False
    ),
    Case("DataStarvation", "half", {WAITING: "0+30x120", WORKING: "0+30x120"}, True),
    Case("DataStarvation", "a tenth", {WAITING: "0+6x120", WORKING: "0+54x120"}, False),
    Case("CheckpointTooOld", "none for two hours", {CHECKPOINT: "0x150"}, True, minute=120),
    Case("CheckpointTooOld", "one every minute", {CHECKPOINT: "0+60x150"}, False, minute=120),
    Case("WorkersFlapping", "four restarts", {RESTARTS: "0x20 1x5 2x5 3x5 4x90"}, True),
    Case("WorkersFlapping", "fails while starting", {RESTARTS: "0x90", LOST: "0x20 1x5 2x5 3x5 4x90"}, True),
    Case("WorkersFlapping", "one restart", {RESTARTS: "0x20 1x90", LOST: "0x20 1x90"}, False),
    Case("GpuIdle", "while training", {GPU: "3x120"} | STEPPING, True),
    Case("GpuIdle", "busy", {GPU: "90x120"} | STEPPING, False),
    Case("GpuIdle", "nothing to train", {GPU: "0x120"}, False),
    Case("DiskFilling", "full", {DISK: "93x120"}, True),
    Case("DiskFilling", "soon", {DISK: "70x120", FREE: "100000-600x120"}, True),
    Case("DiskFilling", "a copy to an empty disk", {DISK: "20x120", FREE: "900000x50 900000-60000x9 360000x60"}, False),
    Case("DiskFilling", "half", {DISK: "50x120", FREE: "100000x120"}, False),
    Case("GoodputLow", "a third", ALIVE | {PRODUCTIVE: "0+20x120"}, True, minute=90),
    Case("GoodputLow", "most", ALIVE | {PRODUCTIVE: "0+50x120"}, False, minute=90),
    Case("GoodputLow", "just started", ALIVE | {PRODUCTIVE: "0+0x120"}, False, minute=20),
]


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    found = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr


def test_rules_and_configuration_are_accepted(tmp_path: Path) -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(write_prometheus(tmp_path, targets=tmp_path / "targets.json")))
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    promtool("check", "config", str(write_prometheus(tmp_path, dashboard="http://head:8265", token=token)))


def test_every_alert_is_seen_firing_and_silent() -> None:
    for alert in ALERTS:
        assert {case.fires for case in CASES if case.alert == alert.name} == {True, False}, alert.name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    alert = next(alert for alert in ALERTS if alert.name == case.alert)
    # Whether it fires, and nothing about the texts, which hold measured values.
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert.name}", alertstate="firing"}})',
                "eval_time": f"{case.minute}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
            }
        ],
    }
    file = tmp_path / "test.yml"
    content = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    promtool("test", "rules", str(file))


def test_texts_fill_in_and_lead_to_the_runbook() -> None:
    runbook = (RULES.parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
    for rule in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]:
        page, _, section = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert f"## {rule['alert']}\n" in runbook
        assert section == rule["alert"].lower()
