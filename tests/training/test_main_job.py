"""The main job from the command line: trains, is killed, resumes, is submitted, and prints its scores."""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch

from cluster.best import best_checkpoint, best_name
from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.folder import RunFolder
from cluster.progress import read_metrics
from tests.processes import finish, ray_job, start, wait_for, wait_for_checkpoint

pytestmark = pytest.mark.slow

OVERRIDES = [
    "data.image_size=[32, 32]",
    "data.persons_per_batch=4",
    "data.images_per_person=2",
    "backbone.image_size=[48, 24]",
    "translator.width=4",
    "discriminator.width=4",
    "stages.feature_warmup=2",
    "stages.pixel_warmup=3",
    "train.precision=float32",
    "train.iterations=12",
    "train.report_every=2",
    "checkpoint.every=4",
    "run.workers=2",
    "evaluation.before_training=true",
]


def command(data: list[str], runs: Path, name: str, *more: str) -> list[str]:
    train = [sys.executable, "-m", "aligngan.train"]
    return [*train, *OVERRIDES, *data, f"run.storage={runs}", f"run.name={name}", *more]


def final_state(run_folder: Path) -> dict:
    folder = RunFolder(str(run_folder))
    name = newest_checkpoint(folder)
    assert name is not None
    return load_checkpoint(folder, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small_synthetic: list[str]) -> tuple[Path, str]:
    """An uninterrupted run and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    status, out, err = finish(start(command(small_synthetic, runs, "whole")))
    assert status == 0, err
    return runs / "whole", out


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
    process = start(command(small_synthetic, tmp_path, "killed"))
    wait_for_checkpoint(RunFolder(str(killed)), process)
    process.kill()
    process.wait()
    status, out, err = finish(start([sys.executable, "-m", "aligngan.train", "--resume", str(killed)]))
    assert status == 0, err
    assert "iteration 2 of 12" not in out
    resumed, uninterrupted = final_state(killed), final_state(whole[0])
    assert resumed["iteration"] == uninterrupted["iteration"] == 12
    for name, tensor in uninterrupted["networks"].items():
        assert torch.equal(resumed["networks"][name], tensor), name


def test_an_evaluation_for_which_a_stop_leaves_no_time_is_done_after_the_resume(
    tmp_path: Path, small_synthetic: list[str]
) -> None:
    """Every iteration is evaluated, so the one that a stop comes upon would be."""
    folder = RunFolder(str(tmp_path / "stopped"))
    best = ("checkpoint.best='all-single R1'", "evaluation.every=1", "checkpoint.every=100", "train.iterations=9")
    process = start(command(small_synthetic, tmp_path, "stopped", *best))
    wait_for(lambda: folder.exists("evaluations/000000002-scores.json"), process)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 143, err
    stopped_at = final_state(tmp_path / "stopped")["iteration"]
    assert stopped_at < 9
    assert not folder.exists(f"evaluations/{stopped_at:09d}-scores.json")
    status, _, err = finish(start([sys.executable, "-m", "aligngan.train", "--resume", folder.location]))
    assert status == 0, err
    evaluated = [record for record in read_metrics(folder) if record["kind"] == "evaluation"]
    assert [record["iteration"] for record in evaluated] == list(range(10))
    highest = max(evaluated[1:], key=lambda record: record["all-single R1"])
    assert best_checkpoint(folder) == best_name(highest["iteration"])


def test_a_submitted_job_streams_its_progress_and_scores(
    head: dict[str, str], tmp_path: Path, small_synthetic: list[str]
) -> None:
    submitted = ray_job(head, "submit", "--", *command(small_synthetic, tmp_path, "job", "train.iterations=6"))
    status, out, err = finish(submitted)
    assert status == 0, out + err
    assert "iteration 6 of 6" in out
    assert "all-search, single-shot: Rank-1" in out
    assert (tmp_path / "job" / "scores.json").exists()


def test_a_submitted_job_that_is_refused_fails_and_says_why(head: dict[str, str]) -> None:
    refused = ray_job(head, "submit", "--", sys.executable, "-m", "aligngan.train", "loss.lamda_cyc=1")
    status, out, _ = finish(refused)
    assert status == 1
    assert "did you mean loss.lambda_cyc?" in out


def test_a_training_that_diverges_stops_with_the_batch_and_keeps_no_broken_checkpoint(
    tmp_path: Path, small_synthetic: list[str]
) -> None:
    diverging = command(small_synthetic, tmp_path, "diverging", "optimizer.backbone_lr=1e30", "checkpoint.every=1")
    status, _, err = finish(start(diverging))
    assert status == 1
    assert "of phase feature_warmup is not finite at iteration 2" in err
    assert "synthetic" in err
    folder = tmp_path / "diverging"
    assert list((folder / "failures").glob("000000002-rank*.pt"))
    state = final_state(folder)
    assert state["iteration"] == 1
