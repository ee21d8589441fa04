"""The pictures of a sweep: Figure 4, a heat map, parallel coordinates and the courses of the trials."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aligngan.reporting.drawing import COLOURS, FAINT, INK, MARKERS, Picture, drawing_style, finished
from tune.points import base_value, short_names
from tune.results import Group, SweepResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SYMBOLS = {
    "loss.lambda_id_pix": r"$\lambda_{id}^{pix}$",
    "loss.lambda_gan_feat": r"$\lambda_{gan}^{feat}$",
    "loss.lambda_cyc": r"$\lambda_{cyc}$",
}
"""The paper's signs for keys that it has signs for."""
LINES: tuple[Any, ...] = ("--", ":", "-.", (0, (6, 1, 1, 1)))


def weights_picture(results: SweepResults) -> Picture | None:
    """Return Figure 4: Rank-1 and mAP against each key with the others as in the base, or None without such points.

    Lines are means over seeds, bands the sample standard deviation, points the seeds, and lines across the panels the
    references.
    """
    slices = {key: found for key in results.settings.space if len(found := _slice(results, key)) > 1}
    if not slices:
        return None
    from matplotlib.figure import Figure

    references = [group for group in results.groups() if group.reference is not None]
    with drawing_style():
        figure = Figure(figsize=(0.4 + 4.0 * len(slices), 3.7), layout="constrained")
        panels = figure.subplots(1, len(slices), sharey=True, squeeze=False)[0]
        for number, (panel, (key, groups)) in enumerate(zip(panels, slices.items(), strict=True)):
            values = [float(group.values[key]) for group in groups]
            for place, (name, title) in enumerate(_measures(results)):
                style = {"color": COLOURS[place]}
                means = np.array([group.mean(name) for group in groups])
                spreads = np.array([group.spread(name) or 0.0 for group in groups])
                panel.fill_between(values, means - spreads, means + spreads, alpha=0.16, linewidth=0, **style)
                for value, group in zip(values, groups, strict=True):
                    panel.plot(
                        [value] * len(group.results), group.scores(name), linestyle="", marker=".", alpha=0.6, **style
                    )
                panel.plot(values, means, marker=MARKERS[place], markersize=6, label=title, **style)
                for line, reference in zip(LINES * len(references), references, strict=False):
                    label = f"{reference.reference}, {title}"
                    panel.axhline(reference.mean(name), linestyle=line, linewidth=1.3, label=label, **style)
            _scale(panel, values)
            panel.set(title=f"({'abcdefgh'[number % 8]}) {symbol(key)}", xlabel=symbol(key))
            panel.set_ylim(bottom=0)
        panels[0].set_ylabel("percent")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
        spoken = "; ".join(
            f"{key}: " + ", ".join(f"{group.values[key]:g} gives {group.mean(results.rank1):.1f}" for group in groups)
            for key, groups in slices.items()
        )
        return finished(
            figure,
            "figure-4",
            "Rank-1 and mAP against each weight",
            f"Rank-1 and mAP against each varied key. Mean Rank-1 in percent: {spoken}.",
            f"As the paper's Figure 4, {_search_title(results)}. {_seeds(results)} The other keys are as in the base "
            f"({', '.join(f'{symbol(key)} {base_value(results.base, key)}' for key in slices)}).".replace("$", ""),
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

    with drawing_style():
        figure = Figure(figsize=(1.2 + 1.5 * len(columns), 1.3 + 0.55 * len(rows)), layout="constrained")
        for panel, (name, title) in zip(figure.subplots(1, 2), _measures(results), strict=True):
            cells = np.full((len(rows), len(columns)), np.nan)
            for group in groups:
                cells[rows.index(group.values[down]), columns.index(group.values[across])] = group.mean(name)
            image = panel.imshow(cells, cmap="cividis", aspect="auto")
            middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
            top = np.nanmax(cells)
            for (row, column), value in np.ndenumerate(cells):
                text = "-" if np.isnan(value) else f"{value:.1f}"
                colour = FAINT if np.isnan(value) else "white" if value < middle else INK
                weight = "bold" if value == top else "normal"
                panel.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=9)
            panel.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
            panel.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
            panel.set(title=f"{title}, percent", xlabel=symbol(across), ylabel=symbol(down))
            panel.grid(visible=False)
            figure.colorbar(image, ax=panel)
        best = max(groups, key=lambda group: group.mean(results.rank1))
        return finished(
            figure,
            "heat-map",
            "Rank-1 and mAP over both weights",
            f"Heat map of {len(rows)} values of {down} by {len(columns)} of {across}. The highest mean Rank-1 is "
            f"{best.mean(results.rank1):.1f} at {best.values[down]:g} and {best.values[across]:g}.",
            f"{_search_title(results, capital=True)}. Means over seeds; the highest is bold; a dash was not trained to "
            "its end.",
        )


