"""What makes a sweep impossible or pointless, found before anything starts."""

import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence

from aligngan.config import Config, ConfigError
from aligngan.config.checks import check
from tune.points import SEED, Point, axis_values, combinations, corner_points, listed_points
from tune.settings import Range, SweepSettings, varied

WITHOUT_DATA = ("loss.", "optimizer.", SEED)
"""How keys begin that no check of the data set depends on."""
UNLISTED = 10_000
"""Trials of a grid beyond which nobody reads the list."""
DIRECTIONS = {"regdb": ("visible2thermal", "thermal2visible"), "folder": ("rgb2ir", "ir2rgb")}


def checked_points(settings: SweepSettings, base: Config) -> list[Point]:
    """Return the trials of a sweep after checking all of them; those that a model is to choose are not among them.

    Raises:
        ConfigError: with one line per mistake: what was found, what would be accepted, and how many trials it is about.
    """
    mistakes = [*_axes(settings), *_search(settings), *_metric(settings, base), *_early_stop(settings, base)]
    if base.run.elastic:
        mistakes.append(f"run.workers: found {base.run.workers}, accepted in a sweep: one number, so that trials fit")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    if (count := combinations(settings)) > UNLISTED:  # listing them would take long
        raise ConfigError("\n".join(_budget(settings, base, count)))
    points = [] if settings.search == "optuna" else listed_points(settings, base)
    mistakes = [*_budget(settings, base, len(points) or settings.trials or 0), *_names(points)]
    if not mistakes:
        mistakes = list(_configurations(settings, base, points or corner_points(settings)))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return points


def metric_names(config: Config) -> list[str]:
    """Return the scores that the evaluation of a configuration reports."""
    searches = DIRECTIONS.get(config.data.name) or tuple(
        f"{mode}-{shots}" for mode in config.evaluation.modes for shots in config.evaluation.shots
    )
    return [f"{search} {score}" for search in searches for score in ("R1", "mAP")]


def _axes(settings: SweepSettings) -> Iterator[str]:
    if not settings.space:
        yield "space: found nothing, accepted: at least one key with its values, such as loss.lambda_id_pix: [0.1, 1.0]"
    listed = settings.search in ("one-at-a-time", "grid")
    for key, axis in settings.space.items():
        if key == SEED:
            yield f"space.{key}: found among the keys that vary, accepted: seeds: [0, 1, 2], which reports average over"
        elif key.startswith(("run.", "checkpoint.")):
            yield f"space.{key}: what a sweep compares is trainings, not where they run; set it once with {key}=VALUE"
        elif axis == () or (listed and not axis_values(axis)):
            yield f"space.{key}: found no values, accepted: a list of them" + (
                ", or a range with points" if isinstance(axis, Range) else ""
            )


def _search(settings: SweepSettings) -> Iterator[str]:
    drawn = settings.search in ("random", "optuna")
    if drawn and settings.trials is None:
        yield f"trials: found null, accepted for search {settings.search}: how many points to draw"
    if not drawn and settings.trials is not None:
        yield f"trials: found {settings.trials}, accepted for search {settings.search}: null, for its points are listed"
    if not settings.seeds:
        yield "seeds: found none, accepted: at least one, such as [0]"
    if settings.search != "optuna":
        return
    if importlib.util.find_spec("optuna") is None:
        yield "search: optuna is not installed; install it with: pip install 'aligngan[optuna]'"
    if len(settings.seeds) > 1 or settings.references:
        yield "seeds, references: a model chooses every training, so search optuna takes one seed and no references"
    if settings.space and not any(isinstance(axis, Range) for axis in settings.space.values()):
        yield "space: found lists only, accepted for search optuna: at least one range; search grid tries all of a list"


def _metric(settings: SweepSettings, base: Config) -> Iterator[str]:
    if settings.metric not in (names := metric_names(base)):
        yield f"metric: found {settings.metric}, which is never reported, accepted: {', '.join(names)}"


def _early_stop(settings: SweepSettings, base: Config) -> Iterator[str]:
    if settings.asha is None:
        return
    every, iterations = base.evaluation.every, base.train.iterations
    # The first evaluation that lies on a rung or behind it must come before the last one.
    first_rung = base.warmup + grace_iterations(settings, base)
    if every == 0 or -(-first_rung // every) * every >= iterations:
        yield (
            f"evaluation.every: found {every}, so no score is reported between the first rung, iteration {first_rung}, "
            f"and the end, {iterations}; accepted: at most {max(1, (iterations - first_rung) // 2)}, or asha: null"
        )
    if any(key in ("train.iterations", "evaluation.every") or key.startswith("stages.") for key in settings.space):
        yield "asha compares trials at equal iterations: train.iterations, evaluation.every and stages must not vary"


def grace_iterations(settings: SweepSettings, base: Config) -> int:
    """Return the iterations of joint training before the first rung of early stopping."""
    assert settings.asha is not None
    return max(1, round(settings.asha.grace * (base.train.iterations - base.warmup)))


def _budget(settings: SweepSettings, base: Config, trials: int) -> Iterator[str]:
    if trials > settings.max_trials:
        yield (
            f"{trials} trials are more than the {settings.max_trials} of max_trials: confirm with --budget {trials} "
            f"({trials * base.train.iterations:,} iterations on {base.run.workers} workers each; "
            f"--budget {trials} --dry-run lists them, and --like RUN says how long they take)"
        )


def _names(points: Sequence[Point]) -> Iterator[str]:
    for name, count in Counter(point.name for point in points).items():
        if count > 1:
            yield f"space: {count} different points would share the run folder {name}: change their values"


def _configurations(settings: SweepSettings, base: Config, points: Sequence[Point]) -> Iterator[str]:
    seen: set[str] = set()
    opened = False
    for point in points:
        try:
            config = varied(base, dict(point.values))
            if missing := {settings.metric} - set(metric_names(config)):
                raise ConfigError(f"metric: {missing.pop()} is never reported by {point.name}")
            # Looking at the data set takes a while, and most keys have nothing to do with it.
            if not opened or not all(key.startswith(WITHOUT_DATA) for key in point.values):
                check(config)
                opened = True
        except ConfigError as error:
            lines = [line for line in str(error).splitlines() if line not in seen]
            seen.update(lines)
            yield from lines
