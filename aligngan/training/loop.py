"""The training on one worker. It reads like the algorithm: batch in, phases in turn, report, checkpoint, evaluation."""

import time
from typing import Any

import ray.train
import ray.train.torch
from ray.train.collective import barrier
from torch import Tensor

from aligngan.config import Config, validate
from aligngan.distributed import world_size
from aligngan.training.batches import Batches
from aligngan.training.divergence import diverged
from aligngan.training.evaluation import Evaluation
from aligngan.training.state import TrainingState, seed_iteration
from aligngan.training.step import learning_rate_factor
from aligngan.training.telemetry import NotFinite, Telemetry
from cluster.best import Best, keep_best
from cluster.checkpoints import load_newest_checkpoint, report_checkpoint
from cluster.folder import RunFolder
from cluster.interruption import Interruption
from cluster.metrics_clock import Stopwatch
from cluster.metrics_publish import Meter
from cluster.progress import report_metrics
from loaders.catalog import open_dataset


def train_on_worker(task: dict[str, Any]) -> None:
    """Train on this worker; every worker runs this function with the same task.

    Args:
        task: `config`, the configuration as a tree of plain values, and `folder`, the run folder's path or URI.
    """
    config, folder = validate(task["config"]), RunFolder(task["folder"])
    context = ray.train.get_context()
    rank, world, device = context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device()
    with Meter({"run": folder.name, "rank": str(rank)}, heartbeat="training_worker_heartbeat_seconds") as meter:
        dataset = open_dataset(config.data)
        state = TrainingState(config, len(dataset.train_persons), device)
        if (checkpoint := load_newest_checkpoint(folder, device)) is not None:
            state.load_state_dict(checkpoint)
        evaluation = Evaluation(config, dataset, state.evaluated, device, folder, rank, meter)
        with Batches(config, dataset, rank, world, device) as batches:
            try:
                _train(config, state, batches, evaluation, folder, rank, Stopwatch(device), meter)
            except NotFinite as error:
                raise diverged(error, state, batches, folder, rank) from None


def run_iteration(
    state: TrainingState, batches: Batches, rank: int, stopwatch: Stopwatch | None = None
) -> tuple[dict[str, Tensor], float]:
    """Run every phase of one iteration in turn.

    Args:
        stopwatch: gets the time of waiting for data and of every phase.

    Returns:
        The phases' named values (scalars, still on the device) and the seconds spent waiting for data.
    """
    config, iteration = state.config, state.iteration
    seed_iteration(config.train.seed, iteration, rank)
    factor = learning_rate_factor(config, iteration)
    values: dict[str, Tensor] = {}
    waited = 0.0
    if stopwatch is not None:
        stopwatch.lap("other")
    for phase in state.method.phases_at(iteration):
        asked = time.perf_counter()
        rgb, ir, labels = batches.at(phase.stream, iteration)
        waited += time.perf_counter() - asked
        if stopwatch is not None:
            stopwatch.lap("data_wait")
        values.update(state.steps[phase.name].run(rgb, ir, labels, factor, stopwatch))
    if config.data.on_error == "skip":
        values["skipped_pictures"] = batches.skipped(iteration)
    if state.averages is not None:
        state.averages.update()
    state.iteration += 1
    return values, waited


def learning_rates(state: TrainingState) -> dict[str, float]:
    """Return `learning_rate_<phase>`, of the first parameter group, of the phases that ran last."""
    phases = state.method.phases_at(state.iteration - 1)
    return {f"learning_rate_{phase.name}": state.steps[phase.name].optimizer.param_groups[0]["lr"] for phase in phases}


def _train(
    config: Config,
    state: TrainingState,
    batches: Batches,
    evaluation: Evaluation,
    folder: RunFolder,
    rank: int,
    stopwatch: Stopwatch,
    meter: Meter,
) -> None:
    iterations = config.train.iterations
    images = 2 * config.data.persons_per_batch * config.data.images_per_person
    patience = config.checkpoint.patience
    telemetry = Telemetry(images, iterations, stopwatch, meter)
    if config.run.elastic:
        persons = config.data.persons_per_batch
        shares = {"workers": world_size(), "persons_per_batch": persons, "persons_per_worker": persons // world_size()}
        report_metrics({"kind": "workers", "iteration": state.iteration, "iterations": iterations, **shares})
    best = Best(folder, config.checkpoint.best)

    def evaluate() -> None:
        iteration = state.iteration
        stopwatch.lap("other")
        with interruption.aside():
            features = evaluation.features(interruption.beat)
        with interruption.aside():
            scores = evaluation.scores(iteration, features)
            record = evaluation.record(scores)
            report_metrics(record)
            better = best.improves(record) if iteration > 0 else None
            if rank == 0:
                if better is not None:
                    keep_best(folder, iteration, better, patience)
                evaluation.write(scores, features)
            barrier()
        stopwatch.lap("evaluation")
        telemetry.restart_clock()

    def save(wait: bool) -> None:
        stopwatch.lap("other")
        with interruption.saving():
            report_checkpoint(state.state_dict(), state.iteration, patience=patience, wait=wait)
        stopwatch.lap("checkpoint")
        telemetry.restart_clock()

    with Interruption(config.run, state.iteration) as interruption:
        if evaluation.is_missing(state.iteration):
            evaluate()
        while state.iteration < iterations:
            telemetry.add(state.iteration, *run_iteration(state, batches, rank, stopwatch))
            telemetry.add_loading(batches.ready, batches.decoded(state.iteration - 1))
            notice = interruption.after(state.iteration)
            done = state.iteration == iterations
            if done or state.iteration % config.train.report_every == 0:
                report_metrics(telemetry.report(state.iteration) | learning_rates(state))
            due = evaluation.is_due(state.iteration)
            if notice.saves or done or due or state.iteration % config.checkpoint.every == 0:
                telemetry.check()
                # Before an evaluation too, which takes long: what is lost in it, a resumed run finds missing.
                save(wait=notice.noticed)
            if notice.leaves:
                interruption.leave()
            if due:
                evaluate()
    telemetry.check()
