"""What a sweep will cost, in words, before it starts."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aligngan.config import Config, ConfigError
from tune.points import Point
from tune.settings import Range, SweepSettings, varied

if TYPE_CHECKING:
    from tune.folder import SweepFolder


def standing(sweep: "SweepFolder", settings: SweepSettings, points: Sequence[Point]) -> str:
    """Return how far a sweep is that was begun before."""
    over = [name for name in _names(sweep, points) if sweep.is_over(name)]
    total = len(points) or settings.trials or 0
    return f"goes on with {sweep.folder.location}: {len(over)} of {total} trials are over"


def trial_lines(settings: SweepSettings, points: Sequence[Point], sweep: "SweepFolder | None" = None) -> list[str]:
    """Return a line for every trial, or for the range of every key where a model chooses the trials.

    Those of `sweep`, where it was begun before, say how they stand.
    """
    if points:
        width = len(str(len(points)))
        return [f"{number:>{width}}  {point.name}{_state(sweep, point.name)}" for number, point in enumerate(points, 1)]
    return [
        f"{settings.trials} points chosen by {settings.search}: {key} {_words(axis)}"
        for key, axis in settings.space.items()
    ]


def cost(
    settings: SweepSettings,
    base: Config,
    points: Sequence[Point],
    seconds: float | None = None,
    sweep: "SweepFolder | None" = None,
) -> str:
    """Return the count of trials and an estimate of the work in them.

    Args:
        seconds: of one iteration, where an earlier run tells.
        sweep: where it was begun before: its trials that are over cost nothing more.
    """
    over = {name for name in _names(sweep, points) if sweep.is_over(name)} if sweep is not None else set()
    configs = [varied(base, dict(point.values)) for point in points if point.name not in over]
    if not points:
        configs = [base] * max(0, (settings.trials or 0) - len(over))
    iterations = sum(config.train.iterations for config in configs)
    images = sum(
        config.train.iterations * 2 * config.data.persons_per_batch * config.data.images_per_person
        for config in configs
    )
    at_most = "at most " if settings.asha or sweep is not None else ""
    lines = [
        f"{len(configs)} trials{' left' if sweep else ''} on {_workers(base)} each: "
        f"{at_most}{iterations:,} iterations, {images:,} pictures through the feature phase"
    ]
    if seconds is None:
        lines.append("time: unknown; --like RUN estimates it from an earlier run of this configuration")
    else:
        one_by_one = timedelta(seconds=round(iterations * seconds))
        lines.append(
            f"time: {at_most}about {one_by_one} at {seconds:.3g} s per iteration, one trial at a time; "
            "divide by the trials that run at once, and add the start and the evaluations of each"
        )
    return "\n".join(lines)


def finished_run(sweep: "SweepFolder") -> str | None:
    """Return the run folder of a trial that a sweep has finished, of a point rather than a reference, or None."""
    trials = sorted(sweep.trials.values(), key=lambda trial: trial.reference is not None)
    return next((sweep.run(trial.name).location for trial in trials if sweep.is_finished(trial.name)), None)


def seconds_per_iteration(run: str) -> float:
    """Return what an iteration of an earlier run took, from its metrics; start-up and evaluations are left out.

    Raises ConfigError where the folder holds no metrics.
    """
    from cluster.folder import RunFolder
    from cluster.progress import METRICS, read_metrics

    folder = RunFolder(run)
    records = read_metrics(folder) if folder.exists(METRICS) else []
    reports = [record for record in records if record.get("kind") == "train" and "seconds" in record]
    if not reports:
        raise ConfigError(f"--like {run}: no reports of iterations in {os.path.join(folder.location, METRICS)}")
    starts = [0, *(record["iteration"] for record in reports[:-1])]
    done = sum(record["iteration"] - start for record, start in zip(reports, starts, strict=True))
    return sum(record["seconds"] for record in reports) / done


def _names(sweep: "SweepFolder", points: Sequence[Point]) -> list[str]:
    return [point.name for point in points] or list(sweep.trials)


def _state(sweep: "SweepFolder | None", name: str) -> str:
    trial = sweep.trials.get(name) if sweep is not None else None
    if trial is None:
        return ""
    return {"finished": "  finished", "stopped": "  stopped early", "failed": "  failed"}.get(trial.status, "  begun")


def _workers(base: Config) -> str:
    return f"{base.run.workers} worker{'' if base.run.workers == 1 else 's'}"


def _words(axis: tuple[Any, ...] | Range) -> str:
    if isinstance(axis, Range):
        return f"from {axis.low:g} to {axis.high:g}, {axis.scale} scale"
    return "of " + ", ".join(map(str, axis))
