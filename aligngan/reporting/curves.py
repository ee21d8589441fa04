"""What a training went through: losses, judgements and scores over its iterations."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from aligngan.reporting.drawing import FAINT, INK, Picture, colours, drawing_style, finished
from aligngan.reporting.groups import Group
from aligngan.reporting.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = tuple[list[int], list[float]]

# In the order of the paper's equations, then the discriminators'.
_LOSSES = (
    *("cls_feat", "tri_feat", "gan_feat", "gan_pix", "gan_rgb", "cyc", "cls_pix", "tri_pix", "identity_mapping"),
    *(f"d_{judged}_{side}" for judged in ("joint", "feature", "ir", "rgb") for side in ("real", "fake")),
)
_TITLES = {
    "cls_feat": "cls_feat (Eq. 5)",
    "tri_feat": "tri_feat (Eq. 3, 5)",
    "gan_feat": "gan_feat (Eq. 10)",
    "gan_pix": "gan_pix (Eq. 9)",
    "gan_rgb": "gan_rgb",
    "cyc": "cyc (Eq. 1)",
    "cls_pix": "cls_pix (Eq. 2)",
    "tri_pix": "tri_pix (Eq. 2, 3)",
}
_PANEL = (3.5, 2.3)
_STYLES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")


def score_curves(group: Group) -> Picture | None:
    """Return Rank-1 and mAP of every search over the iterations, or None where nothing was evaluated."""
    found = _names(_records(group, "evaluation"))
    panels = [name for name in found if name.endswith((" R1", " mAP"))]
    if not panels:
        return None
    with drawing_style():
        chance = _chance(group)
        figure, axes = _grid(len(panels), 2)
        for name, panel in zip(panels, axes, strict=False):
            _lines(panel, group, "evaluation", name, with_points=True)
            if name in chance:
                panel.axhline(chance[name], color=FAINT, linestyle=":", linewidth=1.2)
                _written_on_line(panel, "chance", chance[name])
            panel.set(title=_search_title(name), ylabel="percent")
            panel.set_ylim(bottom=0)
        _finish(figure, axes, len(panels), group)
        return finished(
            figure,
            f"{group.anchor}-scores",
            f"{group.title}: scores over the training",
            f"Curves of {', '.join(panels)} over the iterations for {_labels(group)}.",
            "One line per run. Points are evaluations; the dotted line is the Rank-1 of a random ranking.",
        )


def loss_curves(group: Group) -> Picture | None:
    """Return every loss over the iterations, or None where no run has reports."""
    return _report_curves(group, "losses", "losses", "loss", _is_loss)


def judgement_curves(group: Group) -> Picture | None:
    """Return how often discriminators judge real and fake rightly, or None where no run has one."""
    return _report_curves(group, "discriminators", "what discriminators judge rightly", "share", _is_accuracy)


def gradient_curves(group: Group) -> Picture | None:
    """Return the norms of the phases' gradients, or None where no run reports them."""
    return _report_curves(group, "gradients", "norms of gradients", "norm", _is_gradient)


def learning_rate_curves(group: Group) -> Picture | None:
    """Return the phases' learning rates, or None where no run reports them."""
    return _report_curves(group, "learning-rates", "learning rates", "learning rate", _is_learning_rate)


def _report_curves(
    group: Group, suffix: str, title: str, quantity: str, wanted: Callable[[str], bool]
) -> Picture | None:
    names = sorted(filter(wanted, _names(_records(group, "train"))), key=_place)
    if not names:
        return None
    with drawing_style():
        figure, axes = _grid(len(names), 3)
        for name, panel in zip(names, axes, strict=False):
            _lines(panel, group, "train", name, with_points=False)
            panel.set(title=_TITLES.get(name, name), ylabel=quantity)
            if quantity == "share":
                panel.set_ylim(-0.03, 1.03)
            if quantity == "learning rate":
                panel.set_yscale("log")
            for end in _stage_ends(group):
                panel.axvline(end, color=FAINT, linestyle=":", linewidth=1)
        _finish(figure, axes, len(names), group)
        return finished(
            figure,
            f"{group.anchor}-{suffix}",
            f"{group.title}: {title} over the training",
            f"Curves of {', '.join(names)} over the iterations for {_labels(group)}.",
            "One line per run, each point the mean since the report before it; a method without such a term has no "
            "line." + (" Dotted lines: a warm-up stage ends." if _stage_ends(group) else ""),
        )


