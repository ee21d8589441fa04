"""The pictures of a sweep's points: Figure 4 and a heat map."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aligngan.reporting.drawing import COLOURS, FAINT, INK, MARKERS, Picture, drawing_style, finished
from tune.points import base_value, short_names
from tune.results import Group, SweepResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYMBOLS = {
    "loss.lambda_id_pix": r"$\lambda_{id}^{pix}$",
    "loss.lambda_gan_feat": r"$\lambda_{gan}^{feat}$",
    "loss.lambda_cyc": r"$\lambda_{cyc}$",
}
"""The paper's signs for keys that it has signs for."""
LINES: tuple[Any, ...] = ("--", "-.", (0, (6, 1, 1, 1)), (0, (1, 1)))
NARROWEST = 2.0
"""Percentage points that an axis of scores spans at least, so that no noise fills a picture."""
CHARACTER = 0.027
"""Share of an axis that a character of a tick's label takes."""


def weights_picture(results: SweepResults) -> Picture | None:
    """Return Figure 4: Rank-1 and mAP against each key with the others as in the base, or None without such points.

    Lines are means over seeds, bands the sample standard deviation, points the seeds, and lines across the panels the
    references.
    """
    slices = {key: found for key in results.settings.space if len(found := _slice(results, key)) > 1}
    if not slices:
        return None
    from matplotlib.figure import Figure

    with drawing_style():
        figure = Figure(figsize=(0.8 + 3.9 * len(slices), 5.6), layout="constrained")
        panels = figure.subplots(2, len(slices), sharex="col", sharey="row", squeeze=False)
        for row, (name, title) in enumerate(measures(results)):
            for panel, (key, groups) in zip(panels[row], slices.items(), strict=True):
                values = [float(group.values[key]) for group in groups]
                _means(panel, values, groups, name, row)
                _references(panel, results, name)
                if (base := _inside(results, key, values)) is not None:
                    panel.axvline(base, color=FAINT, linestyle=":", linewidth=1.2, zorder=0.9)
            _widen(panels[row][0])
            panels[row][0].set_ylabel(f"{title}, %")
        for number, (key, groups) in enumerate(slices.items()):
            scale = _scale(panels[1][number], [float(group.values[key]) for group in groups])
            panels[0][number].set_title(f"({'abcdefgh'[number % 8]}) {symbol(key)}")
            panels[1][number].set_xlabel(f"{symbol(key)}{scale}")
        marked = any(_inside(results, key, [group.values[key] for group in slices[key]]) is not None for key in slices)
        _legend(figure, results, marked, 5 if len(slices) > 1 else 2)
        spoken = "; ".join(
            f"{key}: " + ", ".join(f"{group.values[key]:g} gives {group.mean(results.rank1):.1f}" for group in groups)
            for key, groups in slices.items()
        )
        paper = "As the paper's Figure 4: " if all(key in SYMBOLS for key in slices) else ""
        short = short_names(list(results.settings.space))
        others = ", ".join(f"{short[key]} {base_value(results.base, key)}" for key in slices)
        return finished(
            figure,
            "figure-4",
            "Rank-1 and mAP against each weight",
            f"Rank-1 and mAP against each varied key. Mean Rank-1 in percent: {spoken}.",
            f"{paper}{search_title(results, capital=not paper)}. {_seeds(results)} In each column one key varies and "
            f"the others are as in the base ({others}). The vertical axes do not begin at 0."
            + ("" if results.chance is None else f" Guessing has a Rank-1 of {results.chance:.1f} %."),
        )


