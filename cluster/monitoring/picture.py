"""`python -m cluster.monitoring.picture`: a dashboard as a picture, from the same queries, without Grafana."""

import argparse
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cluster.monitoring.api import Prometheus, PrometheusError
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.panels import Board, Panel, Query

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 240
LONGEST_NAME, MOST_NAMES = 48, 14
"""Of a legend: characters of a name, and names."""
COLUMN, ROW, HEADING, LEFT, BELOW = 0.75, 0.4, 0.5, 0.55, 0.45
"""Inches of a column and a row of Grafana's grid, of the heading, and of what is written beside and below a panel."""
EPILOG = """\
example:
  python -m cluster.monitoring.picture --board training-run --set run=demo --minutes 30 demo.png
"""
PREFIXES = {"bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")), "Bps": ((10**6, "MB/s"), (10**3, "kB/s"))}


def fill_in(expression: str, seconds: float, values: Mapping[str, str]) -> str:
    """Put values where Grafana's variables stand in an expression; what is not given stands for everything.

    Args:
        expression: PromQL with `$name`.
        seconds: length of the time shown.
        values: values of variables, by name.
    """
    known = {"__rate_interval": "1m", "__interval": "30s", "__range": f"{max(60, int(seconds))}s"} | dict(values)
    return re.sub(r"\$(\w+)", lambda match: known.get(match[1], ".+"), expression)


def draw(
    board: Board, server: Prometheus, start: float, end: float, values: Mapping[str, str], path: str
) -> dict[str, int]:
    """Draw a dashboard to a file.

    Args:
        board: the dashboard.
        server: where its queries are sent.
        start, end: the time shown, in seconds since 1970.
        values: values of the dashboard's variables.
        path: the picture, by its ending a PNG, SVG or PDF.

    Returns:
        how many series each panel showed, by its title.
    """
    from matplotlib.figure import Figure

    rows = _rows(board.panels)
    heights = [max(panel.height for panel in row) for row in rows]
    wide, high = COLUMN * 24, ROW * sum(heights) + HEADING
    figure = Figure(figsize=(wide, high))
    moments = {
        mark.name: (mark.colour, _moments(server, mark.expression, start, end, values)) for mark in board.annotations
    }
    shown = {}
    for number, row in enumerate(rows):
        column, bottom = 0, ROW * sum(heights[number + 1 :])
        for panel in row:
            # Placed by hand: a layout that is computed breaks on the names of trials.
            place = (
                COLUMN * column + LEFT,
                bottom + BELOW,
                COLUMN * panel.width - LEFT - 0.1,
                ROW * panel.height - 0.8,
            )
            axes = figure.add_axes((place[0] / wide, place[1] / high, place[2] / wide, place[3] / high))
            column += panel.width
            axes.set_title(panel.title, fontsize=9, loc="left")
            render = {"stat": _stat, "bars": _bars, "timeseries": _lines}[panel.kind]
            shown[panel.title] = render(axes, panel, server, start, end, values)
            if panel.kind == "timeseries":
                # Dashes let moments that fall together be seen.
                for (colour, times), style in zip(moments.values(), ("-", "--", ":"), strict=False):
                    for moment in times:
                        axes.axvline((moment - start) / 60, color=colour, linestyle=style, linewidth=0.8, alpha=0.7)
    marks = ", ".join(f"{name} {colour}" for name, (colour, times) in moments.items() if times)
    chosen = ", ".join(f"{name} {value}" for name, value in values.items())
    figure.suptitle(
        f"{board.title}: {chosen}" + (f"   ({marks})" if marks else ""),
        fontsize=12,
        x=0.01,
        y=1 - 0.15 / high,
        ha="left",
        va="top",
    )
    figure.savefig(path, dpi=80)
    return shown


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    rows: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(other.width for other in rows[-1]) + panel.width > 24:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _legend(query: Query, labels: Mapping[str, str]) -> str:
    name = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), query.legend)
    # A trial is called by its sweep and its values, of which the first is the same for all.
    short = name.partition(".")[2] if len(name) > LONGEST_NAME and "." in name else name
    return short if len(short) <= LONGEST_NAME else f"..{short[2 - LONGEST_NAME :]}"


def _moments(server: Prometheus, expression: str, start: float, end: float, values: Mapping[str, str]) -> list[float]:
    # A step that is also the interval asked about shows each moment once, at the end of its step.
    step = max(15, round((end - start) / POINTS))
    text = fill_in(expression, end - start, {**values, "__interval": f"{step}s"})
    found = server.query_range(text, start, end, step)
    return [float(moment) for series in found for moment, _ in series["values"]]


