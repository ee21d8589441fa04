"""What is published stays true: through restarts, resumed runs, phases that end and processes that stand still."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from aligngan.training.telemetry import Telemetry
from cluster import metrics_publish
from cluster.folder import RunFolder
from cluster.metrics_clock import Stopwatch
from cluster.metrics_publish import Meter
from cluster.metrics_run import RunMetrics, failure_reason
from cluster.metrics_tensorboard import tensorboard
from tests.event_files import scalars


class Published:
    """Stands where Ray does and keeps what reaches it."""

    def __init__(self) -> None:
        self.counters: dict[tuple, float] = defaultdict(float)
        self.gauges: dict[tuple, list[float]] = defaultdict(list)

    def metric(self, name: str) -> Any:
        published = self

        class Series:
            def inc(self, amount: float, tags: dict[str, str]) -> None:
                assert amount > 0
                published.counters[name, *tags.values()] += amount

            def set(self, value: float, tags: dict[str, str]) -> None:
                published.gauges[name, *tags.values()].append(value)

        return Series()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    result = Published()
    monkeypatch.setattr(metrics_publish, "_ray_metric", result.metric)
    monkeypatch.setattr(metrics_publish, "HEARTBEAT_SECONDS", 0.02)
    return result


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_gauges_are_set_again_and_again_while_their_owner_lives(published: Published) -> None:
    with Meter({"run": "a", "rank": "1"}, "training_worker_heartbeat_seconds") as meter:
        meter.set("training_last_iteration_timestamp_seconds", 5.0)
        again = published.gauges["training_last_iteration_timestamp_seconds", "a", "1"]
        wait_for(lambda: len(again) > 3)
    closed = len(again)
    time.sleep(0.1)
    assert len(again) == closed


def test_the_heartbeat_counts_the_seconds_and_counters_lose_nothing(published: Published) -> None:
    before = time.monotonic()
    with Meter({"run": "a", "rank": "1"}, "training_worker_heartbeat_seconds") as meter:
        began = time.monotonic()
        for _ in range(100):
            meter.count("training_iterations")
            time.sleep(0.002)
        ended = time.monotonic()
    assert published.counters["training_iterations", "a", "1"] == 100
    lived = published.counters["training_worker_heartbeat_seconds", "a", "1"]
    assert ended - began <= lived <= time.monotonic() - before


@pytest.fixture
def run(published: Published, tmp_path: Path) -> Iterator[RunMetrics]:
    with Meter({"run": "a"}, "training_heartbeat_seconds") as meter:
        yield RunMetrics(meter, RunFolder(str(tmp_path)))


def train(iteration: int, **values: float) -> dict[str, Any]:
    return {"kind": "train", "iteration": iteration, "iterations": 100, "seconds": 10.0, **values}


def counted(published: Published, run: RunMetrics, name: str, *labels: str) -> float:
    run._meter.flush()
    return published.counters[name, "a", *labels]


def test_iterations_that_are_done_again_are_not_productive(published: Published, run: RunMetrics) -> None:
    for iteration in (10, 20, 30):
        run.publish(train(iteration))
    run.publish({"kind": "failure", "iteration": 32, "message": "worker 1: died"})
    run.publish({"kind": "recovery", "iteration": 15, "lost_iterations": 17, "recovery_seconds": 4.0, "workers": 2})
    run.publish(train(20))
    run.publish(train(30))
    assert counted(published, run, "training_productive_seconds") == pytest.approx(30)
    run.publish(train(40))
    assert counted(published, run, "training_productive_seconds") == pytest.approx(40)
    assert counted(published, run, "training_restarts") == 1
    assert counted(published, run, "training_lost_iterations") == 17
    assert counted(published, run, "training_recovery_seconds") == 4
    assert counted(published, run, "training_failures", "worker") == 1


def test_a_report_that_begins_before_the_highest_iteration_counts_in_part(
    published: Published, run: RunMetrics
) -> None:
    run.publish(train(30))
    run.publish({"kind": "recovery", "iteration": 25, "lost_iterations": 5, "recovery_seconds": 4.0, "workers": 2})
    run.publish(train(35))
    assert counted(published, run, "training_productive_seconds") == pytest.approx(10 + 5)


def test_a_resumed_run_does_not_count_what_was_done_before(published: Published, tmp_path: Path) -> None:
    with Meter({"run": "a"}, "training_heartbeat_seconds") as meter:
        metrics = RunMetrics(meter, RunFolder(str(tmp_path)), highest=50)
        metrics.publish(train(40))
        metrics.publish(train(50))
        assert counted(published, metrics, "training_productive_seconds") == pytest.approx(0)
        metrics.publish(train(60))
        assert counted(published, metrics, "training_productive_seconds") == pytest.approx(10)


def test_every_counter_exists_from_the_start(published: Published, run: RunMetrics) -> None:
    """Otherwise the first failure of a run would not show as an increase."""
    for reason in ("not_finite", "checkpoint", "worker"):
        assert 0 < counted(published, run, "training_failures", reason) < 1e-300
    assert 0 < counted(published, run, "training_restarts") < 1e-300


def test_a_phase_that_is_over_leaves_no_values_behind(published: Published, run: RunMetrics) -> None:
    run.publish(train(10, cls_feat=1.0, grad_norm_feature_warmup=2.0))
    run.publish(train(20, cyc=3.0, grad_norm_pixel=2.0))
    run._meter.flush()
    before = len(published.gauges["training_gradient_norm", "a", "feature_warmup"])
    wait_for(lambda: len(published.gauges["training_gradient_norm", "a", "pixel"]) > 2)
    assert len(published.gauges["training_gradient_norm", "a", "feature_warmup"]) == before


def test_a_checkpoint_record_publishes_what_its_manifest_says(
    published: Published, run: RunMetrics, tmp_path: Path
) -> None:
    manifest = {"iteration": 10, "files": {"state.pt": {"sha256": "", "size": 1234}}, "write_seconds": 2.5}
    RunFolder(str(tmp_path)).write_json("step_000000010/manifest.json", manifest)
    run.publish({"kind": "checkpoint", "iteration": 10})
    assert counted(published, run, "training_checkpoints") == 1
    assert counted(published, run, "training_checkpoint_write_seconds") == 2.5
    assert published.gauges["training_checkpoint_size_bytes", "a"][-1] == 1234
    assert published.gauges["training_last_checkpoint_timestamp_seconds", "a"][-1] == pytest.approx(time.time(), abs=60)


def test_a_loss_that_is_no_number_is_told_from_a_lost_worker() -> None:
    diverged = (
        "worker 0: aligngan.training.divergence.TrainingDiverged: cyc of phase pixel is not finite at iteration 2."
    )
    assert failure_reason({"message": diverged}) == "not_finite"
    assert failure_reason({"message": "worker 1: StorageFull: no room for step_000000010"}) == "checkpoint"
    assert failure_reason({"message": "worker 1: The actor died unexpectedly"}) == "worker"


def test_parts_follow_each_other_without_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 101.0, 103.0, 106.0, 110.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    stopwatch = Stopwatch(torch.device("cpu"))
    stopwatch.lap("data_wait")
    computed = stopwatch.mark()
    stopwatch.lap("pixel", until=computed)
    stopwatch.lap("communication")
    stopwatch.lap("data_wait")
    assert stopwatch.collect() == {"data_wait": 1.0 + 4.0, "pixel": 2.0, "communication": 3.0}
    assert stopwatch.collect() == {}


def test_a_report_says_where_the_time_of_iterations_went(published: Published) -> None:
    with Meter({"run": "a", "rank": "0"}, "training_worker_heartbeat_seconds") as meter:
        telemetry = Telemetry(32, 10, stopwatch := Stopwatch(torch.device("cpu")), meter)
        for iteration in range(2):
            time.sleep(0.01)
            stopwatch.lap("data_wait")
            time.sleep(0.01)
            stopwatch.lap("pixel")
            telemetry.add(iteration, {"cyc": torch.tensor(1.0)}, 0.01)
        time.sleep(0.05)
        stopwatch.lap("evaluation")
        telemetry.check()
        record = telemetry.report(2)
    parts = {key: value for key, value in record.items() if key.startswith("seconds_") and key != "seconds_left"}
    assert parts.keys() == {"seconds_data_wait", "seconds_pixel"}
    for part in ("data_wait", "pixel"):
        assert published.counters["training_seconds", "a", "0", part] == pytest.approx(
            parts[f"seconds_{part}"], abs=1e-3
        )
    assert published.counters["training_seconds", "a", "0", "evaluation"] >= 0.05
    assert published.counters["training_iterations", "a", "0"] == 2
    assert published.counters["training_images", "a", "0"] == 64


def test_tensorboard_reads_what_was_published(tmp_path: Path) -> None:
    with tensorboard(RunFolder(str(tmp_path))) as draw:
        draw({"kind": "train", "iteration": 10, "cyc": 0.5, "seconds": 3.0})
        draw({"kind": "evaluation", "iteration": 10, "all-single mAP": 20.0})
    (file,) = (tmp_path / "tensorboard").iterdir()
    found = scalars(file.read_bytes())
    assert found == {
        ("loss/cyc", 10): pytest.approx(0.5),
        ("evaluation_score/all-single/mAP", 10): pytest.approx(0.2),
    }
