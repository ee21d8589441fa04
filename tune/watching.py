"""How a sweep stands while it goes on: Ray Tune's callbacks write it down and show it as a table."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import ray.tune
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aligngan.config import Config
from cluster.board import Board
from cluster.errors import first_line
from tune.folder import SweepFolder
from tune.points import SEED, Point, short_names
from tune.settings import SweepSettings
from tune.trial import point_of

LOOK_SECONDS = 1.0
OVER = ("finished", "stopped early", "failed")


@dataclass
class Row:
    """What is shown of a trial."""

    point: Point
    state: str = "starting"
    iteration: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None
    began: float = field(default_factory=time.monotonic)


class Watching(ray.tune.Callback):
    """Keeps the sweep folder's list of trials and a table of them.

    Args:
        sweep: the sweep's folder.
        settings, base: what it is.
        total: trials that this start is to run, and `at_once` of them.
    """

    def __init__(self, sweep: SweepFolder, settings: SweepSettings, base: Config, total: int, at_once: int) -> None:
        self._sweep, self._settings, self._base = sweep, settings, base
        self._total, self._at_once = total, at_once
        self._rows: dict[str, Row] = {}
        self._took: list[float] = []
        self._board = Board(sweep.folder.path())
        self._board.clear()
        self._console = Console()
        self._live: Live | None = None
        self._looked = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # Ray Tune pickles its callbacks for a restore of its own; a resume reads the sweep folder in its place.
        return {}

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table inside: live on a terminal, otherwise a line for each thing that happens."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as self._live:
            try:
                yield
            finally:
                self._show()
                self._live = None

    def running(self) -> list[str]:
        """Return the names of the trials that have started and are not over."""
        return [name for name, row in self._rows.items() if row.state not in OVER]

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Note that a trial has started, also once more."""
        point = point_of(self._settings, trial.config)
        self._rows[point.name] = Row(point)
        known = self._sweep.trials.get(point.name)
        if known is None or known.status not in ("finished", "stopped"):
            self._sweep.note(point, status="started")
        self._say(f"{point.name}: started")

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Take the scores of an evaluation."""
        row = self._row(trial)
        row.iteration = result["iteration"]
        row.scores = {name: result[name] for name in self._columns() if name in result}
        scores = "  ".join(f"{name} {value:.1f}" for name, value in row.scores.items())
        self._say(f"{row.point.name}: iteration {row.iteration} of {self._base.train.iterations}  {scores}")

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Note that a trial was trained to its end, or stopped for good."""
        row = self._row(trial)
        if self._sweep.is_finished(row.point.name):
            row.state = "finished"
            self._sweep.note(row.point, status="finished")
        else:
            row.state = "stopped early"
            self._sweep.note(row.point, status="stopped", iteration=trial.last_result.get("iteration", 0))
        self._over(row)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Say that a trial failed and is tried again."""
        self._say(f"{self._row(trial).point.name}: failed, goes on from its newest checkpoint: {_reason(trial)}")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Note that a trial failed for good; the others go on."""
        row = self._row(trial)
        row.state = "failed"
        self._sweep.note(row.point, status="failed", message=_reason(trial))
        self._over(row)
        self._say(f"{row.point.name}: {_reason(trial)}")

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Look how far the trials are, once a second."""
        if self._live is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self.look()
        self._show()

    def look(self) -> None:
        """Take what the running trials have posted on the sweep's board."""
        for name in self.running():
            facts, row = self._board.read(name) or {}, self._rows[name]
            row.state, row.seconds_left = facts.get("state", row.state), facts.get("seconds_left")
            row.iteration = max(row.iteration, facts.get("iteration", 0))

    def table(self, rows: int) -> Group:
        """Return the table of at most so many trials, those that run first, then the best."""
        keys = list(self._settings.space)
        short = short_names(keys)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        # On a narrow terminal the names of keys are cut, numbers never are.
        for key in keys:
            table.add_column(short[key], justify="right", overflow="ellipsis")
        table.add_column("seed", justify="right", min_width=4)
        table.add_column("state", no_wrap=True)
        iterations = str(self._base.train.iterations)
        for heading, width in (("iteration", 2 * len(iterations) + 1), ("Rank-1", 6), ("mAP", 5), ("time left", 9)):
            table.add_column(heading, justify="right", min_width=max(width, len(heading)))
        for row in sorted(self._rows.values(), key=self._order)[:rows]:
            values = [_number(row.point.values.get(key, "")) for key in keys]
            if row.point.reference is not None:
                values = [row.point.reference, *[""] * (len(keys) - 1)]
            left = (
                "" if row.seconds_left is None or row.state in OVER else str(timedelta(seconds=round(row.seconds_left)))
            )
            scores = [f"{row.scores[name]:.1f}" if name in row.scores else "" for name in self._columns()]
            iteration = f"{row.iteration}/{iterations}"
            table.add_row(*values, str(row.point.values[SEED]), row.state, iteration, *scores, left)
        return Group(table, Text(self.standing()))

    def standing(self) -> str:
        """Return how many trials are done, and about how long the others take."""
        states = [row.state for row in self._rows.values()]
        parts = [f"{states.count('finished')} of {self._total} finished", f"{len(self.running())} running"]
        for state in ("stopped early", "failed"):
            if count := states.count(state):
                parts.append(f"{count} {state}")
        waiting = self._total - len(states)
        parts.append(f"{waiting} waiting")
        if self._took and (waiting or self.running()):
            mean = sum(self._took) / len(self._took)
            spent = sum(min(mean, time.monotonic() - self._rows[name].began) for name in self.running())
            left = (mean * (waiting + len(self.running())) - spent) / self._at_once
            parts.append(f"about {timedelta(seconds=round(left))} left")
        return ", ".join(parts)

    def _columns(self) -> tuple[str, str]:
        search = self._settings.metric.rpartition(" ")[0]
        return f"{search} R1", f"{search} mAP"

    def _order(self, row: Row) -> tuple[bool, float]:
        return row.state in OVER, -row.scores.get(self._settings.metric, 0.0)

    def _row(self, trial: TuneTrial) -> Row:
        return self._rows[point_of(self._settings, trial.config).name]

    def _over(self, row: Row) -> None:
        row.seconds_left = None
        self._took.append(time.monotonic() - row.began)
        self._say(f"{row.point.name}: {row.state}; {self.standing()}")

    def _say(self, line: str) -> None:
        if self._live is None:
            print(line, flush=True)

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self.table(max(4, self._console.height - 3)), refresh=True)


def _reason(trial: TuneTrial) -> str:
    error = trial.get_error()
    if error is None:
        return "failed without saying why"
    # Ray wraps what the trial raised; the last line of its text is the error itself.
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if "Error" in line or "failed" in line), None)
    return cause.strip() if cause else first_line(error)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
