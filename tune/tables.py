"""The tables of a sweep."""

from collections import Counter
from typing import Any

from aligngan.config import Config, dump
from aligngan.reporting.table import Row, Table, Value, with_best
from tune.figures import search_title
from tune.points import short_names
from tune.results import Group, SweepResults
from tune.settings import varied


def points_table(results: SweepResults) -> Table:
    """Return one row per point: mean and deviation of Rank-1 and mAP over its seeds, references last."""
    keys = list(results.settings.space)
    short = short_names(keys)
    points = results.points()
    lacking = any(point.unfinished for point in points)
    rows = [_row(results, point, keys, lacking) for point in points if point.reference is None]
    rows = list(with_best(rows)) + [_row(results, point, keys, lacking) for point in points if point.reference]
    return Table(
        "points",
        "Points of the sweep",
        short[keys[0]],
        (*(short[key] for key in keys[1:]), "seeds", "Rank-1", "mAP", *(["not trained to the end"] if lacking else [])),
        tuple(rows),
        notes=(
            f"{search_title(results, capital=True)}, in percent: mean and sample standard deviation over the seeds "
            "that were trained to their end. The highest of the points is bold.",
        ),
    )


def trials_table(results: SweepResults) -> Table:
    """Return one row per trial with everything that is known of it."""
    keys = list(results.settings.space)
    short = short_names(keys)
    names = list(dict.fromkeys(name for result in results.results for name in result.scores))
    failed = any(result.message for result in results.results)
    rows = []
    for result in results.results:
        values = [_text(result.values[key]) for key in keys]
        scores = [Value(result.scores[name], digits=2) if name in result.scores else None for name in names]
        seconds = None if result.seconds is None else Value(result.seconds)
        iteration = None if result.iteration is None else Value(result.iteration, digits=0)
        place = (result.reference or "", *values, str(result.seed), result.status)
        message = [result.message or ""] if failed else []
        rows.append(Row(result.name, (*place, iteration, *scores, seconds, *message, result.run)))
    columns = ("reference", *(short[key] for key in keys), "seed", "status", "iteration", *names, "seconds")
    return Table(
        "trials",
        "All trials",
        "trial",
        (*columns, *(["message"] if failed else []), "run folder"),
        tuple(rows),
        notes=(
            "Scores in percent, of the last evaluation, at this iteration; compare trials at equal iterations. "
            "Seconds are those of the iterations, without start and evaluations.",
        ),
    )


def best_config(results: SweepResults) -> Config | None:
    """Return the configuration of the best point, for a run of its own, or None where nothing is finished."""
    best = results.best()
    if best is None:
        return None
    config = varied(results.base, best.values)
    return config.model_copy(
        update={"run": config.run.model_copy(update={"name": None, "storage": "runs", "if_exists": "refuse"})}
    )


def best_yaml(results: SweepResults, config: Config) -> str:
    """Return the best configuration as YAML for `aligngan.train --config`, with where it comes from above it."""
    best = results.best()
    assert best is not None
    score = Value(best.mean(results.settings.metric), best.spread(results.settings.metric))
    head = [
        f"# Best of {sum(group.reference is None for group in results.groups())} points of the sweep {results.name}.",
        f"# {results.settings.metric}: {score} % over {len(best.results)} seed(s).".replace("\u00b1", "+-"),
        "# python -m aligngan.train --config best.yaml",
    ]
    return "\n".join(head) + "\n" + dump(config)


def _row(results: SweepResults, group: Group, keys: list[str], lacking: bool) -> Row:
    names = (results.rank1, results.mean_ap)
    scores = [Value(group.mean(name), group.spread(name)) if group.results else None for name in names]
    first = group.reference or _text(group.values[keys[0]])
    others = [None if group.reference else _text(group.values[key]) for key in keys[1:]]
    counts = Counter(result.status for result in group.unfinished)
    missing = [", ".join(f"{count} {status}" for status, count in counts.items())] if lacking else []
    return Row(first, (*others, str(len(group.results)), *scores, *missing))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
