"""Features of a few persons in the plane: colour is the modality, shape the person (Figure 6)."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aligngan.reporting.drawing import COLOURS, FAINT, INK, MARKERS, Picture, drawing_style, finished
from aligngan.reporting.exhibits import Exhibit

Part = Literal["train", "test"]

PERPLEXITY = 30.0
_ACROSS = 3
_COLOURS = {"rgb": COLOURS[1], "ir": COLOURS[0]}
_NAMES = {"rgb": "visible", "ir": "infrared"}


def project(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return features [N, D] in the plane by t-SNE on cosine distances, [N, 2]; the same on every call.

    Raises ValueError for fewer than four features, which have no neighbourhood to keep.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(features) < 4:
        raise ValueError(f"a projection needs at least 4 features, found {len(features)}")
    # The exact gradient on one thread: sums over threads come out differently from call to call.
    with threadpool_limits(1):
        model = TSNE(perplexity=_perplexity(len(features)), metric="cosine", init="pca", method="exact", random_state=0)
        return np.asarray(model.fit_transform(features.astype(np.float64)), dtype=np.float64)


def projection_picture(anchor: str, exhibits: Sequence[Exhibit], part: Part) -> Picture | None:
    """Return one panel per method with the features of training or test persons, or None for too few pictures.

    All exhibits are of one choice of pictures.
    """
    from matplotlib.figure import Figure

    choice = exhibits[0].choice
    pictures = choice.projected_train if part == "train" else choice.projected_test
    if len(pictures) < 4:
        return None
    persons = sorted({picture.person for picture in pictures})
    across = min(_ACROSS, len(exhibits))
    down = -(-len(exhibits) // across)
    with drawing_style():
        figure = Figure(figsize=(3.6 * across + 1.3, 3.4 * down), layout="constrained")
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for panel, exhibit in zip(panels, exhibits, strict=False):
            points = project(exhibit.features_of(pictures))
            for modality in ("rgb", "ir"):
                for marker, person in zip(MARKERS, persons, strict=False):
                    mine = [
                        row for row, each in enumerate(pictures) if (each.modality, each.person) == (modality, person)
                    ]
                    panel.scatter(
                        *points[mine].T,
                        s=26,
                        marker=marker,
                        color=_COLOURS[modality],
                        alpha=0.8,
                        edgecolors="white",
                        linewidths=0.4,
                    )
            panel.set_title(exhibit.variant.label)
            panel.set(xticks=[], yticks=[])
            panel.grid(visible=False)
            panel.spines[["top", "right", "left", "bottom"]].set(visible=True, color=FAINT, linewidth=0.6)
            panel.margins(0.07)
        for panel in panels[len(exhibits) :]:
            panel.remove()
        figure.legend(handles=_legend(persons), loc="outside right upper", fontsize=9)
        whose = "persons of the training" if part == "train" else "test persons, whom no training saw"
        return finished(
            figure,
            f"{anchor}-features-{part}",
            f"Features of {whose}",
            f"Points in the plane for {len(pictures)} pictures of {len(persons)} persons, visible and infrared, one "
            f"panel each for {', '.join(exhibit.variant.label for exhibit in exhibits)}.",
            "As Figure 6 of the paper: colour is the modality, shape the person. t-SNE of cosine distances with "
            f"perplexity {_perplexity(len(pictures)):.0f}; axes have no unit, and distances between groups that are "
            "far apart mean little. Visible pictures are translated first where a method has a pixel module. "
            + " ".join(f"{exhibit.variant.label}: {exhibit.run.name}." for exhibit in exhibits),
        )


def _perplexity(points: int) -> float:
    return min(PERPLEXITY, (points - 1) / 3)


def _legend(persons: Sequence[int]) -> list[Any]:
    from matplotlib.lines import Line2D

    modalities = [
        Line2D([], [], linestyle="", marker="o", color=_COLOURS[modality], label=_NAMES[modality])
        for modality in ("rgb", "ir")
    ]
    shapes = [
        Line2D([], [], linestyle="", marker=marker, color=INK, markerfacecolor="none", label=f"person {person}")
        for marker, person in zip(MARKERS, persons, strict=False)
    ]
    return [*modalities, *shapes]