def heat_map(results: SweepResults) -> Picture | None:
    """Return Rank-1 and mAP over the first two keys whose combinations were tried, or None where there are none."""
    groups = [group for group in results.groups() if group.reference is None]
    numeric = [key for key in results.settings.space if _is_numeric(groups, key)]
    if len(numeric) != 2 or len(results.settings.space) != 2:
        return None
    down, across = numeric
    rows = sorted({group.values[down] for group in groups}, reverse=True)
    columns = sorted({group.values[across] for group in groups})
    # One key at a time fills a cross and draws fill a diagonal: a map of holes tells nothing.
    if len(rows) < 2 or len(columns) < 2 or len(groups) < 0.6 * len(rows) * len(columns):
        return None
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    several = any(len(group.results) > 1 for group in groups)
    here = {key: base_value(results.base, key) for key in numeric}
    in_map = here[down] in rows and here[across] in columns
    with drawing_style():
        size = (1.2 + 1.5 * len(columns), 1.3 + (0.62 if several else 0.55) * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        for panel, (name, title) in zip(figure.subplots(1, 2), measures(results), strict=True):
            cells = np.full((len(rows), len(columns)), np.nan)
            texts = {}
            for group in groups:
                place = rows.index(group.values[down]), columns.index(group.values[across])
                cells[place] = group.mean(name)
                spread = group.spread(name)
                texts[place] = f"{group.mean(name):.1f}" + ("" if spread is None else f"\n\u00b1 {spread:.1f}")
            image = panel.imshow(cells, cmap="cividis", aspect="auto")
            middle, top = (np.nanmin(cells) + np.nanmax(cells)) / 2, np.nanmax(cells)
            for (row, column), value in np.ndenumerate(cells):
                colour = FAINT if np.isnan(value) else "white" if value < middle else INK
                weight = "bold" if value == top else "normal"
                text = texts.get((row, column), "-")
                panel.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=8.5)
            if in_map:
                corner = columns.index(here[across]) - 0.47, rows.index(here[down]) - 0.47
                panel.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=INK, linewidth=1.6))
            panel.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
            panel.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
            panel.set(title=f"{title}, %", xlabel=symbol(across), ylabel=symbol(down))
            panel.grid(visible=False)
            figure.colorbar(image, ax=panel)
        best = max(groups, key=lambda group: group.mean(results.rank1))
        return finished(
            figure,
            "heat-map",
            "Rank-1 and mAP over both weights",
            f"Heat map of {len(rows)} values of {down} by {len(columns)} of {across}. The highest mean Rank-1 is "
            f"{best.mean(results.rank1):.1f} at {best.values[down]:g} and {best.values[across]:g}.",
            f"{search_title(results, capital=True)}. "
            + ("Means over seeds with the sample standard deviation; " if several else "One seed; ")
            + "the highest is bold; a dash was not trained to its end."
            + (" The frame is the base." if in_map else "")
            + "".join(f" {_in_words(results, group)}" for group in results.references()),
        )


def symbol(key: str) -> str:
    """Return the paper's sign for a key, or its last part."""
    return SYMBOLS.get(key, key.rpartition(".")[2])


def measures(results: SweepResults) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the scores that pictures show, each with its title."""
    return (results.rank1, "Rank-1"), (results.mean_ap, "mAP")


def search_title(results: SweepResults, capital: bool = False) -> str:
    """Return the search that scores are of, in words."""
    mode, _, shots = results.search.partition("-")
    title = f"{mode}-search, {shots}-shot" if shots else results.search
    return title[0].upper() + title[1:] if capital else title


def _means(panel: "Axes", values: Sequence[float], groups: Sequence[Group], name: str, row: int) -> None:
    colour = COLOURS[row]
    means = np.array([group.mean(name) for group in groups])
    spreads = np.array([group.spread(name) or 0.0 for group in groups])
    panel.fill_between(values, means - spreads, means + spreads, alpha=0.18, linewidth=0, color=colour)
    panel.plot(values, means, marker=MARKERS[row], markersize=6, markeredgecolor="white", color=colour)
    for value, group in zip(values, groups, strict=True):
        if len(group.results) > 1:
            seeds = group.scores(name)
            panel.plot([value] * len(seeds), seeds, linestyle="", marker=".", markersize=4, color=INK, zorder=3)


def _references(panel: "Axes", results: SweepResults, name: str) -> None:
    for line, reference in zip(LINES * len(results.references()), results.references(), strict=False):
        mean, spread = reference.mean(name), reference.spread(name)
        panel.axhline(mean, linestyle=line, linewidth=1.4, color=INK, zorder=1.5)
        if spread is not None:
            panel.axhspan(mean - spread, mean + spread, color=INK, alpha=0.08, linewidth=0)


def _inside(results: SweepResults, key: str, values: Sequence[float]) -> float | None:
    """The base's value of a key where it lies among these."""
    value = base_value(results.base, key)
    return float(value) if isinstance(value, int | float) and min(values) <= value <= max(values) else None


