"""Drivers of trials that Ray kills because a node runs out of memory."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError

from aligngan.config import Config, resolve
from cluster.folder import RunFolder
from tune import running
from tune.checks import checked_points
from tune.folder import SweepFolder
from tune.points import Point
from tune.settings import SweepSettings, parse_settings

KILLED = "4 worker(s) were killed due to the node running low on memory"


@contextlib.contextmanager
def nothing(*_: Any, **__: Any) -> Iterator[None]:
    yield


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, kills: list[str]) -> tuple[int, list[list[str]]]:
    """Run a sweep of three trials in which Ray kills the driver of each trial named in `kills` once per entry.

    Returns its status and the trials of every start.
    """
    settings, base = parse_settings({"space": {"loss.lambda_id_pix": [0.1, 1.0, 10.0]}}, "test"), resolve()
    sweep, starts = SweepFolder(RunFolder(str(folder))), []

    def start(sweep: SweepFolder, settings: SweepSettings, base: Config, left: Sequence[Point], total: int) -> None:
        starts.append([point.name for point in left])
        for point in left:
            sweep.note(point, status="started")
            if point.name in kills:
                kills.remove(point.name)
                # What Ray Tune makes of it.
                raise RuntimeError("Caught unexpected exception") from OutOfMemoryError(KILLED)
            sweep.run(point.name).write_json("scores.json", {})
            sweep.note(point, status="finished")

    for name in ("connect", "own_state_api"):
        monkeypatch.setattr(running, name, nothing)
    monkeypatch.setattr(running, "make_data", lambda _: None)
    monkeypatch.setattr(running, "_start", start)
    return running.run_sweep(sweep, settings, base, checked_points(settings, base)), starts


FIRST, SECOND, THIRD = (f"lambda_id_pix-{value}.seed-0" for value in ("0.1", "1", "10"))


def test_a_sweep_goes_on_after_a_trials_driver_was_killed_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, starts = run(tmp_path, monkeypatch, [SECOND, THIRD])
    assert status == 0
    assert starts == [[FIRST, SECOND, THIRD], [SECOND, THIRD], [THIRD]]
    assert f"{KILLED}; the sweep goes on" in capsys.readouterr().err


def test_a_sweep_whose_trial_is_killed_again_and_again_ends_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, starts = run(tmp_path, monkeypatch, [SECOND] * 9)
    assert status == 1
    assert starts == [[FIRST, SECOND, THIRD], [SECOND, THIRD]]
    assert f"continue with: python -m tune.sweep --resume {tmp_path}" in capsys.readouterr().err
