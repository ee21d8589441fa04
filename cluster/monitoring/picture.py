"""`python -m cluster.monitoring.picture`: a dashboard as a picture, from the same queries, without Grafana."""

import argparse
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cluster.monitoring.api import Prometheus, PrometheusError
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.panels import Board, Panel, Query

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 240
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
    figure = Figure(figsize=(18, 0.4 * sum(heights) + 1), layout="constrained")
    grid = figure.add_gridspec(len(rows), 24, height_ratios=heights)
    moments = {
        mark.name: (mark.colour, _moments(server, mark.expression, start, end, values)) for mark in board.annotations
    }
    shown = {}
    for number, row in enumerate(rows):
        column = 0
        for panel in row:
            axes = figure.add_subplot(grid[number, column : column + panel.width])
            column += panel.width
            axes.set_title(panel.title, fontsize=9, loc="left")
            render = {"stat": _stat, "bars": _bars, "timeseries": _lines}[panel.kind]
            shown[panel.title] = render(axes, panel, server, start, end, values)
            if panel.kind == "timeseries":
                for colour, times in moments.values():
                    for moment in times:
                        axes.axvline((moment - start) / 60, color=colour, linewidth=0.7, alpha=0.6)
    marks = ", ".join(f"{name} {colour}" for name, (colour, times) in moments.items() if times)
    chosen = ", ".join(f"{name} {value}" for name, value in values.items())
    figure.suptitle(f"{board.title}: {chosen}" + (f"   ({marks})" if marks else ""), fontsize=12, x=0.01, ha="left")
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
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), query.legend)


def _moments(server: Prometheus, expression: str, start: float, end: float, values: Mapping[str, str]) -> list[float]:
    step = 15.0
    found = server.query_range(fill_in(expression, end - start, values), start, end, step)
    times = sorted(float(moment) for series in found for moment, _ in series["values"])
    return [moment for moment, before in zip(times, [0.0, *times], strict=False) if moment - before > step * 1.5]


def _lines(axes: "Axes", panel: Panel, server: Prometheus, start: float, end: float, values: Mapping[str, str]) -> int:
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
        axes.stackplot(every, stack, labels=[name for name, _, _ in lines], alpha=0.8)
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
        axes.legend(fontsize=6, ncols=2, loc="best", framealpha=0.6)
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
    axes.text(0.5, 0.45, text.strip(), transform=axes.transAxes, ha="center", va="center", fontsize=17)
    axes.set_axis_off()
    return len(found)


def _bars(axes: "Axes", panel: Panel, server: Prometheus, start: float, end: float, values: Mapping[str, str]) -> int:
    query = panel.queries[0]
    found = server.query(fill_in(query.expression, end - start, values), at=end)
    names = [_legend(query, series["metric"]) for series in found]
    axes.barh(names[::-1], [float(series["value"][1]) for series in found][::-1], height=0.6)
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
