"""What a sweep will cost, in words, before it starts."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aligngan.config import Config, ConfigError
from tune.points import Point
from tune.settings import Range, SweepSettings, varied


def trial_lines(settings: SweepSettings, points: Sequence[Point]) -> list[str]:
    """Return a line for every trial, or for the range of every key where a model chooses the trials."""
    if points:
        width = len(str(len(points)))
        return [f"{number:>{width}}  {point.name}" for number, point in enumerate(points, 1)]
    return [
        f"{settings.trials} points chosen by {settings.search}: {key} {_words(axis)}"
        for key, axis in settings.space.items()
    ]


def cost(settings: SweepSettings, base: Config, points: Sequence[Point], seconds: float | None = None) -> str:
    """Return the count of trials and an estimate of the work in them.

    Args:
        seconds: of one iteration, evaluations and checkpoints included, where an earlier run tells.
    """
    configs = [varied(base, dict(point.values)) for point in points] or [base] * (settings.trials or 0)
    iterations = sum(config.train.iterations for config in configs)
    images = sum(
        config.train.iterations * 2 * config.data.persons_per_batch * config.data.images_per_person
        for config in configs
    )
    at_most = "at most " if settings.asha else ""
    lines = [
        f"{len(configs)} trials on {base.run.workers} workers each: {at_most}{iterations:,} iterations, "
        f"{images:,} pictures through the feature phase"
    ]
    if seconds is None:
        lines.append("time: unknown; --like RUN estimates it from an earlier run of this configuration")
    else:
        one_by_one = timedelta(seconds=round(iterations * seconds))
        lines.append(
            f"time: {at_most}about {one_by_one} at {seconds:.3g} s per iteration, one trial at a time; "
            "divide by the trials that run at once"
        )
    return "\n".join(lines)


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


def _words(axis: tuple[Any, ...] | Range) -> str:
    if isinstance(axis, Range):
        return f"from {axis.low:g} to {axis.high:g}, {axis.scale} scale"
    return "of " + ", ".join(map(str, axis))
