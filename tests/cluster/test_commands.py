"""Trainings from the command line, as users start, interrupt and resume them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.checkpoints import checkpoint_names, load_checkpoint, newest_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.folder import RunFolder
from cluster.progress import read_metrics
from cluster.trainer import fit
from tests.cluster import toy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 150


def toy_command(storage: Path, name: str, **settings: Any) -> list[str]:
    return [sys.executable, "-m", "tests.cluster.toy", str(storage), name, *(f"{k}={v}" for k, v in settings.items())]


def start(command: list[str], **environment: str) -> "subprocess.Popen[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        end(process)
    return process.returncode, out, err


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process that was started here and everything that it started."""
    if process.poll() is None:
        for member in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        process.wait()


def descendants(pid: int) -> set[int]:
    """Return the processes that a process started, and theirs."""
    parents = parents_of_processes()
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def parents_of_processes() -> dict[int, int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    return parents


def wait_until_gone(family: set[int]) -> None:
    deadline = time.monotonic() + SECONDS
    while left := family & parents_of_processes().keys():
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.5)


def wait_for_checkpoint(folder: RunFolder, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while not checkpoint_names(folder):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


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


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A Ray cluster of one node that jobs are submitted to; yields the environment of its clients."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as directory:
        port, dashboard, agent = (free_port() for _ in range(3))
        environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        ray = str(Path(sys.executable).with_name("ray"))
        command = [
            *(ray, "start", "--head", "--block", "--num-cpus=3", f"--port={port}", f"--temp-dir={directory}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
            "--object-store-memory=150000000",
        ]
        process = start(command, **environment)
        client = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        try:
            wait_for_jobs(client, process)
            yield client
        finally:
            end(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ray_job(client: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return start([str(Path(sys.executable).with_name("ray")), "job", *arguments], **client)


def wait_for_jobs(client: dict[str, str], head: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while finish(ray_job(client, "list"))[0] != 0:
        assert head.poll() is None, head.communicate()
        assert time.monotonic() < deadline
        time.sleep(1)


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