def parallel_coordinates(results: SweepResults) -> Picture | None:
    """Return one line per trial across its values and scores, coloured by the metric, or None below two trials."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    trials = [result for result in results.results if result.reference is None and result.scores]
    if len(trials) < 2:
        return None
    keys = list(results.settings.space)
    names = [*keys, results.rank1, results.mean_ap]
    columns: list[list[Any]] = [[trial.values[key] for trial in trials] for key in keys]
    columns += [[trial.scores[name] for trial in trials] for name in names[len(keys) :]]
    metric = [trial.scores[results.settings.metric] for trial in trials]
    with drawing_style():
        figure = Figure(figsize=(1.6 + 1.9 * len(names), 3.8), layout="constrained")
        panel = figure.subplots()
        whole = [value for value, trial in zip(metric, trials, strict=True) if trial.status == "finished"] or metric
        norm = Normalize(min(whole), max(whole) if max(whole) > min(whole) else min(whole) + 1)
        colours = ScalarMappable(norm, "viridis")
        heights = [_heights(column) for column in columns]
        for number in sorted(range(len(trials)), key=lambda trial: metric[trial]):
            stopped = trials[number].status != "finished"
            line = [height[number] for height, _ in heights]
            panel.plot(
                range(len(names)),
                line,
                color=FAINT if stopped else tuple(colours.cmap(norm(metric[number]))),
                linestyle=":" if stopped else "-",
                linewidth=1.0 if stopped else 1.8,
                alpha=0.9,
            )
        for place, (_, ticks) in enumerate(heights):
            panel.axvline(place, color=INK, linewidth=1)
            for height, text in ticks:
                panel.annotate(
                    text, (place, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
                )  # fmt: skip
        short = short_names(keys)
        labels = [SYMBOLS.get(key, short[key]) for key in keys] + ["Rank-1", "mAP"]
        panel.set_xticks(range(len(names)), labels)
        panel.set(yticks=[], xlim=(-0.15, len(names) - 0.6), ylim=(-0.06, 1.06))
        panel.spines[["left", "bottom"]].set_visible(False)
        panel.grid(visible=False)
        figure.colorbar(colours, ax=panel, label=f"{'Rank-1' if results.settings.metric.endswith('R1') else 'mAP'}, %")
        return finished(
            figure,
            "parallel-coordinates",
            "All trials",
            f"One line for each of {len(trials)} trials across {', '.join(keys)}, Rank-1 and mAP.",
            f"{_search_title(results, capital=True)}. One line per trial, coloured by its score."
            + (" Dotted: not trained to its end." if any(trial.status != "finished" for trial in trials) else ""),
        )


def courses_picture(results: SweepResults) -> Picture | None:
    """Return the metric of every trial over its iterations, or None where trials were scored once only."""
    from matplotlib.figure import Figure

    trials = [result for result in results.results if result.course]
    if not any(len(trial.course) > 1 for trial in trials):
        return None
    metric = results.settings.metric
    with drawing_style():
        figure = Figure(figsize=(8.0, 3.8), layout="constrained")
        panel = figure.subplots()
        drawn = set()
        kinds = {"finished": ("-", COLOURS[0], 0.75), "reference": ("--", COLOURS[1], 0.9)}
        for trial in trials:
            kind = "reference" if trial.reference and trial.status == "finished" else trial.status
            line, colour, alpha = kinds.get(kind, (":", FAINT, 0.9))
            iterations = [iteration for iteration, _ in trial.course]
            scores = [scores[metric] for _, scores in trial.course]
            label = {"stopped": "stopped early"}.get(kind, kind) if kind not in drawn else None
            drawn.add(kind)
            panel.plot(iterations, scores, linestyle=line, color=colour, alpha=alpha, linewidth=1.2, label=label)
            if kind == "stopped":
                panel.plot(iterations[-1:], scores[-1:], marker="x", color=INK, linestyle="")
        panel.set(xlabel="iteration", ylabel="percent", title=f"{_measure_title(results)} of every trial")
        panel.set_ylim(bottom=0)
        panel.legend()
        stopped = sum(trial.status == "stopped" for trial in trials)
        return finished(
            figure,
            "courses",
            "Scores over the training",
            f"{metric} of {len(trials)} trials over their iterations; {stopped} were stopped early.",
            f"{_search_title(results, capital=True)}. One line per trial"
            + ("; a cross is where it was stopped." if stopped else "."),
        )


def symbol(key: str) -> str:
    """Return the paper's sign for a key, or its last part."""
    return SYMBOLS.get(key, key.rpartition(".")[2])


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


