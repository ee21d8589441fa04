"""Rows of photographs with words under them, drawn with matplotlib so that the words of the SVG stay sharp."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aligngan.reporting.drawing import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In inches.
_HEIGHT, _GAP, _LINE, _LABEL = 1.05, 0.1, 0.135, 0.2
_FONT = 7.5
_CHARACTER = 0.066


@dataclass(frozen=True, eq=False)
class Tile:
    """A photograph uint8 [H, W, 3], the words under it, and the colour of its frame and words."""

    photograph: NDArray[np.uint8]
    words: tuple[str, ...] = ()
    colour: str | None = None


def draw_tiles(
    rows: Sequence[Sequence[Tile]],
    labels: Sequence[str] = (),
    heads: Sequence[str] = (),
    proportion: float = 2.0,
    apart: int = 0,
) -> "Figure":
    """Return a figure of rows of tiles.

    Args:
        rows: of tiles; a row may be shorter than others.
        labels: one for each row, at its left.
        heads: one for each column, above it.
        proportion: height over width at which photographs are shown.
        apart: columns at the left that stand apart from the rest.
    """
    from matplotlib.figure import Figure

    words = max((len(tile.words) for row in rows for tile in row), default=0)
    texts = [*heads, *(word for row in rows for tile in row for word in tile.words)]
    width = _HEIGHT / proportion
    column = max([width, *(len(text) * _CHARACTER for text in texts)]) + _GAP
    line = _HEIGHT + words * _LINE + _GAP
    left = max((len(label) * _CHARACTER for label in labels), default=0.0) + (_GAP if labels else 0)
    top = _LABEL if heads else 0.0
    columns = max(map(len, rows), default=0)
    size = left + columns * column + (2 * _GAP if apart else 0), top + len(rows) * line
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()

    def x(place: int) -> float:
        return left + place * column + (2 * _GAP if apart and place >= apart else 0)

    for place, head in enumerate(heads):
        axes.text(x(place), top - _LINE / 2, head, fontsize=_FONT, va="center", color=FAINT)
    for number, row in enumerate(rows):
        y = top + number * line
        if labels:
            axes.text(left - _GAP, y + _HEIGHT / 2, labels[number], fontsize=_FONT, ha="right", va="center", color=INK)
        for place, tile in enumerate(row):
            extent = (x(place), x(place) + width, y + _HEIGHT, y)
            axes.imshow(tile.photograph, extent=extent, aspect="auto", interpolation="bicubic")
            if tile.colour is not None:
                axes.plot(
                    [extent[0], extent[1], extent[1], extent[0], extent[0]],
                    [y, y, y + _HEIGHT, y + _HEIGHT, y],
                    color=tile.colour,
                    linewidth=2.4,
                    solid_joinstyle="miter",
                )
            for index, word in enumerate(tile.words):
                where = x(place), y + _HEIGHT + (index + 0.65) * _LINE
                axes.text(*where, word, fontsize=_FONT, va="center", color=tile.colour or INK)
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    return figure
