"""The pictures of a sweep's single trials: parallel coordinates and the courses of their scores."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aligngan.reporting.drawing import COLOURS, FAINT, INK, Picture, drawing_style, finished
from tune.figures import SYMBOLS, search_title
from tune.points import short_names
from tune.results import SweepResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COURSES: dict[str, dict[str, Any]] = {
    "finished": {"linestyle": "-", "color": COLOURS[0], "alpha": 0.75},
    "reference": {"linestyle": "--", "color": COLOURS[1], "alpha": 0.95},
    "stopped early": {"linestyle": ":", "color": FAINT, "marker": "x"},
    "failed": {"linestyle": ":", "color": FAINT, "marker": "v"},
    "begun": {"linestyle": ":", "color": FAINT, "marker": "o", "markerfacecolor": "white"},
}
"""How the trials of each status are drawn; the marker is where one that is not finished was scored last."""
Ticks = list[tuple[float, str]]


def parallel_coordinates(results: SweepResults) -> Picture | None:
    """Return one line per trial across its values and scores, coloured by the metric, or None below two trials."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
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
        figure = Figure(figsize=(2.0 + 2.0 * (len(names) - 1), 4.0), layout="constrained")
        panel = figure.subplots()
        whole = [value for value, trial in zip(metric, trials, strict=True) if trial.status == "finished"] or metric
        norm = Normalize(min(whole), max(whole) if max(whole) > min(whole) else min(whole) + 1)
        # The best are the darkest; the palest of the map would be lost on white.
        palette = ListedColormap(colormaps["viridis"](np.linspace(0.88, 0.0, 256)))
        axes = [_axis(column) for column in columns]
        for number in sorted(range(len(trials)), key=lambda trial: metric[trial]):
            unfinished = trials[number].status != "finished"
            panel.plot(
                range(len(names)),
                [heights[number] for heights, _, _ in axes],
                color=FAINT if unfinished else tuple(palette(norm(metric[number]))),
                linestyle=":" if unfinished else "-",
                linewidth=1.0 if unfinished else 1.8,
                alpha=0.9,
            )
        for place, (_, ticks, _) in enumerate(axes):
            _draw_axis(panel, place, ticks)
        short = short_names(keys)
        labels = [SYMBOLS.get(key, short[key]) for key in keys] + ["Rank-1, %", "mAP, %"]
        labels = [f"{label}\n(log scale)" if axis[2] else label for label, axis in zip(labels, axes, strict=True)]
        panel.set_xticks(range(len(names)), labels)
        panel.tick_params(axis="x", length=0)
        panel.set(yticks=[], xlim=(-0.1, len(names) - 0.72), ylim=(-0.04, 1.04))
        panel.spines[["left", "bottom"]].set_visible(False)
        panel.grid(visible=False)
        figure.colorbar(ScalarMappable(norm, palette), ax=panel, label=f"{_measure(results)}, %", pad=0.02, aspect=30)
        caption = f"{search_title(results, capital=True)}. One line per trial, the darker the better"
        if any(trial.status != "finished" for trial in trials):
            caption += (
                "; dotted ones were not trained to their end, and their scores are those of their last evaluation"
            )
        return finished(
            figure,
            "parallel-coordinates",
            "All trials",
            f"One line for each of {len(trials)} trials across {', '.join(keys)}, Rank-1 and mAP.",
            f"{caption}. References are left out.",
        )


def courses_picture(results: SweepResults) -> Picture | None:
    """Return the metric of every trial over its iterations, or None where trials were scored once only."""
    from matplotlib.figure import Figure

    trials = [result for result in results.results if result.course]
    if not any(len(trial.course) > 1 for trial in trials):
        return None
    metric = results.settings.metric
    with drawing_style():
        figure = Figure(figsize=(8.0, 4.2), layout="constrained")
        panel = figure.subplots()
        for kind, style in COURSES.items():
            members = [trial for trial in trials if kind == _kind(trial.reference, trial.status)]
            for number, trial in enumerate(members):
                iterations = [iteration for iteration, _ in trial.course]
                scores = [scores[metric] for _, scores in trial.course]
                label = f"{kind} ({len(members)})" if number == 0 else None
                panel.plot(iterations, scores, linewidth=1.2, label=label, markevery=[-1], **style)
        panel.set(xlabel="iteration", ylabel=f"{_measure(results)}, %")
        panel.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=len(COURSES))
        stopped = sum(trial.status == "stopped early" for trial in trials)
        marked = [trial for trial in trials if trial.status != "finished"]
        return finished(
            figure,
            "courses",
            "Scores over the training",
            f"{metric} of {len(trials)} trials over their iterations; {stopped} were stopped early.",
            f"{search_title(results, capital=True)}. One line per trial"
            + ("; a marker is the last evaluation of one that was not trained to its end." if marked else "."),
        )


def _kind(reference: str | None, status: str) -> str:
    return "reference" if reference is not None and status == "finished" else status


def _measure(results: SweepResults) -> str:
    return "Rank-1" if results.settings.metric.endswith(" R1") else "mAP"


def _draw_axis(panel: "Axes", place: int, ticks: Ticks) -> None:
    panel.axvline(place, color=INK, linewidth=1)
    for height, text in ticks:
        panel.annotate(
            text, (place, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
        )  # fmt: skip


def _axis(column: Sequence[Any]) -> tuple[list[float], Ticks, bool]:
    """Where values lie between 0 and 1 on their axis, what is labelled there, and whether the axis is logarithmic."""
    if not all(isinstance(value, int | float) for value in column):
        kinds = sorted({str(value) for value in column})
        places = {kind: index / max(1, len(kinds) - 1) for index, kind in enumerate(kinds)}
        return [places[str(value)] for value in column], [(place, kind) for kind, place in places.items()], False
    low, high = min(column), max(column)
    if low == high:
        return [0.5] * len(column), [(0.5, f"{low:g}")], False
    logarithmic = low > 0 and high / low >= 10

    def height(value: float) -> float:
        if logarithmic:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    tried = sorted(set(column))
    # Both ends, and between them what was tried if it is little, or else round numbers.
    inner = (
        tried[1:-1] if len(tried) <= 8 else [value for value in _round(low, high, logarithmic) if low < value < high]
    )
    ticks: Ticks = []
    for value in (low, high, *inner):
        if all(abs(height(value) - other) >= 0.05 for other, _ in ticks):
            ticks.append((height(value), f"{value:.4g}"))
    return [height(value) for value in column], ticks, logarithmic


def _round(low: float, high: float, logarithmic: bool) -> list[float]:
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator = LogLocator(subs=(1.0, 3.0)) if logarithmic else MaxNLocator(6)
    return [float(value) for value in locator.tick_values(low, high)]
