"""Storage that is full, away for a while, or asked to keep the best."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import Checkpoint

from cluster import patience
from cluster.best import best_checkpoint, keep_best
from cluster.checkpoints import (
    STATE,
    _upload,
    checkpoint_names,
    load_checkpoint,
    newest_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from cluster.config import CheckpointSettings, RunSettings
from cluster.errors import StorageFull, TrainingFailed
from cluster.folder import RunFolder
from cluster.metrics_tensorboard import tensorboard
from cluster.progress import MetricsFile, following, parse_lines
from cluster.scratch import scratch_folder
from cluster.trainer import fit
from tests.cluster import toy
from tests.event_files import scalars

MEGABYTE = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no mount: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(file: Path) -> None:
    """Write zeros until the disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def saved_state(folder: Path, size: int) -> Checkpoint:
    folder.mkdir(exist_ok=True)
    torch.save({"ballast": torch.zeros(size // 4)}, folder / STATE)
    return Checkpoint(str(folder))


def upload(folder: RunFolder, iteration: int, local: Checkpoint, seconds: float = 0.0) -> None:
    _upload(folder, {"kind": "checkpoint", "iteration": iteration}, seconds, local, f"step_{iteration:09d}")


def test_a_full_disk_is_an_error_that_says_what_is_left_and_leaves_it_whole(small_disk: Path, tmp_path: Path) -> None:
    folder, local = RunFolder(str(small_disk / "run")), saved_state(tmp_path / "local", int(1.5 * MEGABYTE))
    upload(folder, 1, local)
    upload(folder, 2, local)
    with pytest.raises(StorageFull, match=r"no room for step_000000003.*step_000000002 is whole.*checkpoint\.keep"):
        upload(folder, 3, local, seconds=100)
    assert checkpoint_names(folder) == ["step_000000001", "step_000000002"]
    verify_checkpoint(folder, "step_000000002")


def test_metrics_survive_a_disk_that_was_full_for_a_while(small_disk: Path) -> None:
    class Blank:
        def read(self, name: str) -> None: ...

        take = read

    (small_disk / "ballast").write_bytes(b"")
    file = MetricsFile(small_disk / "metrics.jsonl", Blank())  # type: ignore[arg-type]
    file.after_report(None, [{"iteration": 1, "text": "a" * 5000}], None)
    fill(small_disk / "ballast")
    file.after_report(None, [{"iteration": 2, "text": "b" * 5000}], None)
    (small_disk / "ballast").unlink()
    file.after_report(None, [{"iteration": 3, "text": "c" * 5000}], None)
    records = parse_lines((small_disk / "metrics.jsonl").read_bytes())
    assert [record["iteration"] for record in records] == [1, 2, 3]


@pytest.mark.timeout(60)
def test_tensorboard_goes_on_in_another_file_after_a_disk_that_was_full(small_disk: Path) -> None:
    """It must not wait for ever either: the writer that users of tensorboardX have would."""
    with tensorboard(RunFolder(str(small_disk / "run"))) as draw:
        draw({"kind": "train", "iteration": 1, "cyc": 0.5})
        fill(small_disk / "ballast")
        lost = 0
        for iteration in range(2, 300):  # the file system gives out whole pages, so the first ones still fit
            try:
                draw({"kind": "train", "iteration": iteration, "cyc": 0.5})
            except OSError:
                lost += 1
        assert lost > 100
        (small_disk / "ballast").unlink()
        draw({"kind": "train", "iteration": 2000, "cyc": 0.25})
    files = (small_disk / "run" / "tensorboard").iterdir()
    last = max(files, key=lambda file: file.stat().st_mtime_ns)
    assert list(scalars(last.read_bytes()).items())[-1] == (("loss/cyc", 2000), 0.25)


def test_what_follows_a_file_outlives_storage_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, away = tmp_path / "metrics.jsonl", tmp_path / "away"
    seen: list[Any] = []
    path.write_text('{"iteration": 1}\n', encoding="utf-8")
    with following(path, seen.append):
        path.rename(away)
        with away.open("a", encoding="utf-8") as file:
            file.write('{"iteration": 2}\n')
        time.sleep(0.7)
        assert seen == []
        away.rename(path)
    assert seen == [{"iteration": 2}]
    assert caplog.text.count("could not read") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_on_a_full_disk_ends_with_the_last_checkpoint_intact(local_ray: None, small_disk: Path) -> None:
    folder = RunFolder(str(small_disk / "run"))
    config = toy.DEFAULTS | {"folder": folder.location, "every": 2, "iterations": 20, "sleep": 0.3, "weights": 350_000}
    run = RunSettings(workers=2, gpu="no", max_failures=3)
    with pytest.raises(TrainingFailed, match=r"no room for step_000000006.*step_000000004 is whole"):
        fit(toy.loop, config, run=run, checkpoint=CheckpointSettings(keep=5), folder=folder)
    assert newest_checkpoint(folder) == "step_000000004"
    assert load_checkpoint(folder, "step_000000004")["iteration"] == 4
    records = parse_lines(folder.read_bytes("metrics.jsonl"))
    assert sum(record["kind"] == "failure" for record in records) == 1, "a full disk is not tried again"


def test_storage_that_is_away_for_a_while_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_DELAY", 0.05)
    folder, local = RunFolder(str(tmp_path / "run")), saved_state(tmp_path / "local", 1000)
    failures = [OSError(errno.EIO, "input/output error"), OSError("the network is away")]
    whole = RunFolder.upload

    def flaky(self: RunFolder, source: Path, name: str) -> None:
        if failures:
            raise failures.pop()
        whole(self, source, name)

    monkeypatch.setattr(RunFolder, "upload", flaky)
    upload(folder, 1, local, seconds=10)
    assert not failures
    verify_checkpoint(folder, "step_000000001")


def test_storage_that_stays_away_is_given_up_after_the_set_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_DELAY", 0.05)

    def away(self: RunFolder, source: Path, name: str) -> None:
        raise OSError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(RunFolder, "upload", away)
    with pytest.raises(OSError, match="timed out"):
        upload(RunFolder(str(tmp_path / "run")), 1, saved_state(tmp_path / "local", 1000), seconds=0.3)


def test_states_that_a_killed_process_left_on_the_local_disk_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = "from cluster.scratch import *; print(scratch_folder(), flush=True); input()"
    killed, living, ended = (
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    )
    folders = [Path(process.stdout.readline().strip()) for process in (killed, living, ended) if process.stdout]
    try:
        for folder in folders:
            (folder / "state").write_bytes(b"gigabytes")
        killed.kill()
        killed.wait()
        ended.communicate("\n")
        assert [folder.exists() for folder in folders] == [True, True, False]
        new = subprocess.run([sys.executable, "-c", script], input="\n", capture_output=True, text=True, check=True)
        assert new.stdout.strip().startswith(str(tmp_path))
        assert [folder.exists() for folder in folders] == [False, True, False]
    finally:
        living.communicate("\n")


def test_a_local_disk_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = scratch_folder.__wrapped__()
    assert folder.parent == tmp_path
    assert scratch_folder.__wrapped__() != folder
    assert folder.exists(), "without locks nobody knows that it is left"


def test_the_best_checkpoint_outlives_the_newest_ones(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    for iteration, score in ((10, 3.0), (20, 5.0), (30, 4.0)):
        local = Path(saved_state(tmp_path / f"local{iteration}", 100 * iteration).path)
        before = {"R1": score} if iteration == 10 else {}  # the others were scored after they had been saved
        write_checkpoint(folder, f"step_{iteration:09d}", local, {"iteration": iteration, **before})
        if score != 4.0:
            keep_best(folder, iteration, {"R1": score})
    folder.delete("step_000000020")
    assert best_checkpoint(folder) == "best_000000020"
    assert verify_checkpoint(folder, "best_000000020")["metrics"]["R1"] == 5.0
    assert len(load_checkpoint(folder, "best_000000020")["ballast"]) == 500
    assert [name for name in folder.list() if name.startswith("best")] == ["best_000000020"]
    assert newest_checkpoint(folder) == "step_000000030", "resuming takes the newest, not the best"


def test_a_damaged_best_checkpoint_is_none(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    write_checkpoint(folder, "step_000000010", Path(saved_state(tmp_path / "local", 100).path), {"iteration": 10})
    keep_best(folder, 10, {"R1": 1.0})
    folder.write_bytes(f"best_000000010/{STATE}", b"cut off")
    assert best_checkpoint(folder) is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_keeps_its_best_checkpoint_over_a_resume(local_ray: None, tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    scores = {"scores": "5 1 7 2 6 3"}
    run = RunSettings(workers=2, gpu="no", max_failures=0)
    for iterations in (4, 6):
        config = toy.DEFAULTS | scores | {"folder": folder.location, "every": 1, "iterations": iterations}
        fit(toy.loop, config, run=run, checkpoint=CheckpointSettings(keep=1, best="score"), folder=folder)
    assert best_checkpoint(folder) == "best_000000003"
    assert checkpoint_names(folder) == ["step_000000006"]