def _is_loss(name: str) -> bool:
    return name in _LOSSES


def _is_accuracy(name: str) -> bool:
    return "_accuracy_" in name


def _is_gradient(name: str) -> bool:
    return name.startswith("grad_norm_")


def _is_learning_rate(name: str) -> bool:
    return name.startswith("learning_rate_")


def _place(name: str) -> int:
    return _LOSSES.index(name) if name in _LOSSES else len(_LOSSES)


def _records(group: Group, kind: str) -> Iterable[dict[str, Any]]:
    for variant in group.variants:
        for run in variant.runs:
            yield from (record for record in run.records if record.get("kind") == kind)


def _names(records: Iterable[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for record in records:
        for name, value in record.items():
            if isinstance(value, (int, float)):
                names[name] = None
    return list(names)


def points_of(run: Run, kind: str, name: str) -> Points:
    """Iterations and values of a run's reports; not a number where a stage does not have the value."""
    found = [record for record in run.records if record.get("kind") == kind]
    return [record["iteration"] for record in found], [record.get(name, math.nan) for record in found]


def _search_title(name: str) -> str:
    """From the name in an evaluation's record, such as `all-single R1`, to words."""
    search, _, score = name.rpartition(" ")
    mode, dash, shots = search.partition("-")
    return f"{f'{mode}-search, {shots}-shot' if dash else search}: {'Rank-1' if score == 'R1' else score}"


def _grid(count: int, across: int) -> tuple[Any, list["Axes"]]:
    from matplotlib.figure import Figure

    across = min(across, count)
    down = -(-count // across)
    figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down + 0.6), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for panel in axes[count:]:
        panel.remove()
    return figure, axes


def _lines(panel: "Axes", group: Group, kind: str, name: str, with_points: bool) -> None:
    colour = colours([variant.label for variant in group.variants])
    for variant in group.variants:
        for number, run in enumerate(variant.runs):
            iterations, values = points_of(run, kind, name)
            panel.plot(
                iterations,
                values,
                color=colour[variant.label],
                linestyle=_STYLES[number % len(_STYLES)],
                marker="o" if with_points else None,
                markersize=4,
                linewidth=1.4,
            )
    panel.set_xlim(-0.02 * _last(group), 1.02 * _last(group))


def _last(group: Group) -> int:
    return max(record["iteration"] for kind in ("train", "evaluation") for record in _records(group, kind))


def _stage_ends(group: Group) -> list[int]:
    """Iterations at which warm-up stages end."""
    configs = [variant.runs[0].config for variant in group.variants]
    ends = {end for config in configs for end in (config.stages.feature_warmup, config.warmup)}
    return sorted(ends - {0})


def _written_on_line(panel: "Axes", text: str, height: float) -> None:
    panel.annotate(
        text,
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=FAINT,
    )


def _finish(figure: Any, axes: Sequence["Axes"], count: int, group: Group) -> None:
    from matplotlib.lines import Line2D

    for panel in axes[:count]:
        panel.set_xlabel("iteration")
    colour = colours([variant.label for variant in group.variants])
    methods = [Line2D([], [], color=colour[variant.label], label=variant.label) for variant in group.variants]
    most = max(len(variant.runs) for variant in group.variants)
    runs = [
        Line2D([], [], color=INK, linestyle=style, label=f"run {number}")
        for number, style in enumerate(_STYLES[:most], 1)
    ]
    if most == 1:
        figure.legend(handles=methods, loc="outside upper left", ncols=len(methods), fontsize=9)
        return
    # A legend fills its columns one after the other: methods in the first row, runs in the second.
    nothing = Line2D([], [], alpha=0, label=" ")
    rows = zip_longest(methods, runs, fillvalue=nothing)
    handles = [handle for column in rows for handle in column]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles) // 2, fontsize=9)


def _labels(group: Group) -> str:
    return ", ".join(variant.label for variant in group.variants)


def _chance(group: Group) -> dict[str, float]:
    """Rank-1 of a random ranking by the name of the evaluation record."""
    scores = next((run.scores for variant in group.scored for run in variant.scored), None) or {"searches": []}
    return {
        f"{search.get('direction') or '{mode}-{shots}'.format(**search)} R1": search["chance_R1"]
        for search in scores["searches"]
    }
