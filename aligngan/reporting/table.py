"""A table with what has to be known to read it: the same one as HTML, CSV and picture."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aligngan.reporting.drawing import FAINT, INK, Picture, drawing_style, finished

RowKind = Literal["measured", "reported", "chance"]


@dataclass(frozen=True)
class Value:
    """A number, or the mean of several with their sample standard deviation."""

    mean: float
    spread: float | None = None
    digits: int = 1

    def __str__(self) -> str:
        text = f"{self.mean:.{self.digits}f}"
        return text if self.spread is None else f"{text} \u00b1 {self.spread:.{self.digits}f}"


Cell = Value | str | None


@dataclass(frozen=True)
class Row:
    """One line: its label, a cell for each column (None where there is no number), and what kind of numbers they are.

    `strong` are the positions of cells that stand out.
    """

    label: str
    cells: tuple[Cell, ...]
    kind: RowKind = "measured"
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """Rows under columns; `spans` are headings over that many columns each, in order."""

    name: str
    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    spans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.name}: every row needs {len(self.columns)} cells")
        if self.spans and sum(width for _, width in self.spans) != len(self.columns):
            raise ValueError(f"table {self.name}: spans cover another number than {len(self.columns)} columns")

    @property
    def full_columns(self) -> tuple[str, ...]:
        """The names of the columns with the heading that spans them."""
        over = [title for title, width in self.spans for _ in range(width)] or [""] * len(self.columns)
        return tuple(f"{title} {column}".strip() for title, column in zip(over, self.columns, strict=True))


def shown(cell: Cell) -> str:
    """Return a cell as text; a dash where there is no number."""
    return "-" if cell is None else str(cell)


def with_best(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows with the largest mean of every column strong, counted over measured rows if there are several."""
    measured = [row for row in rows if row.kind == "measured"]
    if len(measured) < 2:
        return tuple(rows)
    strong: dict[int, set[int]] = {}
    for position in range(len(measured[0].cells)):
        means = [(cell.mean, row) for row in measured if isinstance(cell := row.cells[position], Value)]
        top = max((mean for mean, _ in means), default=None)
        for mean, row in means:
            if mean == top:
                strong.setdefault(id(row), set()).add(position)
    return tuple(Row(row.label, row.cells, row.kind, frozenset(strong.get(id(row), ()))) for row in rows)


def table_csv(table: Table) -> bytes:
    """Return the table as CSV in UTF-8: full numbers, and a column of deviations where any cell has one."""
    spread = [any(isinstance(cell, Value) and cell.spread is not None for cell in column) for column in _cells(table)]
    head = [table.corner, "kind"]
    for name, has_spread in zip(table.full_columns, spread, strict=True):
        head += [name, f"{name} standard deviation"] if has_spread else [name]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    for row in table.rows:
        line = [row.label, row.kind]
        for cell, has_spread in zip(row.cells, spread, strict=True):
            if isinstance(cell, Value):
                line.append(repr(round(cell.mean, 6)))
                deviation = "" if cell.spread is None else repr(round(cell.spread, 6))
            else:
                line.append(cell or "")
                deviation = ""
            line += [deviation] if has_spread else []
        writer.writerow(line)
    return file.getvalue().encode()


def table_picture(table: Table) -> Picture:
    """Return the table as a picture with rules above, below and under the head, as papers print it."""
    with drawing_style():
        return _drawn(table)


def _cells(table: Table) -> list[list[Cell]]:
    return [[row.cells[position] for row in table.rows] for position in range(len(table.columns))]


def _drawn(table: Table) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inch, line, gap = 72.0, 19.0, 16.0  # in points, like font sizes
    figure = Figure()
    canvas = FigureCanvasAgg(figure)

    def width(text: str, weight: str = "normal") -> float:
        written = figure.text(0, 0, text, weight=weight)
        points = written.get_window_extent(canvas.get_renderer()).width * inch / figure.dpi
        written.remove()
        return points

    labels = max(width(text, "bold") for text in (table.corner, *(row.label for row in table.rows)))
    widths = [
        max(width(column, "bold"), *(width(shown(cell), "bold") for cell in cells), 1.0) + gap
        for column, cells in zip(table.columns, _cells(table), strict=True)
    ]
    first = 0
    for title, span in table.spans:
        lacking = width(title, "bold") + gap - sum(widths[first : first + span])
        for position in range(first, first + span):
            widths[position] += max(0.0, lacking / span)
        first += span
    rights = [labels + sum(widths[: position + 1]) for position in range(len(widths))]
    heads = 2 if table.spans else 1
    total_width, total_height = rights[-1] if rights else labels, line * (heads + len(table.rows)) + 4
    figure.set_size_inches((total_width + 8) / inch, total_height / inch)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-4, total_width + 4), ylim=(total_height, 0))

    def rule(y: float, left: float, right: float, thickness: float) -> None:
        axes.plot([left, right], [y, y], color=INK, linewidth=thickness, solid_capstyle="butt")

    y = 2.0
    rule(y, 0, total_width, 1.2)
    first = 0
    for title, span in table.spans:
        left = rights[first] - widths[first] + gap
        right = rights[first + span - 1]
        axes.text((left + right) / 2, y + line * 0.55, title, ha="center", va="center", weight="bold")
        rule(y + line, left, right, 0.6)
        first += span
    y += line * (heads - 1)
    axes.text(0, y + line * 0.55, table.corner, va="center", weight="bold")
    for column, right in zip(table.columns, rights, strict=True):
        axes.text(right, y + line * 0.55, column, ha="right", va="center", weight="bold")
    y += line
    rule(y, 0, total_width, 0.8)
    before = None
    for row in table.rows:
        if before not in (None, row.kind):
            rule(y, 0, total_width, 0.4)
        before = row.kind
        colour = INK if row.kind == "measured" else FAINT
        axes.text(0, y + line * 0.55, row.label, va="center", color=colour)
        for position, (cell, right) in enumerate(zip(row.cells, rights, strict=True)):
            weight = "bold" if position in row.strong else "normal"
            axes.text(right, y + line * 0.55, shown(cell), ha="right", va="center", color=colour, weight=weight)
        y += line
    rule(y, 0, total_width, 1.2)
    alt = f"{table.title}; {len(table.rows)} rows; the same numbers stand in the table of the page and in its CSV file"
    return finished(figure, table.name, table.title, alt, " ".join(table.notes))
