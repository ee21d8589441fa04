"""Scores over methods: Table 4, Tables 2 and 3 beside the paper's rows, Table 1's similarities, and every run."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aligngan.reported import reported_rows
from aligngan.reporting.groups import Group, Variant
from aligngan.reporting.runs import Run
from aligngan.reporting.table import Cell, Row, Table, Value, with_best
from aligngan.scores import SCORE_NAMES
from aligngan.tables import scores_table, search_name

Search = dict[str, Any]

_PAIRINGS = {"rgb2rgb": "RGB to RGB", "ir2ir": "IR to IR", "ir2rgb": "IR to RGB", "rgb2ir": "RGB to IR"}
_TABLE_4 = ("R1", "R10", "R20", "mAP")
_METHODS_OF_TABLE_4 = ("baseline", "pixalign", "featalign", "aligngan-minus", "AlignGAN")


def main_search(group: Group) -> Search:
    """Return the first search of a group's scores, in the paper's order all-search, single-shot where it is there."""
    return _searches(group)[0]


def methods_table(group: Group) -> Table:
    """Return Table 4: one row per method for the main search, means and deviations over its runs in percent."""
    search = main_search(group)
    rows = [_row(variant, [search], _TABLE_4) for variant in group.scored]
    comparable = not_comparable(group) is None
    if comparable:
        reported = reported_rows(search)
        rows += [_reported(name, reported, _TABLE_4) for name in _METHODS_OF_TABLE_4 if name in reported]
    rows.append(_chance([search], _TABLE_4))
    return Table(
        name=f"{group.anchor}-methods",
        title=f"{group.title}: methods, {search_name(search)}, percent",
        corner="method",
        columns=("runs", *_TABLE_4),
        rows=with_best([_counted(row, variants) for row, variants in _paired(rows, group.scored)]),
        notes=(_about(search), *_behind(group), *_reported_note(group)),
    )


def searches_tables(group: Group) -> list[Table]:
    """Return Table 2 as one table for each mode, or Table 3, beside the paper's rows where they compare."""
    columns = ("R1", "mAP") if "direction" in main_search(group) else _TABLE_4
    by_mode: dict[str, list[Search]] = {}
    for search in _searches(group):
        by_mode.setdefault(search.get("mode", "directions"), []).append(search)
    return [_searches_table(group, mode, searches, columns) for mode, searches in by_mode.items()]


def similarity_table(group: Group) -> Table:
    """Return the mean intra-class cosine similarity of Table 1, in [-1, 1], of each method."""
    rows = []
    for variant in group.scored:
        of_runs = [_scores(run)["iccs"] for run in variant.scored]
        rows.append(Row(variant.label, tuple(_value([iccs[name] for iccs in of_runs], 3) for name in _PAIRINGS)))
    return Table(
        name=f"{group.anchor}-similarity",
        title=f"{group.title}: intra-class cosine similarity",
        corner="method",
        columns=tuple(_PAIRINGS.values()),
        rows=tuple(rows),
        notes=(
            "Mean cosine similarity of two pictures of the same person (ICCS, Table 1 of the paper); 1 is the most. "
            "A method that gives all pictures much the same feature has a high value too: read it beside Rank-1.",
        ),
    )


def runs_table(group: Group) -> Table:
    """Return all scores of the main search for every scored run, with seed, length and speed."""
    head = ("seed", "trial", "iteration", "images/s", *SCORE_NAMES)
    with_trial = group.data_set == "regdb"
    columns = tuple(name for name in head if with_trial or name != "trial")
    rows = []
    for variant in group.variants:
        for run in variant.runs:
            found = _search_of(run, main_search(group)) if run.scores is not None and group.scored else None
            cells: dict[str, Cell] = {
                "seed": str(run.seed),
                "trial": str(run.config.data.trial),
                "iteration": str(run.scores["iteration"]) if run.scores is not None else None,
                "images/s": _speed(run),
                **{name: None if found is None else Value(found["mean"][name], digits=2) for name in SCORE_NAMES},
            }
            rows.append(Row(f"{variant.label}: {run.name}", tuple(cells[name] for name in columns)))
    return Table(
        name=f"{group.anchor}-runs",
        title=f"{group.title}: runs" + (f", {search_name(main_search(group))}, percent" if group.scored else ""),
        corner="method: run",
        columns=columns,
        rows=tuple(rows),
        notes=("Images/s is the median of the training's reports, on the machines that it ran on.",),
    )


def not_comparable(group: Group) -> str | None:
    """Return why the paper's numbers do not stand beside this group's, or None where they do."""
    for variant in group.scored:
        for run in variant.scored:
            try:
                scores_table(_scores(run), reference_rows=True)
            except ValueError as error:
                return str(error)
    return None


def spread_over_runs(variant: Variant, search: Search, score: str) -> list[float]:
    """Return a score of a search in percent, of each scored run of a variant in turn."""
    return [_search_of(run, search)["mean"][score] for run in variant.scored]


