"""Scores as a table for people, set out like the paper's Tables 2 and 3."""

import io
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aligngan.features import FLIP_FEATURE
from aligngan.reported import reported_rows
from aligngan.scores import DATA_SET_TITLES, SCORE_NAMES

WIDTH = 100
# Probes and gallery rows of the published sets; what has other numbers is not comparable with the paper.
_PUBLISHED = {
    ("all", "single"): (3803, 301),
    ("all", "multi"): (3803, 3010),
    ("indoor", "single"): (3803, 112),
    ("indoor", "multi"): (3803, 1120),
    "visible2thermal": (2060, 2060),
    "thermal2visible": (2060, 2060),
}


def scores_table(scores: dict[str, Any], reference_rows: bool = False) -> Table:
    """Return the table of a tree from `score_dataset`: mean, standard deviation and chance of every search.

    Args:
        scores: percent, labelled.
        reference_rows: also show the rows that the paper prints for the same search, marked as the paper's.

    Raises:
        ValueError: for reference rows beside anything but the whole published SYSU-MM01 or RegDB.
    """
    if reference_rows:
        _refuse_comparison(scores)
    # As Text, since brackets in a path would otherwise be taken for markup.
    table = Table(
        title=Text(_title(scores)),
        caption=Text(_caption(scores)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        collapse_padding=True,
    )
    table.add_column(f"{DATA_SET_TITLES.get(scores['data_set'], scores['data_set'])}, %", min_width=24)
    for name in SCORE_NAMES:
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("probes", "gallery"):
        table.add_column(name, justify="right", no_wrap=True)
    for search in scores["searches"]:
        _add_search(table, _labelled_method(scores), search, reference_rows)
    return table


def scores_text(scores: dict[str, Any], reference_rows: bool = False) -> str:
    """Return the table as plain text of at most 100 columns, for logs and files; arguments as `scores_table`."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(scores_table(scores, reference_rows))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def search_name(search: dict[str, Any]) -> str:
    """Return the name of a search in the paper's words, as `all-search, single-shot`."""
    if "direction" in search:
        return str(search["direction"])
    return f"{search['mode']}-search, {search['shots']}-shot"


def _add_search(table: Table, method: str, search: dict[str, Any], reference_rows: bool) -> None:
    counted, probes = search["probes_counted"], search["probes"]
    trials = len(search["trials"])
    table.add_row(f"[bold]{search_name(search)}[/bold]")
    if reference_rows:
        for name, row in reported_rows(search).items():
            table.add_row(f"  paper: {name}", *_cells(row, ".1f"), style="dim")
    table.add_row(f"  {method}", *_cells(search["mean"], ".2f"), str(probes), str(search["gallery_rows"]))
    if trials > 1:
        table.add_row(f"  std, {trials} trials", *_cells(search["standard_deviation"], ".2f"))
    note = f"{counted} count" if counted != probes else ""
    table.add_row("  chance", f"{search['chance_R1']:.2f}", *[""] * (len(SCORE_NAMES) - 1), note, end_section=True)


def _cells(values: Mapping[str, float | None], form: str) -> list[str]:
    found = (values.get(name) for name in SCORE_NAMES)
    return ["-" if value is None else format(value, form) for value in found]


def _labelled_method(scores: dict[str, Any]) -> str:
    """The method with what was added to it, so that no row of scores stands without."""
    flip = ", flip" if scores["feature"] == FLIP_FEATURE else ""
    re_ranked = "" if scores["re_ranking"] == "none" else ", re-ranked"
    return scores["method"] + flip + re_ranked


def _title(scores: dict[str, Any]) -> str:
    of = "" if scores["iteration"] is None else f" at iteration {scores['iteration']}"
    name = DATA_SET_TITLES.get(scores["data_set"], scores["data_set"])
    return f"{scores['method']} on {name}{of}: {scores['test_persons']} test persons"


def _caption(scores: dict[str, Any]) -> str:
    draws = ", ".join(sorted({search["gallery_draw"] for search in scores["searches"]}))
    pairings = ", ".join(f"{name} {value:.3f}" for name, value in scores["iccs"].items() if value is not None)
    lines = [
        f"gallery: {draws}; feature: {scores['feature']}; {scores['similarity']}; re-ranking: {scores['re_ranking']}"
    ]
    if skipped := len(scores.get("skipped_pictures", ())):
        lines.append(f"{skipped} broken pictures were skipped")
    if pairings:
        lines.append(f"intra-class cosine similarity: {pairings}")
    lines += _checkpoints(scores["checkpoint"], scores["checkpoint_digest"])
    return "\n".join(lines)


def _checkpoints(names: str | list | None, digests: str | list | None) -> list[str]:
    if not isinstance(names, list) or not isinstance(digests, list):
        names, digests = [names], [digests]
    return [
        f"checkpoint: {name}" + (f", digest {digest}" if digest else "")
        for name, digest in zip(names, digests, strict=True)
        if name is not None
    ]


def comparable(scores: dict[str, Any]) -> bool:
    """Return whether the paper's rows may stand beside scores: they are of the whole published SYSU-MM01 or RegDB."""
    try:
        _refuse_comparison(scores)
    except ValueError:
        return False
    return True


def _refuse_comparison(scores: dict[str, Any]) -> None:
    if scores["data_set"] not in ("sysu-mm01", "regdb"):
        raise ValueError(
            f"the paper's numbers are of SYSU-MM01 and RegDB and say nothing about the {scores['data_set']} set; "
            "leave the reference rows out"
        )
    for search in scores["searches"]:
        key = search.get("direction") or (search["mode"], search["shots"])
        found = search["probes"], search["gallery_rows"]
        if found != _PUBLISHED[key]:
            raise ValueError(
                f"{search_name(search)} has {found[0]} probes and {found[1]} gallery rows, the published set has "
                f"{_PUBLISHED[key][0]} and {_PUBLISHED[key][1]}: the paper's numbers do not compare"
            )
