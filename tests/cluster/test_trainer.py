"""One function on two workers, and what happens when they fail."""

import errno
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import Result, WorkerGroupError

from cluster.checkpoints import SNAPSHOT, STATE, checkpoint_names, load_checkpoint, newest_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.connection import place
from cluster.errors import NotEnoughResources, StorageNotShared, TrainingFailed, WorkerError
from cluster.failures import explain, may_pass
from cluster.folder import RunFolder
from cluster.progress import read_metrics
from cluster.trainer import STORAGE_MARK, check_storage, fit
from tests.cluster import toy


def run_toy(folder: RunFolder, **settings: Any) -> Result:
    run = RunSettings(workers=2, gpu="no", max_failures=1)
    config = toy.DEFAULTS | settings | {"folder": folder.location}
    return fit(toy.loop, config, run=run, checkpoint=CheckpointSettings(keep=2), folder=folder)


def final_weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    name = newest_checkpoint(folder)
    assert name is not None
    return load_checkpoint(folder, name)["model"]


def losses(folder: RunFolder) -> list[tuple[int, float]]:
    return [(record["iteration"], record["loss"]) for record in read_metrics(folder) if record["kind"] == "train"]


@pytest.fixture(scope="module")
def finished(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[dict[str, Any]]]:
    folder = RunFolder(str(tmp_path_factory.mktemp("finished") / "run"))
    seen: list[dict[str, Any]] = []
    run = RunSettings(workers=2, gpu="no")
    config = toy.DEFAULTS | {"folder": folder.location}
    fit(toy.loop, config, run=run, checkpoint=CheckpointSettings(keep=2), folder=folder, on_report=seen.append)
    return folder, seen


def test_every_report_is_in_the_metrics_file_and_is_shown(finished: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    folder, seen = finished
    records = read_metrics(folder)
    assert [record["iteration"] for record in records if record["kind"] == "train"] == list(range(1, 9))
    assert [record["iteration"] for record in records if record["kind"] == "checkpoint"] == [2, 4, 6, 8]
    assert seen == records


def test_only_the_newest_checkpoints_are_kept(finished: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    assert checkpoint_names(finished[0]) == ["step_000000006", "step_000000008"]


def test_a_run_with_a_damaged_checkpoint_and_list_resumes_and_ends_alike(
    finished: tuple[RunFolder, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    shutil.copytree(finished[0].path(), folder.path())
    state = Path(folder.path("step_000000008"), STATE)
    state.write_bytes(state.read_bytes()[:-100])
    folder.write_bytes(SNAPSHOT, b"")
    result = run_toy(folder)
    assert result.metrics == {"kind": "checkpoint", "iteration": 8}
    torch.testing.assert_close(final_weights(folder), final_weights(finished[0]), rtol=0, atol=0)
    assert losses(folder) == losses(finished[0])


def test_a_lost_worker_is_replaced_and_the_run_ends_alike(
    finished: tuple[RunFolder, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    run_toy(folder, every=4, die_once_at=6, sleep=0.5)
    assert folder.exists("die")
    torch.testing.assert_close(final_weights(folder), final_weights(finished[0]), rtol=0, atol=0)
    assert b'"failure"' in folder.read_bytes("metrics.jsonl")
    assert losses(folder) == losses(finished[0])


@pytest.mark.usefixtures("local_ray")
def test_an_error_in_the_code_ends_the_run_at_once_with_its_traceback(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    with pytest.raises(TrainingFailed) as failure:
        run_toy(folder, fail_at=3)
    text = str(failure.value)
    assert text.startswith("worker 1 failed: ValueError: the toy broke on purpose")
    assert text.count("Traceback (most recent call last)") == 1
    assert "toy.py" in text
    assert folder.read_bytes("metrics.jsonl").count(b'"failure"') == 1


@pytest.mark.usefixtures("local_ray")
def test_more_gpus_than_there_are_is_refused_within_seconds(tmp_path: Path) -> None:
    folder, start = RunFolder(str(tmp_path / "run")), time.monotonic()
    run = RunSettings(workers=3, gpu="yes")
    with pytest.raises(NotEnoughResources, match=r"3 workers with 1 CPU and 1 GPU each do not fit.*0 GPU"):
        fit(toy.loop, toy.DEFAULTS, run=run, checkpoint=CheckpointSettings(), folder=folder)
    assert time.monotonic() - start < 5


@pytest.mark.usefixtures("local_ray")
def test_more_cpus_than_there_are_is_refused() -> None:
    with pytest.raises(NotEnoughResources, match="do not fit"):
        place(RunSettings(workers=2, cpus_per_worker=1000, gpu="no"))


def test_a_node_with_a_folder_of_its_own_is_named_with_the_remedy(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    for content in (None, b"mark of another run"):
        if content is not None:
            folder.write_bytes(STORAGE_MARK, content)
        with pytest.raises(StorageNotShared, match=rf"node .*{tmp_path}.*run\.storage"):
            check_storage(folder, "mark")
    folder.write_bytes(STORAGE_MARK, b"mark")
    check_storage(folder, "mark")


def test_storage_that_is_away_when_a_worker_starts_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.patience.FIRST_DELAY", 0.05)
    failures = [OSError(errno.EIO, "input/output error"), OSError("AWS Error NETWORK_CONNECTION")]

    def read(self: RunFolder, name: str) -> bytes:
        if failures:
            raise failures.pop()
        return b"mark"

    monkeypatch.setattr(RunFolder, "read_bytes", read)
    check_storage(RunFolder(str(tmp_path)), "mark")
    assert not failures


def test_a_storage_that_refuses_this_node_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: RunFolder, name: str) -> bytes:
        raise OSError("AWS Error ACCESS_DENIED during GetObject operation")

    monkeypatch.setattr(RunFolder, "read_bytes", refuse)
    with pytest.raises(StorageNotShared):
        check_storage(RunFolder(str(tmp_path)), "mark")


def test_what_storage_that_is_away_caused_may_pass_on_new_workers() -> None:
    def caused(cause: BaseException) -> Exception:
        error = ValueError("data.root=/data: it cannot be read")
        error.__cause__ = cause
        return error

    assert may_pass(RuntimeError("a peer is gone"))
    assert may_pass(OSError(errno.EIO, "input/output error"))
    assert may_pass(caused(OSError(errno.EIO, "input/output error")))
    assert not may_pass(caused(FileNotFoundError(errno.ENOENT, "no such file")))
    assert not may_pass(ValueError("another shape"))
    assert not may_pass(OSError(errno.ENOSPC, "no space left on device"))


def test_a_lost_worker_is_named_before_those_that_missed_it() -> None:
    missed = WorkerError(0, "RuntimeError: connection closed by peer", "Traceback of worker 0", retry=True)
    text = explain(WorkerGroupError("", {0: missed, 1: RuntimeError("the actor died")}))
    assert text.splitlines() == [
        "worker 1 was lost: the actor died",
        "worker 0 failed too: RuntimeError: connection closed by peer",
    ]
