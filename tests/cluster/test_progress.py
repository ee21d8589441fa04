"""What is seen of a training: metrics.jsonl and the terminal."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from cluster.folder import RunFolder
from cluster.progress import METRICS, describe, following, metrics_file, read_metrics, show_progress


def train(iteration: int, loss: float = 1.0) -> dict[str, Any]:
    return {"kind": "train", "iteration": iteration, "iterations": 40, "loss": loss}


def folder_with(tmp_path: Path, *records: dict[str, Any], rest: str = "") -> RunFolder:
    folder = RunFolder(str(tmp_path))
    folder.write_bytes(METRICS, ("".join(json.dumps(record) + "\n" for record in records) + rest).encode())
    return folder


def test_records_that_a_resumed_training_did_again_are_superseded(tmp_path: Path) -> None:
    kept = [train(10), train(20), {"kind": "checkpoint", "iteration": 20}]
    lost = [train(30, loss=7.0), {"kind": "evaluation", "iteration": 30}, train(40, loss=8.0)]
    again = [train(30), {"kind": "evaluation", "iteration": 30}, train(40)]
    assert read_metrics(folder_with(tmp_path, *kept, *lost, *again)) == kept + again


def test_a_training_started_over_supersedes_everything(tmp_path: Path) -> None:
    again = [train(10, loss=5.0)]
    assert read_metrics(folder_with(tmp_path, train(10), train(20), *again)) == again


def test_what_a_recovery_cost_is_kept_and_supersedes_nothing(tmp_path: Path) -> None:
    recovery = {"kind": "recovery", "iteration": 10, "lost_iterations": 10, "recovery_seconds": 12.5, "workers": 2}
    records = read_metrics(folder_with(tmp_path, train(10), train(20, loss=7.0), train(20), recovery, train(30)))
    assert records == [train(10), train(20), recovery, train(30)]
    before = [train(10), train(20, loss=7.0), recovery]
    assert read_metrics(folder_with(tmp_path, *before, train(20), train(30))) == [train(10), recovery, *records[1::2]]
    assert describe(recovery) == "recovery at iteration 10  lost_iterations 10  recovery_seconds 12.5  workers 2"


def test_records_of_several_kinds_at_one_iteration_are_all_kept(tmp_path: Path) -> None:
    records = [train(10), {"kind": "checkpoint", "iteration": 10}, {"kind": "evaluation", "iteration": 10}]
    assert read_metrics(folder_with(tmp_path, *records)) == records


def test_a_line_cut_off_by_a_crash_is_left_out_and_written_over(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, train(10), rest='{"kind": "tra')
    assert read_metrics(folder) == [train(10)]
    with metrics_file(folder) as path, path.open("a") as file:
        file.write(json.dumps(train(20)) + "\n")
    assert read_metrics(folder) == [train(10), train(20)]


def test_metrics_of_an_object_store_are_continued_and_uploaded() -> None:
    filesystem, path = fs.FileSystem.from_uri("mock://bucket/run")
    folder = RunFolder.on(filesystem, path)
    folder.write_bytes(METRICS, (json.dumps(train(10)) + "\n").encode())
    with metrics_file(folder) as spool, spool.open("a") as file:
        file.write(json.dumps(train(20)) + "\n")
    assert read_metrics(folder) == [train(10), train(20)]


def test_new_records_are_followed_and_old_ones_are_not(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, train(10))
    seen: list[dict[str, Any]] = []
    with metrics_file(folder) as path, following(path, seen.append), path.open("a") as file:
        file.write(json.dumps(train(20)) + '\n{"kind":')
        file.flush()
        deadline = time.monotonic() + 5
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
        assert seen == [train(20)]
        file.write(' "train", "iteration": 30}\n')
    assert [record["iteration"] for record in seen] == [20, 30]


def test_without_a_terminal_each_record_is_a_readable_line(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as show:
        show(train(20) | {"images_per_second": 35.21, "seconds_left": 3725.0})
        show({"kind": "evaluation", "iteration": 20, "rank1": 0.425, "mean_ap": 0.40712})
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "iteration 20 of 40  35.2 images/s  1:02:05 left  loss 1",
        "evaluation at iteration 20  rank1 0.425  mean_ap 0.4071",
    ]


def test_on_a_terminal_the_display_is_live(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_progress() as show:
        show(train(20) | {"images_per_second": 35.21, "seconds_left": 3725.0})
        show({"kind": "evaluation", "iteration": 20, "rank1": 0.5})
    out = capsys.readouterr().out
    assert all(text in out for text in ("20/40", "35.2 images/s", "1:02:05 left", "loss 1", "rank1 0.5"))


def test_a_record_of_another_kind_is_described_by_its_values() -> None:
    assert describe({"kind": "failure", "iteration": 3, "message": "worker 1: gone"}) == (
        "failure at iteration 3  message worker 1: gone"
    )
