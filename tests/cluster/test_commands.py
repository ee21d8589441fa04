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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_told_to_stop_saves_where_it_is(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = start(toy_command(tmp_path, "stopped", sleep=0.3, every=3, iterations=1000))
    folder = RunFolder(str(tmp_path / "stopped"))
    wait_for_checkpoint(folder, process)
    family = descendants(process.pid)
    process.send_signal(number)
    ended, _, err = finish(process)
    assert ended == status
    last = max(iteration for iteration, _ in losses(folder))
    assert err.strip().splitlines()[-1] == f"stopped by {number.name}, with a checkpoint of iteration {last}"
    assert newest_checkpoint(folder) == f"step_{last:09d}"
    assert "Traceback" not in err
    wait_until_gone(family)


def test_a_training_that_was_preempted_before_stops_with_a_checkpoint_of_where_it_is_now(tmp_path: Path) -> None:
    process = start(toy_command(tmp_path, "stopped", sleep=0.3, every=1000, iterations=1000, terminate_once_at=2))
    folder = RunFolder(str(tmp_path / "stopped"))
    while not folder.exists("metrics.jsonl") or b'"recovery"' not in folder.read_bytes("metrics.jsonl"):
        assert process.poll() is None
        time.sleep(0.1)
    preempted = newest_checkpoint(folder)
    process.send_signal(signal.SIGTERM)
    _, _, err = finish(process)
    last = max(iteration for iteration, _ in losses(folder))
    assert f"with a checkpoint of iteration {last}" in err
    assert newest_checkpoint(folder) == f"step_{last:09d}" != preempted


def test_a_training_that_is_told_twice_stops_at_once(tmp_path: Path) -> None:
    process = start(toy_command(tmp_path, "stopped", sleep=20.0, every=1, iterations=1000))
    while not RunFolder(str(tmp_path / "stopped")).exists("started"):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None, "it waits for a checkpoint"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    status, _, err = finish(process)
    assert status == 130
    assert "stopped by SIGINT" in err
    assert "checkpoint" not in err
    assert time.monotonic() - began < 15


def test_a_submitted_job_streams_its_progress(head: dict[str, str], tmp_path: Path) -> None:
    status, out, err = finish(ray_job(head, "submit", "--", *toy_command(tmp_path, "job")))
    assert status == 0, out + err
    lines = out.splitlines()
    assert any(line.startswith("iteration 8 of 8  workers 2  loss ") for line in lines)
    assert "checkpoint at iteration 8" in lines
    assert newest_checkpoint(RunFolder(str(tmp_path / "job"))) == "step_000000008"


def test_a_submitted_job_fails_with_its_training(head: dict[str, str], tmp_path: Path) -> None:
    status, out, _ = finish(ray_job(head, "submit", "--", *toy_command(tmp_path, "broken", fail_at=3)))
    assert status == 1
    assert "failed: worker 1 failed: ValueError: the toy broke on purpose\n\nTraceback" in out


def test_a_stopped_job_ends_with_a_checkpoint(head: dict[str, str], tmp_path: Path) -> None:
    command = toy_command(tmp_path, "stopped", sleep=0.2, every=5, iterations=1000)
    folder = RunFolder(str(tmp_path / "stopped"))
    wait = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}'
    submit = ["submit", "--runtime-env-json", wait, "--submission-id", "to-be-stopped", "--", *command]
    job = ray_job(head, *submit)
    wait_for_checkpoint(folder, job)
    assert finish(ray_job(head, "stop", "to-be-stopped"))[0] == 0
    finish(job)
    logs = finish(ray_job(head, "logs", "to-be-stopped"))[1]
    last = max(iteration for iteration, _ in losses(folder))
    assert f"stopped by SIGTERM, with a checkpoint of iteration {last}" in logs
    assert newest_checkpoint(folder) == f"step_{last:09d}"
    assert "was stopped" in finish(ray_job(head, "status", "to-be-stopped"))[1]
