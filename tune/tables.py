"""The tables of a sweep."""

from typing import Any

from aligngan.config import Config, dump
from aligngan.reporting.table import Row, Table, Value, with_best
from tune.points import short_names
from tune.results import Group, SweepResults
from tune.settings import varied


def points_table(results: SweepResults) -> Table:
    """Return one row per point: mean and deviation of Rank-1 and mAP over its seeds, references last."""
    keys = list(results.settings.space)
    short = short_names(keys)
    groups = sorted(results.groups(), key=lambda group: group.reference is not None)
    rows = [_row(results, group, keys) for group in groups if group.reference is None]
    rows = list(with_best(rows)) + [_row(results, group, keys) for group in groups if group.reference is not None]
    return Table(
        "points",
        "Points of the sweep",
        short[keys[0]],
        (*(short[key] for key in keys[1:]), "seeds", "Rank-1", "mAP"),
        tuple(rows),
        notes=(
            f"{results.search}, in percent: mean and sample standard deviation over seeds of the trials that were "
            "trained to their end. The highest is bold.",
        ),
    )


def trials_table(results: SweepResults) -> Table:
    """Return one row per trial with everything that is known of it."""
    keys = list(results.settings.space)
    short = short_names(keys)
    names = list(dict.fromkeys(name for result in results.results for name in result.scores))
    rows = []
    for result in results.results:
        values = [_text(result.values[key]) for key in keys]
        scores = [Value(result.scores[name], digits=2) if name in result.scores else None for name in names]
        seconds = None if result.seconds is None else Value(result.seconds)
        iteration = None if result.iteration is None else Value(result.iteration, digits=0)
        place = (result.reference or "", *values, str(result.seed), result.status)
        rows.append(Row(result.name, (*place, iteration, *scores, seconds, result.run)))
    return Table(
        "trials",
        "All trials",
        "trial",
        ("reference", *(short[key] for key in keys), "seed", "status", "iteration", *names, "seconds", "run folder"),
        tuple(rows),
    )


def best_config(results: SweepResults) -> Config | None:
    """Return the configuration of the best point, for a run of its own, or None where nothing is finished."""
    best = results.best()
    if best is None:
        return None
    config = varied(results.base, best.values)
    return config.model_copy(update={"run": config.run.model_copy(update={"name": None, "storage": "runs"})})


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


def _row(results: SweepResults, group: Group, keys: list[str]) -> Row:
    scores = [Value(group.mean(name), group.spread(name)) for name in (results.rank1, results.mean_ap)]
    first = group.reference or _text(group.values[keys[0]])
    others = [None if group.reference else _text(group.values[key]) for key in keys[1:]]
    return Row(first, (*others, str(len(group.results)), *scores), "reported" if group.reference else "measured")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
