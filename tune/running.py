"""A sweep from its folder to its end: Ray Tune with trials that queue for workers."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import ray.exceptions
import ray.tune
from ray.tune.schedulers import AsyncHyperBandScheduler

from aligngan.config import Config
from aligngan.training.launch import EXPECTED, make_data
from cluster.board import Board
from cluster.connection import connect, environment
from cluster.errors import ClusterError, Interrupted, first_line
from cluster.interruption import LEFT, REQUEST, STOP
from cluster.watchdog import WORLD
from tune.capacity import capacity
from tune.checks import grace_iterations
from tune.folder import RAY_TUNE, SweepFolder
from tune.points import SEED, Point
from tune.settings import Range, SweepSettings
from tune.state_api import check_state_api, own_state_api
from tune.trial import JOINT, POINT, listed, run_trial
from tune.watching import Watching

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENVIRONMENT = {
    # Signals are the sweep's own: it asks the trials for a checkpoint first.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Relative paths mean in a trial what they mean on its node.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The newer output prints tables of its own even when it is silenced.
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_sweep(sweep: SweepFolder, settings: SweepSettings, base: Config, points: Sequence[Point]) -> int:
    """Run the trials of a sweep that are not over.

    Args:
        sweep: its folder, written.
        settings, base: what it is.
        points: its trials, none where a model chooses them.

    Returns:
        The command's exit status: 0 done, 1 trials failed or nothing could start, 130 by Ctrl-C, 143 by SIGTERM.
    """
    try:
        make_data(base)
        starts = 0
        while open_points := _open(sweep, settings, points):
            over = sum(map(sweep.is_over, sweep.trials))
            try:
                with own_state_api(), connect(base.run, dashboard=True):
                    _start(sweep, settings, base, *open_points)
                break
            except RuntimeError as error:
                starts = 1 if sum(map(sweep.is_over, sweep.trials)) > over else starts + 1
                if (killed := _killed(error)) is None or starts > settings.retries:
                    raise
                print(f"a trial's driver was killed: {killed}; the sweep goes on", file=sys.stderr)
        else:
            print("every trial of this sweep is over: nothing is left to train")
            return 0
    except KeyboardInterrupt as interrupted:
        what = interrupted if isinstance(interrupted, Interrupted) else "interrupted"
        print(f"{what}; continue with: python -m tune.sweep --resume {sweep.folder.location}", file=sys.stderr)
        return interrupted.status if isinstance(interrupted, Interrupted) else 130
    except EXPECTED as error:
        print(f"the sweep could not run: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if (killed := _killed(error)) is None:
            raise
        print(
            f"the sweep was lost: {killed}; continue with: python -m tune.sweep --resume {sweep.folder.location}",
            file=sys.stderr,
        )
        return 1
    failed = [trial for trial in sweep.trials.values() if trial.status == "failed"]
    for trial in failed:
        print(f"failed: {trial.name}: {trial.message}", file=sys.stderr)
    return 1 if failed else 0


def _open(sweep: SweepFolder, settings: SweepSettings, points: Sequence[Point]) -> tuple[Sequence[Point], int] | None:
    """The listed trials that a start has to run and how many trials it has, or None where all are over."""
    left = points_left(sweep, settings, points)
    total = len(left) if points else settings.trials or 0
    known = [point.name for point in points] or list(sweep.trials)
    return None if len(known) >= total and all(map(sweep.is_over, known)) else (left, total)


def _start(sweep: SweepFolder, settings: SweepSettings, base: Config, left: Sequence[Point], total: int) -> None:
    room = capacity(base.run, settings.concurrent)
    check_state_api()
    print(room.words, flush=True)
    _tune(sweep, settings, base, left, room.at_once, room.driver, total)


def _killed(error: RuntimeError) -> str | None:
    """What Ray says of a driver that it killed for memory, or None for another error.

    Ray Tune takes that for an error of its own, not of the trial, and ends with everything: the sweep starts it anew.
    """
    cause = error.__cause__
    if isinstance(error, ClusterError) or not isinstance(cause, ray.exceptions.RayError):
        return None
    return first_line(cause).partition(". ")[0]


def points_left(sweep: SweepFolder, settings: SweepSettings, points: Sequence[Point]) -> list[Point]:
    """Return the listed trials that this start has to run, in order.

    Early stopping compares trials with each other, so with it those that are over take part again: they report what
    they have scored and train nothing. They come first.
    """
    if settings.asha is None:
        return [point for point in points if not sweep.is_over(point.name)]
    return sorted(points, key=lambda point: not sweep.is_over(point.name))


def _tune(
    sweep: SweepFolder,
    settings: SweepSettings,
    base: Config,
    left: Sequence[Point],
    at_once: int,
    driver: dict[str, float],
    total: int,
) -> None:
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    watching = Watching(sweep, settings, base, total, at_once)
    trainable = partial(run_trial, sweep=sweep.folder.location, threads=os.environ.get("OMP_NUM_THREADS"))
    logs = f"start-{len(sweep.folder.list(RAY_TUNE)) + 1}"
    with environment(ENVIRONMENT), watching.shown(), stopping_on_signals(sweep, base, watching.running):
        ray.tune.Tuner(
            ray.tune.with_resources(trainable, driver),
            param_space=_param_space(settings, left),
            tune_config=ray.tune.TuneConfig(
                metric=settings.metric,
                mode="max",
                num_samples=1 if left else total,
                max_concurrent_trials=at_once,
                search_alg=_search(sweep, settings) if settings.search == "optuna" else None,
                scheduler=_scheduler(settings, base),
                trial_name_creator=_directory,
                trial_dirname_creator=_directory,
            ),
            run_config=ray.tune.RunConfig(
                name=logs,
                storage_path=f"{sweep.folder.location.partition('?')[0]}/{RAY_TUNE}"
                + "".join(sweep.folder.location.partition("?")[1:]),
                failure_config=ray.tune.FailureConfig(max_failures=settings.retries),
                callbacks=[watching],
                verbose=0,
            ),
        ).fit()


def _param_space(settings: SweepSettings, left: Sequence[Point]) -> dict[str, Any]:
    if settings.search != "optuna":
        return {POINT: ray.tune.grid_search([listed(point) for point in left])}
    space: dict[str, Any] = {}
    for key, axis in settings.space.items():
        if isinstance(axis, Range):
            draw = ray.tune.loguniform if axis.scale == "log" else ray.tune.uniform
            space[key] = draw(axis.low, axis.high)
        else:
            space[key] = ray.tune.choice(list(axis))
    return space


def _search(sweep: SweepFolder, settings: SweepSettings) -> Any:
    from ray.tune.search.optuna import OptunaSearch

    # On a resume the model is told of the earlier trials as the first suggestions; those that are over report again.
    earlier = [{key: trial.values[key] for key in settings.space} for trial in sweep.trials.values()]
    return OptunaSearch(points_to_evaluate=earlier or None, seed=settings.seeds[0])


def _scheduler(settings: SweepSettings, base: Config) -> AsyncHyperBandScheduler | None:
    if settings.asha is None:
        return None
    return AsyncHyperBandScheduler(
        time_attr=JOINT,
        # The last evaluation lies behind the last rung: a trial that gets there is trained and saved to its end.
        max_t=base.train.iterations - base.warmup - 1,
        grace_period=grace_iterations(settings, base),
        reduction_factor=settings.asha.reduction_factor,
        stop_last_trials=False,
    )


def _directory(trial: Any) -> str:
    values = trial.config.get(POINT, trial.config)
    return values.get("name") or f"{trial.trial_id}.seed-{values.get(SEED, 0)}"


@contextlib.contextmanager
def stopping_on_signals(sweep: SweepFolder, base: Config, running: Callable[[], list[str]]) -> Iterator[None]:
    """Let SIGINT and SIGTERM raise Interrupted, the first one after asking all running trials for a checkpoint."""
    asked = False

    def stop(number: int, frame: Any) -> None:
        nonlocal asked
        if not asked:
            asked = True
            print("stopping: every trial makes a checkpoint; press Ctrl-C again to leave at once", file=sys.stderr)
            ask_for_checkpoints([Board(sweep.run(name).path()) for name in running()], base.run.stop_timeout)
        raise Interrupted(number, None)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ask_for_checkpoints(boards: Sequence[Board], seconds: float) -> None:
    """Ask the workers of trials to save and leave, and wait until they have, but no longer than so many seconds."""
    asked = [board for board in boards if board.read(WORLD) is not None]
    for board in asked:
        board.post(REQUEST, STOP)
    deadline = time.monotonic() + seconds
    while any(board.read(LEFT) is None for board in asked) and time.monotonic() < deadline:
        time.sleep(0.05)