def _searches_table(group: Group, mode: str, searches: list[Search], columns: tuple[str, ...]) -> Table:
    rows = [_row(variant, searches, columns) for variant in group.scored]
    if not_comparable(group) is None:
        per_search = [reported_rows(search) for search in searches]
        names = list(dict.fromkeys(name for reported in per_search for name in reported))
        rows += [
            Row(
                f"paper: {name}",
                tuple(_number(reported.get(name, {}).get(column)) for reported in per_search for column in columns),
                kind="reported",
            )
            for name in names
        ]
    rows.append(_chance(searches, columns))
    heading = {"all": "all-search", "indoor": "indoor-search", "directions": "both directions"}[mode]
    return Table(
        name=f"{group.anchor}-{mode}",
        title=f"{group.title}: {heading}, percent",
        corner="method",
        columns=columns * len(searches),
        spans=tuple((_heading(search), len(columns)) for search in searches),
        rows=with_best(rows),
        notes=(*(_about(search) for search in searches), *_behind(group), *_reported_note(group)),
    )


def _heading(search: Search) -> str:
    return str(search["direction"]) if "direction" in search else f"{search['shots']}-shot"


def _row(variant: Variant, searches: Sequence[Search], columns: Sequence[str]) -> Row:
    cells = [_value(spread_over_runs(variant, search, name), 1) for search in searches for name in columns]
    return Row(variant.label, tuple(cells))


def _reported(name: str, reported: dict[str, dict[str, float]], columns: Sequence[str]) -> Row:
    return Row(f"paper: {name}", tuple(_number(reported[name].get(column)) for column in columns), kind="reported")


def _chance(searches: Sequence[Search], columns: Sequence[str]) -> Row:
    cells = [Value(search["chance_R1"]) if name == "R1" else None for search in searches for name in columns]
    return Row("chance", tuple(cells), kind="chance")


def _paired(rows: Sequence[Row], variants: Sequence[Variant]) -> Iterable[tuple[Row, Variant | None]]:
    return zip(rows, [*variants, *[None] * (len(rows) - len(variants))], strict=True)


def _counted(row: Row, variant: Variant | None) -> Row:
    return Row(row.label, (None if variant is None else str(len(variant.scored)), *row.cells), row.kind)


def _value(values: Sequence[float | None], digits: int) -> Value | None:
    """Mean and sample standard deviation over runs; a single run has no deviation."""
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return None
    return Value(float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else None, digits)


def _number(value: float | None) -> Value | None:
    return None if value is None else Value(value)


def _about(search: Search) -> str:
    trials = len(search["trials"])
    each = f", mean over {trials} trials of the gallery" if trials > 1 else ""
    return (
        f"{search_name(search)[0].upper()}{search_name(search)[1:]}: {search['probes']} probes, of which "
        f"{search['probes_counted']} have a match, {search['gallery_rows']} gallery pictures "
        f"({search['gallery_draw']}){each}."
    )


def _behind(group: Group) -> list[str]:
    """What is behind the numbers, and where they are not to be trusted."""
    notes = []
    several = [variant for variant in group.scored if len(variant.scored) > 1]
    if several:
        over = "trials and seeds" if group.data_set == "regdb" else "seeds"
        notes.append(f"\u00b1 is the sample standard deviation over the runs of a method, which differ in {over}.")
    for variant in several:
        seeds = [(run.seed, run.config.data.trial) for run in variant.scored]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{variant.label} has runs of the same seed, so its deviation says less than it seems to.")
    for run in (run for variant in group.scored for run in variant.scored):
        if skipped := _scores(run).get("skipped_pictures"):
            notes.append(f"{run.name} was scored without {len(skipped)} broken pictures.")
    if len(group.scored) > 1:
        notes.append("Bold is the highest mean, which says nothing of whether the difference is more than luck.")
    return [*notes, f"Feature: {_feature(group, 'feature')}; re-ranking: {_feature(group, 're_ranking')}."]


def _feature(group: Group, key: str) -> str:
    return str(_scores(group.scored[0].scored[0])[key])


def _reported_note(group: Group) -> list[str]:
    why = not_comparable(group)
    if why is None:
        return ["Rows that begin with paper: are what the paper prints, not results of this code."]
    return [f"The paper's rows are left out: {why.partition(';')[0]}."]


def _searches(group: Group) -> list[Search]:
    first = _scores(group.scored[0].scored[0])
    return sorted(first["searches"], key=_paper_order)


def _paper_order(search: Search) -> tuple[bool, bool]:
    return search.get("mode") == "indoor", search.get("shots") == "multi"


def _search_of(run: Run, search: Search) -> Search:
    """The same search in another run's scores."""
    return next(each for each in _scores(run)["searches"] if search_name(each) == search_name(search))


def _scores(run: Run) -> dict[str, Any]:
    assert run.scores is not None
    return run.scores


def _speed(run: Run) -> str | None:
    speeds = [record["images_per_second"] for record in run.records if "images_per_second" in record]
    return f"{np.median(speeds):.0f}" if speeds else None
