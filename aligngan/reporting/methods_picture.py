"""Table 4 as a picture: every run of every method as a point, their mean as a line."""

import numpy as np

from aligngan.reporting.drawing import FAINT, Picture, colours, drawing_style, finished, markers
from aligngan.reporting.groups import Group
from aligngan.reporting.score_tables import main_search, spread_over_runs
from aligngan.tables import search_name


def methods_picture(group: Group) -> Picture:
    """Return Rank-1 and mAP of every scored run by method, for the main search, in percent."""
    from matplotlib.figure import Figure

    search = main_search(group)
    labels = [variant.label for variant in group.scored]
    with drawing_style():
        figure = Figure(figsize=(8.4, 1.1 + 0.42 * len(labels)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        colour, marker = colours(labels), markers(labels)
        for panel, score, title in zip(panels, ("R1", "mAP"), ("Rank-1", "mAP"), strict=True):
            highest = 0.0
            for place, variant in enumerate(group.scored):
                values = spread_over_runs(variant, search, score)
                highest = max(highest, *values)
                style = {"color": colour[variant.label], "marker": marker[variant.label]}
                panel.plot(values, [place] * len(values), linestyle="", alpha=0.75, markersize=7, **style)
                panel.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=colour[variant.label], linewidth=2)
            if score == "R1":
                panel.axvline(search["chance_R1"], color=FAINT, linestyle=":", linewidth=1.2)
                panel.annotate(
                    "chance",
                    (search["chance_R1"], 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(3, -2),
                    textcoords="offset points",
                    va="top",
                    fontsize=8,
                    color=FAINT,
                )
            panel.set(title=title, xlabel="percent", xlim=(0, 1.06 * highest or 1), ylim=(len(labels) - 0.4, -0.6))
            panel.set_yticks(range(len(labels)), labels)
            panel.grid(visible=False, axis="y")
        means = "; ".join(
            f"{variant.label} {np.mean(spread_over_runs(variant, search, 'R1')):.1f}" for variant in group.scored
        )
        return finished(
            figure,
            f"{group.anchor}-methods-points",
            f"{group.title}: methods",
            f"Rank-1 and mAP of each run by method. Mean Rank-1 in percent: {means}.",
            f"{search_name(search)[0].upper()}{search_name(search)[1:]}. A point is a run, a line the mean of a "
            "method's runs, the dotted line the Rank-1 of a random ranking.",
        )