def _lines(axes: "Axes", panel: Panel, server: Prometheus, start: float, end: float, values: Mapping[str, str]) -> int:
    from matplotlib import colormaps

    step = max(5.0, (end - start) / POINTS)
    lines: list[tuple[str, list[float], list[float]]] = []
    for query in panel.queries:
        for series in server.query_range(fill_in(query.expression, end - start, values), start, end, step):
            times = [(float(moment) - start) / 60 for moment, _ in series["values"]]
            lines.append((_legend(query, series["metric"]), times, [float(value) for _, value in series["values"]]))
    divisor, unit = _unit(panel, [value for _, _, numbers in lines for value in numbers])
    lines = [(name, times, [value / divisor for value in numbers]) for name, times, numbers in sorted(lines)]
    if panel.stacked and lines:
        every = sorted({moment for _, times, _ in lines for moment in times})
        tables = [dict(zip(times, numbers, strict=True)) for _, times, numbers in lines]
        stack = [[table.get(moment, 0.0) for moment in every] for table in tables]
        # Stacked parts may be more than the ten colours that lines have.
        colours = [colormaps["tab20"](number) for number in range(20)]
        axes.stackplot(every, stack, labels=[name for name, _, _ in lines], colors=colours, alpha=0.8)
    else:
        for name, times, numbers in lines:
            axes.plot(times, numbers, label=name, linewidth=1)
    if panel.logarithmic and lines:
        axes.set_yscale("log")
    for value, colour in panel.thresholds:
        axes.axhline(value, color=colour, linewidth=0.6, linestyle="--")
    if panel.maximum is not None:
        axes.set_ylim(0, panel.maximum * 1.02)
    axes.set_xlim(0, (end - start) / 60)
    axes.set_xlabel("minutes", fontsize=7)
    axes.set_ylabel(unit, fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if lines:
        handles, labels = axes.get_legend_handles_labels()
        columns = 1 if max(map(len, labels), default=0) > LONGEST_NAME / 2 else 2
        axes.legend(handles[:MOST_NAMES], labels[:MOST_NAMES], fontsize=6, ncols=columns, framealpha=0.6)
    else:
        axes.text(0.5, 0.5, panel.empty or "no data", transform=axes.transAxes, ha="center", color="grey")
    return len(lines)


def _stat(axes: "Axes", panel: Panel, server: Prometheus, start: float, end: float, values: Mapping[str, str]) -> int:
    found = server.query(fill_in(panel.queries[0].expression, end - start, values), at=end)
    numbers = [float(series["value"][1]) for series in found]
    divisor, unit = _unit(panel, numbers)
    text = f"{numbers[0] / divisor:.3g} {unit}" if numbers else panel.empty or "no data"
    if panel.unit == "percentunit" and numbers:
        text = f"{100 * numbers[0]:.0f} %"
    if panel.unit == "s" and numbers and numbers[0] >= 100:
        text = str(timedelta(seconds=round(numbers[0])))
    axes.text(0.5, 0.45, text.strip(), transform=axes.transAxes, ha="center", va="center", fontsize=17)
    axes.set_axis_off()
    return len(found)


def _bars(axes: "Axes", panel: Panel, server: Prometheus, start: float, end: float, values: Mapping[str, str]) -> int:
    query = panel.queries[0]
    found = server.query(fill_in(query.expression, end - start, values), at=end)
    names = [_legend(query, series["metric"]) for series in found][::-1]
    axes.barh(range(len(names)), [float(series["value"][1]) for series in found][::-1], height=0.6, alpha=0.6)
    # Inside, since the names of trials are wider than the space between panels.
    for row, name in enumerate(names):
        axes.text(0.01, row, name, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
    axes.set_yticks([])
    axes.set_ylim(-0.5, max(len(names), 5) - 0.5)
    axes.tick_params(labelsize=7)
    return len(found)


def _unit(panel: Panel, numbers: Sequence[float]) -> tuple[float, str]:
    largest = max((abs(number) for number in numbers), default=0.0)
    for divisor, name in PREFIXES.get(panel.unit, ()):
        if largest >= divisor:
            return divisor, name
    return 1.0, {"short": "", "percentunit": "share of 1", "watt": "W", "bytes": "B", "Bps": "B/s"}.get(
        panel.unit, panel.unit
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 drawn, 1 no Prometheus."""
    arguments = argparse.ArgumentParser(
        prog="python -m cluster.monitoring.picture",
        description="Draw a dashboard as a picture.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    boards = {board.uid: board for board in BOARDS}
    arguments.add_argument("output", help="picture to write; its ending says whether PNG, SVG or PDF")
    arguments.add_argument("--board", choices=boards, default=BOARDS[0].uid, help="dashboard (default: %(default)s)")
    arguments.add_argument("--prometheus", metavar="URL", default="http://127.0.0.1:9090", help="default: %(default)s")
    arguments.add_argument("--minutes", type=float, default=60, help="minutes until now that are shown (default: 60)")
    arguments.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the dashboard, such as run=demo"
    )
    given: Any = arguments.parse_args(argv)
    values = dict(pair.partition("=")[::2] for pair in given.set)
    now = time.time()
    try:
        draw(boards[given.board], Prometheus(given.prometheus), now - 60 * given.minutes, now, values, given.output)
    except PrometheusError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"failed: {error.name} is not installed: pip install 'aligngan[monitoring]'", file=sys.stderr)
        return 1
    print(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
