"""The training on one worker. It reads like the algorithm: batch in, phases in turn, report, checkpoint, evaluation."""

import time
from typing import Any

import ray.train
import ray.train.torch
from torch import Tensor

from aligngan.config import Config, validate
from aligngan.training.batches import Batches
from aligngan.training.divergence import diverged
from aligngan.training.evaluation import Evaluation
from aligngan.training.state import TrainingState, seed_iteration
from aligngan.training.step import learning_rate_factor
from aligngan.training.telemetry import NotFinite, Telemetry
from cluster.checkpoints import load_newest_checkpoint, report_checkpoint
from cluster.folder import RunFolder
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
    dataset = open_dataset(config.data)
    state = TrainingState(config, len(dataset.train_persons), device)
    if (checkpoint := load_newest_checkpoint(folder, device)) is not None:
        state.load_state_dict(checkpoint)
    evaluation = Evaluation(config, dataset, state.evaluated, device, folder, rank)
    if state.iteration == 0 and config.evaluation.before_training:
        report_metrics(evaluation.run(0))
    with Batches(config, dataset, rank, world, device) as batches:
        try:
            _train(config, state, batches, evaluation, rank)
        except NotFinite as error:
            raise diverged(error, state, batches, folder, rank) from None


def run_iteration(state: TrainingState, batches: Batches, rank: int) -> tuple[dict[str, Tensor], float]:
    """Run every phase of one iteration in turn.

    Returns:
        The phases' named values (scalars, still on the device) and the seconds spent waiting for data.
    """
    config, iteration = state.config, state.iteration
    seed_iteration(config.train.seed, iteration, rank)
    factor = learning_rate_factor(config, iteration)
    values: dict[str, Tensor] = {}
    waited = 0.0
    for phase in state.method.phases_at(iteration):
        asked = time.perf_counter()
        rgb, ir, labels = batches.at(phase.stream, iteration)
        waited += time.perf_counter() - asked
        values.update(state.steps[phase.name].run(rgb, ir, labels, factor))
    if state.averages is not None:
        state.averages.update()
    state.iteration += 1
    return values, waited


def _train(config: Config, state: TrainingState, batches: Batches, evaluation: Evaluation, rank: int) -> None:
    iterations = config.train.iterations
    telemetry = Telemetry(2 * config.data.persons_per_batch * config.data.images_per_person, iterations)
    while state.iteration < iterations:
        telemetry.add(state.iteration, *run_iteration(state, batches, rank))
        done = state.iteration == iterations
        if done or state.iteration % config.train.report_every == 0:
            report_metrics(telemetry.report(state.iteration))
        saves = done or state.iteration % config.checkpoint.every == 0
        if saves or evaluation.is_due(state.iteration):
            telemetry.check()
        # Before the checkpoint, so that a run which resumes from it has this evaluation behind it.
        if evaluation.is_due(state.iteration):
            report_metrics(evaluation.run(state.iteration))
            telemetry.restart_clock()
        if saves:
            report_checkpoint(state.state_dict(), state.iteration)
            telemetry.restart_clock()
