"""Trainings from the command line, as users start, interrupt and resume them."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.folder import RunFolder
from cluster.progress import read_metrics
from cluster.trainer import fit
from tests.cluster import toy
from tests.processes import descendants, finish, ray_job, start, wait_for_checkpoint, wait_until_gone

pytestmark = pytest.mark.slow


def toy_command(storage: Path, name: str, **settings: Any) -> list[str]:
    return [sys.executable, "-m", "tests.cluster.toy", str(storage), name, *(f"{k}={v}" for k, v in settings.items())]


def final_weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    name = newest_checkpoint(folder)
    assert name is not None
    return load_checkpoint(folder, name)["model"]


def losses(folder: RunFolder) -> list[tuple[int, float]]:
    return [(record["iteration"], record["loss"]) for record in read_metrics(folder) if record["kind"] == "train"]


def test_a_killed_training_resumes_and_ends_like_an_uninterrupted_one(local_ray: None, tmp_path: Path) -> None:
    settings = {"sleep": 0.5, "every": 3, "iterations": 9}
    folder = RunFolder(str(tmp_path / "killed"))
    process = start(toy_command(tmp_path, "killed", **settings))
    wait_for_checkpoint(folder, process)
    time.sleep(0.7)
    process.kill()
    process.wait()
    status, out, err = finish(start(toy_command(tmp_path, "killed", **settings)))
    assert status == 0, err
    assert out.startswith("resuming")
    assert "iteration 1 of 9" not in out
    whole = RunFolder(str(tmp_path / "whole"))
    config = toy.DEFAULTS | settings | {"sleep": 0.0, "folder": whole.location}
    fit(toy.loop, config, run=RunSettings(gpu="no"), checkpoint=CheckpointSettings(), folder=whole)
    torch.testing.assert_close(final_weights(folder), final_weights(whole), rtol=0, atol=0)
    assert losses(folder) == losses(whole)


def test_a_terminated_training_stops_its_workers_and_says_so(tmp_path: Path) -> None:
    process = start(toy_command(tmp_path, "stopped", sleep=0.5, iterations=1000))
    wait_for_checkpoint(RunFolder(str(tmp_path / "stopped")), process)
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 130
    assert err.strip().endswith("interrupted")
    assert "Traceback" not in err
    wait_until_gone(family)


def test_a_submitted_job_streams_its_progress(head: dict[str, str], tmp_path: Path) -> None:
    status, out, err = finish(ray_job(head, "submit", "--", *toy_command(tmp_path, "job")))
    assert status == 0, out + err
    lines = out.splitlines()
    assert any(line.startswith("iteration 8 of 8  loss ") for line in lines)
    assert "checkpoint at iteration 8" in lines
    assert newest_checkpoint(RunFolder(str(tmp_path / "job"))) == "step_000000008"


def test_a_submitted_job_fails_with_its_training(head: dict[str, str], tmp_path: Path) -> None:
    status, out, _ = finish(ray_job(head, "submit", "--", *toy_command(tmp_path, "broken", fail_at=3)))
    assert status == 1
    assert "failed: worker 1 failed: ValueError: the toy broke on purpose\n\nTraceback" in out


def test_a_stopped_job_aborts_cleanly(head: dict[str, str], tmp_path: Path) -> None:
    command = toy_command(tmp_path, "stopped", sleep=0.5, iterations=1000)
    job = ray_job(head, "submit", "--submission-id", "to-be-stopped", "--", *command)
    wait_for_checkpoint(RunFolder(str(tmp_path / "stopped")), job)
    assert finish(ray_job(head, "stop", "to-be-stopped"))[0] == 0
    finish(job)
    assert "interrupted" in finish(ray_job(head, "logs", "to-be-stopped"))[1]
    assert "was stopped" in finish(ray_job(head, "status", "to-be-stopped"))[1]
