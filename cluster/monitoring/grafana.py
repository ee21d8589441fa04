"""From dashboards as plain data to Grafana's JSON, by Grafana's own library."""

import json
from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models

from cluster.monitoring.boards import BOARDS
from cluster.monitoring.panels import Annotation, Board, Panel, Variable

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "training"
Drawing = timeseries.Panel | stat.Panel | bargauge.Panel
RAYS_OWN = "/d/rayDefaultDashboard"
MARKED_EVERY = "60s"
"""Shortest step of annotations. Grafana's own is shorter in some versions than the time between two scrapes."""


def dashboards() -> dict[str, dict[str, Any]]:
    """Return every dashboard as Grafana's JSON model, by the name of its file."""
    return {f"{board.uid}.json": build(board) for board in BOARDS}


def build(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON model."""
    result = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("10s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(_links_to_the_others())
        .link(dashboard.DashboardLink("Ray").type(models.DashboardLinkType.LINK).url(RAYS_OWN).keep_time(True))
    )
    for variable in board.variables:
        result.with_variable(_variable(variable))
    for annotation in board.annotations:
        result.annotation(_annotation(annotation))
    for title, panels in board.rows:
        result.with_row(dashboard.Row(title))
        for panel in panels:
            result.with_panel(_panel(panel, board))
    model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(result.build()))
    for number, panel_model in enumerate(model["panels"], start=1):
        panel_model["id"] = number
    for annotation_model in model.get("annotations", {}).get("list", []):
        annotation_model["step"] = MARKED_EVERY  # which the library does not know
    return model


def _links_to_the_others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Training, cluster, sweep").type(models.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).keep_time(True)


def _variable(variable: Variable) -> dashboard.QueryVariable:
    result = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .query(variable.query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_DESC)
        .multi(variable.multiple)
        .include_all(variable.multiple)
    )
    if variable.multiple:
        result.current(models.VariableOption(text=["All"], value=["$__all"]))
    return result


def _annotation(annotation: Annotation) -> dashboard.AnnotationQuery:
    result = dashboard.AnnotationQuery().name(annotation.name).datasource(SOURCE)
    return result.enable(True).icon_color(annotation.colour).expr(annotation.expression)


def _panel(panel: Panel, board: Board) -> Drawing:
    result: Drawing = _BUILDERS[panel.kind](panel)
    result.title(panel.title).description(panel.description).datasource(SOURCE)
    result.unit(panel.unit).span(panel.width).height(panel.height).thresholds(_thresholds(panel))
    if panel.maximum is not None:
        result.min(0).max(panel.maximum)
    if panel.empty:
        result.no_value(panel.empty)
    if board.data_links and any("{{run}}" in query.legend for query in panel.queries):
        result.data_links([dashboard.DashboardLink(title).url(url) for title, url in board.data_links.items()])
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        if query.legend:
            target.legend_format(query.legend)
        result.with_target(target.instant() if panel.kind == "bars" else target.range())
    return result


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    first = [] if panel.thresholds and panel.thresholds[0][0] == 0 else [models.Threshold(None, "green")]
    steps = [models.Threshold(value or None, colour) for value, colour in panel.thresholds]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([*first, *steps])


def _timeseries(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.TABLE).show_legend(True)
    legend.placement(shapes.LegendPlacement.BOTTOM).calcs(["lastNotNull", "min", "max"])
    tooltip = common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI)
    result = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(8).line_width(1)
    result.show_points(shapes.VisibilityMode.NEVER)
    if panel.stacked:
        result.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A")).fill_opacity(50)
    if panel.logarithmic:
        result.scale_distribution(common.ScaleDistributionConfig().type(shapes.ScaleDistribution.LOG).log(10))
    if panel.thresholds:
        result.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphTresholdsStyleMode.LINE))
    return result


def _stat(panel: Panel) -> stat.Panel:
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"])
    result = stat.Panel().reduce_options(reduce).graph_mode(shapes.BigValueGraphMode.AREA)
    return result.color_mode(shapes.BigValueColorMode.VALUE)


def _bars(panel: Panel) -> bargauge.Panel:
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"])
    return bargauge.Panel().reduce_options(reduce).orientation(shapes.VizOrientation.HORIZONTAL)


_BUILDERS: dict[str, Callable[[Panel], Drawing]] = {"timeseries": _timeseries, "stat": _stat, "bars": _bars}
