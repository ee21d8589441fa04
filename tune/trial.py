"""One trial: an ordinary training in a run folder of its own, whose evaluations reach Ray Tune."""

import os
from typing import Any

import ray.tune

from aligngan.config import Config
from aligngan.training.launch import claimed, train
from aligngan.training.summary import finish
from cluster.board import Board
from cluster.checkpoints import newest_checkpoint, read_manifest
from cluster.errors import Interrupted
from cluster.folder import RunFolder
from cluster.progress import METRICS, Record, read_metrics
from tune.capacity import wait_for_room
from tune.folder import SweepFolder
from tune.points import SEED, Point, named
from tune.settings import SweepSettings

POINT = "point"
"""Key of Ray Tune's configuration that holds a listed point's values; a model's suggestions are not wrapped."""
JOINT = "joint_iteration"
"""Iterations since the warm-up stages: what early stopping compares trials by."""


def run_trial(config: dict[str, Any], sweep: str, threads: str | None) -> None:
    """Train one point, or go on with it; runs in an actor of Ray Tune.

    Args:
        config: Ray Tune's configuration of the trial.
        sweep: the sweep folder.
        threads: OMP_NUM_THREADS of the sweep's own process; Ray sets it to 1 in this one, and the workers inherit it.
    """
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    else:
        os.environ["OMP_NUM_THREADS"] = threads
    folder = SweepFolder.of(sweep)
    settings, base = folder.read()
    point = point_of(settings, config)
    name = point.name
    earlier = folder.trials.get(name)
    trial_config = folder.config(base, name, point.values)
    run = folder.run(name)
    reporter = Reporter(Board(folder.folder.path()), name, trial_config)
    if folder.is_finished(name):
        reporter.replay(run, None)
    elif earlier is not None and earlier.status == "stopped":
        reporter.replay(run, earlier.iteration)
    else:
        checkpoint = newest_checkpoint(run)
        if checkpoint is not None:
            reporter.replay(run, read_manifest(run, checkpoint)["iteration"])
        reporter.post(state="queued")
        wait_for_room(trial_config.run)
        with claimed(trial_config) as (trial_config, run, _):
            reporter.post(state="starting")
            try:
                train(trial_config, run, reporter)
            except Interrupted:
                # The sweep was asked to stop, and waits no longer for this trial than for its checkpoint.
                return
            finish(run, trial_config.train.iterations)


def listed(point: Point) -> dict[str, Any]:
    """Return a point as Ray Tune's configuration holds it."""
    return {"name": point.name, "reference": point.reference, **point.values}


def point_of(settings: SweepSettings, config: dict[str, Any]) -> Point:
    """Return the point that a configuration of Ray Tune's is about: a listed one, or what a model suggests."""
    if POINT not in config:
        return named(settings, {**config, SEED: settings.seeds[0]})
    values = dict(config[POINT])
    return Point(values.pop("name"), reference=values.pop("reference"), values=values)


class Reporter:
    """Takes the records of a training: evaluations go to Ray Tune, how far it is to the sweep's board.

    Ray Tune waits for a score in every report, and early stopping takes the first report behind a rung, so it gets
    evaluations alone, with the losses reported last.
    """

    def __init__(self, board: Board, name: str, config: Config) -> None:
        self._board, self._name, self._config = board, name, config
        self._losses: Record = {}

    def __call__(self, record: Record) -> None:
        """Take one record."""
        kind = record.get("kind")
        if kind == "train":
            self._losses = {key: value for key, value in record.items() if isinstance(value, float)}
            self.post(state="training", seconds_left=record.get("seconds_left"), iteration=record["iteration"])
        elif kind == "evaluation":
            self._report(record)
        elif kind in ("failure", "preemption"):
            self.post(state="restarting")

    def replay(self, run: RunFolder, until: int | None) -> None:
        """Report again what a run has evaluated up to an iteration, or all of it."""
        for record in read_metrics(run) if run.exists(METRICS) else []:
            if record.get("kind") in ("train", "evaluation") and (until is None or record["iteration"] <= until):
                self(record)

    def post(self, **facts: Any) -> None:
        """Say on the sweep's board how the trial stands."""
        self._board.post(self._name, facts)

    def _report(self, record: Record) -> None:
        numbers = {key: value for key, value in record.items() if key != "kind"}
        iteration = record["iteration"]
        # Ray's TensorBoard files have timesteps_total as their axis.
        axis = {"timesteps_total": iteration, JOINT: iteration - self._config.warmup}
        ray.tune.report({**self._losses, **numbers, **axis})
