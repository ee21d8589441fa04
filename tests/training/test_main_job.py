"""The main job from the command line: trains, is killed, resumes, is submitted, and prints its scores."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.folder import RunFolder
from cluster.progress import read_metrics

pytestmark = pytest.mark.slow

OVERRIDES = [
    "data.image_size=[32, 32]",
    "data.persons_per_batch=4",
    "data.images_per_person=2",
    "backbone.image_size=[48, 24]",
    "translator.width=4",
    "discriminator.width=4",
    "train.precision=float32",
    "train.iterations=12",
    "train.report_every=2",
    "checkpoint.every=4",
    "run.workers=2",
]


def arguments(data: list[str], runs: Path, name: str) -> list[str]:
    return ["-m", "aligngan.train", *OVERRIDES, *data, f"run.storage={runs}", f"run.name={name}"]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=600, cwd=cwd, check=False)


def final_state(run_folder: Path) -> dict:
    folder = RunFolder(str(run_folder))
    name = newest_checkpoint(folder)
    assert name is not None
    return load_checkpoint(folder, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small_synthetic: list[str]) -> tuple[Path, str]:
    """An uninterrupted run and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    done = run(*arguments(small_synthetic, runs, "whole"), cwd=runs)
    assert done.returncode == 0, done.stderr
    return runs / "whole", done.stdout


def test_the_job_prints_progress_scores_and_the_run_folder(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    assert str(folder) in printed
    assert "iteration 12" in printed
    for word in ("cls_feat", "Rank-1", "mAP", "chance", "untrained network", "all-search, single-shot"):
        assert word in printed, word


def test_the_run_folder_holds_everything(whole: tuple[Path, str]) -> None:
    folder, _ = whole
    for name in ("config.yaml", "metrics.jsonl", "scores.json", "translation.png", "ranking.png"):
        assert (folder / name).stat().st_size > 0, name
    records = read_metrics(RunFolder(str(folder)))
    assert [record["iteration"] for record in records if record["kind"] == "train"] == [2, 4, 6, 8, 10, 12]
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert len(scores["searches"]) == 4
    assert scores["checkpoint_digest"]


def test_killed_after_a_checkpoint_and_resumed_equals_uninterrupted(
    whole: tuple[Path, str], tmp_path: Path, small_synthetic: list[str]
) -> None:
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, *arguments(small_synthetic, tmp_path, "killed")],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while newest_checkpoint(RunFolder(str(killed))) is None and time.monotonic() < deadline:
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run("-m", "aligngan.train", "--resume", str(killed), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    resumed, uninterrupted = final_state(killed), final_state(whole[0])
    assert resumed["iteration"] == uninterrupted["iteration"] == 12
    for name, tensor in uninterrupted["networks"].items():
        assert torch.equal(resumed["networks"][name], tensor), name