def _measures(results: SweepResults) -> tuple[tuple[str, str], tuple[str, str]]:
    return (results.rank1, "Rank-1"), (results.mean_ap, "mAP")


def _scale(panel: "Axes", values: Sequence[float]) -> None:
    """A log axis with a tick at every value tried, where they span much; 0 stands apart at its left end."""
    positive = [value for value in values if value > 0]
    if len(positive) > 1 and max(positive) / min(positive) >= 5 and min(values) >= 0:
        panel.set_xscale("log" if len(positive) == len(values) else "symlog", **_linear_part(values, positive))
    panel.set_xticks(values, [f"{value:g}" for value in values])
    panel.set_xticks([], minor=True)


def _linear_part(values: Sequence[float], positive: Sequence[float]) -> dict[str, float]:
    return {} if len(positive) == len(values) else {"linthresh": min(positive), "linscale": 0.5}


def _heights(column: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values lie between 0 and 1 on their axis, and the heights that are labelled."""
    if not all(isinstance(value, int | float) for value in column):
        kinds = sorted({str(value) for value in column})
        places = {kind: index / max(1, len(kinds) - 1) for index, kind in enumerate(kinds)}
        return [places[str(value)] for value in column], [(place, kind) for kind, place in places.items()]
    low, high = min(column), max(column)
    if low == high:
        return [0.5] * len(column), [(0.5, f"{low:g}")]
    logarithmic = low > 0 and high / low >= 10
    measured = [math.log(value) if logarithmic else float(value) for value in column]
    bottom, top = min(measured), max(measured)
    heights = [(value - bottom) / (top - bottom) for value in measured]
    tried = sorted(set(zip(heights, column, strict=True)))
    if len(tried) > 8:
        tried = [tried[0], tried[-1]]
    return heights, [(height, f"{value:.4g}") for height, value in tried]


def _search_title(results: SweepResults, capital: bool = False) -> str:
    mode, _, shots = results.search.partition("-")
    title = f"{mode}-search, {shots}-shot" if shots else results.search
    return title[0].upper() + title[1:] if capital else title


def _measure_title(results: SweepResults) -> str:
    return "Rank-1" if results.settings.metric.endswith(" R1") else "mAP"


def _seeds(results: SweepResults) -> str:
    counts = {len(group.results) for group in results.groups()}
    if counts == {1}:
        return "One seed."
    many = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f"Lines are means over {many} seeds, bands one sample standard deviation, points the seeds."