def _legend(figure: "Figure", results: SweepResults, marked: bool, columns: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if any(len(group.results) > 1 for group in results.groups()):
        handles += [
            Line2D([], [], color=COLOURS[0], marker=MARKERS[0], markeredgecolor="white", label="mean over seeds"),
            Line2D([], [], color=INK, linestyle="", marker=".", markersize=5, label="a seed"),
            Patch(color=COLOURS[0], alpha=0.18, linewidth=0, label="standard deviation"),
        ]
    handles += [
        Line2D([], [], color=INK, linestyle=line, label=str(group.reference))
        for line, group in zip(LINES * len(results.references()), results.references(), strict=False)
    ]
    if marked:
        handles.append(Line2D([], [], color=FAINT, linestyle=":", label="value in the base"))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _slice(results: SweepResults, key: str) -> list[Group]:
    """The groups in which all other keys are as in the base, by rising value; none where values are no numbers."""
    others = {other: base_value(results.base, other) for other in results.settings.space if other != key}
    groups = [
        group
        for group in results.groups()
        if group.reference is None and all(group.values[other] == value for other, value in others.items())
    ]
    return sorted(groups, key=lambda group: group.values[key]) if _is_numeric(groups, key) else []


def _is_numeric(groups: Sequence[Group], key: str) -> bool:
    return all(isinstance(group.values[key], int | float) for group in groups)


def _widen(panel: "Axes") -> None:
    low, high = panel.get_ylim()
    lacking = max(0.0, NARROWEST - (high - low)) / 2
    panel.set_ylim(max(low - lacking, 0.0), min(high + lacking, 100.0))


def _scale(panel: "Axes", values: Sequence[float]) -> str:
    """Make the axis logarithmic where its values span much, tick what was tried; return what its label has to say.

    0 stands apart at the left end of a logarithmic axis.
    """
    positive = [value for value in values if value > 0]
    logarithmic = len(positive) > 1 and max(positive) / min(positive) >= 5 and min(values) >= 0
    if logarithmic and len(positive) == len(values):
        panel.set_xscale("log")
    elif logarithmic:
        panel.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
        panel.set_xlim(-0.2 * min(positive), 1.2 * max(positive))
    places = [math.log(value) for value in positive] if logarithmic else list(values)
    character = CHARACTER * (max(places) - min(places))
    ticks = [f"{value:g}" for value in values if logarithmic and value <= 0]
    taken: list[tuple[float, float]] = []
    texts = [f"{value:g}" for value in (positive if logarithmic else values)]
    # The ends first, then the roundest, as far as their labels have room.
    for number in sorted(range(len(texts)), key=lambda at: (at not in (0, len(texts) - 1), len(texts[at]))):
        reach = character * (len(texts[number]) + 1) / 2
        if all(abs(places[number] - place) >= reach + other for place, other in taken):
            ticks.append(texts[number])
            taken.append((places[number], reach))
    panel.set_xticks([float(tick) for tick in ticks], ticks)
    panel.set_xticks([], minor=True)
    return " (log scale)" if logarithmic else ""


def _in_words(results: SweepResults, group: Group) -> str:
    scores = ", ".join(f"{title} {group.mean(name):.1f} %" for name, title in measures(results))
    return f"Not in the map, {group.reference}: {scores}."


def _seeds(results: SweepResults) -> str:
    counts = {len(group.results) for group in results.groups()}
    if counts == {1}:
        return "One seed."
    many = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f"Lines are means over {many} seeds, bands one sample standard deviation, points the seeds."
