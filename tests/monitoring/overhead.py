"""What the metrics cost: `python -m tests.monitoring.overhead` compares them with an iteration of the demo.

One worker on this machine, a real Ray, the joint phases of the demo preset. The two ways take turns, since the speed
of a shared machine drifts.
"""

import statistics
import tempfile
import time

import torch

from aligngan.config import Config, resolve
from aligngan.training.batches import Batches
from aligngan.training.loop import run_iteration
from aligngan.training.state import TrainingState
from aligngan.training.telemetry import Telemetry
from cluster.config import RunSettings
from cluster.connection import connect
from cluster.metrics_clock import Stopwatch
from cluster.metrics_publish import HEARTBEAT_SECONDS, Meter
from loaders.catalog import open_dataset

ROUNDS, BETWEEN_REPORTS = 30, 10
CPU = torch.device("cpu")


def bare_metrics(rounds: int = 2000) -> tuple[float, float]:
    """Return the seconds that an iteration's marks and counts take by themselves, and those of one heartbeat."""
    loss = {"loss": torch.zeros(())}
    with Meter({"run": "overhead", "rank": "0"}, "training_worker_heartbeat_seconds") as meter:
        telemetry = Telemetry(64, 10_000, stopwatch := Stopwatch(CPU), meter)
        began = time.perf_counter()
        for iteration in range(rounds):
            for part in ("other", *3 * ("data_wait", "phase", "communication", "optimizer")):
                stopwatch.lap(part)
            telemetry.add(iteration, loss, 0.0)
            telemetry.add_loading(2, 64)
            if iteration % BETWEEN_REPORTS == 0:
                telemetry.check()
        for_iteration = (time.perf_counter() - began) / rounds
        began = time.perf_counter()
        for _ in range(20):
            for part in ("other", "data_wait", "feature", "pixel", "discriminator", "communication", "optimizer"):
                meter.count("training_seconds", 1.0, part=part)
            meter.flush()
        return for_iteration, (time.perf_counter() - began) / 20


def iterations(config: Config) -> tuple[list[float], list[float]]:
    """Return the seconds of iterations without and with metrics, taking turns."""
    state = TrainingState(config, len((dataset := open_dataset(config.data)).train_persons), CPU)
    without, with_metrics = [], []
    with (
        Batches(config, dataset, 0, 1, CPU) as batches,
        Meter({"run": "overhead", "rank": "0"}, "training_worker_heartbeat_seconds") as meter,
    ):
        telemetry = Telemetry(64, 10_000, stopwatch := Stopwatch(CPU), meter)
        run_iteration(state, batches, 0)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            run_iteration(state, batches, 0)
            without.append(time.perf_counter() - began)
            began = time.perf_counter()
            telemetry.add(state.iteration, *run_iteration(state, batches, 0, stopwatch))
            telemetry.add_loading(batches.ready, batches.decoded(state.iteration - 1))
            telemetry.check()
            with_metrics.append(time.perf_counter() - began)
    return without, with_metrics


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root, connect(RunSettings(workers=1)):
        overrides = [f"data.root={root}/set", "data.synthetic.persons=16", "data.synthetic.pictures=4"]
        config = resolve("demo", None, [*overrides, "stages.feature_warmup=0", "stages.pixel_warmup=0"])
        for_iteration, heartbeat = bare_metrics()
        without, with_metrics = iterations(config)
    step = statistics.median(without)
    added = for_iteration + heartbeat * step / HEARTBEAT_SECONDS
    print(
        f"an iteration of the demo: {1000 * step:.1f} ms, with metrics {1000 * statistics.median(with_metrics):.1f} ms"
    )
    print(
        f"metrics by themselves: {1e6 * for_iteration:.0f} us an iteration, {1e3 * heartbeat:.2f} ms every five seconds"
    )
    print(f"share of an iteration: {added / step:.4%}")


if __name__ == "__main__":
    main()
