"""The table of a sweep that goes on."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aligngan.config import resolve
from cluster.folder import RunFolder
from tune import watching
from tune.folder import SweepFolder
from tune.points import listed_points
from tune.settings import base_config, read_space
from tune.trial import listed


class Tried:
    """What Ray Tune hands to callbacks, as far as they look at it."""

    def __init__(self, point: Any) -> None:
        self.config = {"point": listed(point)}
        self.last_result = {"iteration": 225}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_weights_iteration_scores_and_time_left_on_any_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    board: dict[str, Any] = {}
    monkeypatch.setattr(watching, "Board", lambda _: type("Board", (), {"clear": board.clear, "read": board.get})())
    settings = read_space("figure4")
    base = base_config(settings)
    points = listed_points(settings, base)
    sweep = SweepFolder(RunFolder(str(tmp_path)))
    table = watching.Watching(sweep, settings, base, total=30, at_once=2)
    trials: list[Any] = [Tried(points[0]), Tried(points[9]), Tried(points[1])]
    for trial in trials:
        table.on_trial_start(0, trials, trial)
    table.on_trial_result(0, trials, trials[0], {"iteration": 225, "all-single R1": 43.21, "all-single mAP": 21.04})
    board[points[0].name] = {"state": "training", "iteration": 230, "seconds_left": 754.0}
    table.look()
    sweep.run(points[9].name).write_json("scores.json", {})
    table.on_trial_complete(0, trials, trials[1])
    table.on_trial_complete(0, trials, trials[2])

    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table.table(30))
    head, *lines = console.export_text().splitlines()
    assert head.split()[2:] == ["seed", "state", "iteration", "Rank-1", "mAP", "time", "left"]
    iterations = resolve().train.iterations
    assert lines[0].split() == ["1", "0.1", "0", "training", f"230/{iterations}", "43.2", "21.0", "0:12:34"]
    assert lines[1].split()[:3] == ["baseline", "0", "finished"]
    assert "stopped early" in lines[2]
    assert "1 of 30 finished, 1 running, 1 stopped early, 27 waiting" in " ".join(lines)
    assert {name: trial.status for name, trial in sweep.trials.items()} == {
        points[0].name: "started",
        points[9].name: "finished",
        points[1].name: "stopped",
    }
