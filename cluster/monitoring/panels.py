"""What a dashboard is made of, as plain data that tests, alert rules and manifests can read."""

from dataclasses import dataclass, field
from typing import Literal

GPU = "no GPU"
"""Why a panel may be empty: Ray publishes its metrics only where there are GPUs."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression and how its series are called; `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "bars"] = "timeseries"
    unit: str = "short"
    """Unit as Grafana names it."""
    width: int = 8
    """Columns of 24."""
    height: int = 8
    thresholds: tuple[tuple[float, str], ...] = ()
    """Values from which on a colour holds; below the first one it is green."""
    stacked: bool = False
    logarithmic: bool = False
    maximum: float | None = None
    empty: str = ""
    """Why it may be empty; it is not where this is empty."""


@dataclass(frozen=True)
class Variable:
    """A choice above the panels, of the values of a label."""

    name: str
    query: str
    label: str
    multiple: bool = False
    pattern: str = ""
    """Regular expression that values have to match."""


@dataclass(frozen=True)
class Annotation:
    """Moments that are marked in all panels: those where an expression has a value."""

    name: str
    expression: str
    colour: str


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    annotations: tuple[Annotation, ...] = ()
    data_links: dict[str, str] = field(default_factory=dict)
    """Title and URL of links that every series of a run carries."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels of all rows."""
        return tuple(panel for _, panels in self.rows for panel in panels)


RUNS = "label_values(ray_training_heartbeat_seconds_total, run)"
TRAINING, CLUSTER, SWEEP = "training-run", "training-cluster", "training-sweep"
"""Identities of the dashboards, part of their addresses."""
OF_ITS_RUN = f"/d/{TRAINING}?var-run=${{__field.labels.run}}&${{__url_time_range}}"
"""Address of the training dashboard of a series' run, at the time shown."""


def row(title: str, *panels: Panel) -> tuple[str, tuple[Panel, ...]]:
    """Return a row of panels."""
    return title, panels


def query(expression: str, legend: str = "") -> Query:
    """Return a query; spaces and line breaks of the expression are reduced to one space each."""
    return Query(" ".join(expression.split()), legend)
