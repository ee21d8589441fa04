"""Figures as PNG and SVG files that are the same bytes for the same data."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Dark enough to read on white, and told apart by those who do not see red and green alike (after Okabe and Ito).
COLOURS = ("#0072B2", "#C1440E", "#00795A", "#A03A86", "#4D4D4D", "#8A6100", "#3D8FBF", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, FAINT = "#1E1E1E", "#6B6B6B"
RIGHT, WRONG = "#00783C", "#C42828"
DOTS_PER_INCH = 150

_STYLE = {
    "figure.dpi": DOTS_PER_INCH,
    "savefig.dpi": DOTS_PER_INCH,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    # Letters as outlines, so that a picture looks the same where the font is missing.
    "svg.fonttype": "path",
    "svg.hashsalt": "aligngan",
}


@dataclass(frozen=True)
class Picture:
    """A picture of a report: the name of its files, words for people, and the files themselves."""

    name: str
    title: str
    alt: str
    caption: str
    png: bytes
    svg: bytes


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw with the report's fonts, colours and fixed SVG identifiers, whatever a user's matplotlibrc says."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def finished(figure: "Figure", name: str, title: str, alt: str, caption: str = "") -> Picture:
    """Return a figure as a picture, cut to what is drawn; to be called inside `drawing_style`.

    Args:
        figure: drawn with matplotlib.
        name: of the files, without ending.
        title: heading above it.
        alt: what it shows, for people who do not see it.
        caption: what has to be known to read it.
    """
    # Laid out and measured once for both files.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    drawn = figure.get_tightbbox().padded(0.12)
    files = {}
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, bbox_inches=drawn)
        files[kind] = buffer.getvalue()
    return Picture(name, title, alt, caption, **files)


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, in order; they repeat after eight."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def markers(names: Sequence[str]) -> dict[str, str]:
    """Return a marker for each name, in order; they repeat after eight."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}
