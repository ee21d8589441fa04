"""The sweep that newcomers run, submitted to a cluster as a job."""

import csv
import sys
from pathlib import Path

import pytest

from tests.processes import finish, ray_job
from tests.tune.test_sweeps import statuses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHORT = (
    *("--seeds", "0", "stages.feature_warmup=1", "stages.pixel_warmup=1", "optimizer.decay_after=2"),
    *("train.iterations=4", "train.report_every=2", "checkpoint.every=4", "data.image_size=[32,32]"),
    *("backbone.image_size=[48,24]", "run.workers=1", "run.cpus_per_worker=1", "run.gpu='no'"),
)
"""The demo's trials with little training in each: what is looked at here is the sweep."""


def test_the_demo_is_submitted_as_a_job_and_the_same_job_again_trains_nothing(
    tmp_path: Path, head: dict[str, str], small_synthetic: list[str]
) -> None:
    command = [sys.executable, "-m", "tune.sweep", *SHORT, *small_synthetic, f"run.storage={tmp_path}"]
    command += ["run.name=demo", "run.if_exists=resume"]
    status, out, err = finish(ray_job(head, "submit", "--", *command))
    assert status == 0, out + err
    assert "1 worker a trial, room for 3 workers: 3 at once, the others queue" in out
    assert "6 of 6 finished, 0 running, 0 waiting" in out
    sweep = tmp_path / "demo"
    assert set(statuses(sweep).values()) == {"finished"}
    for name in ("figure-4", "parallel-coordinates"):
        assert (sweep / "report" / "pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with (sweep / "report" / "tables" / "points.csv").open(encoding="utf-8", newline="") as file:
        points = list(csv.DictReader(file))
    assert [row["lambda_id_pix"] for row in points] == ["1", "0.1", "10", "1", "1", "baseline"]
    assert all(0 <= float(row["Rank-1"]) <= 100 for row in points)

    status, out, err = finish(ray_job(head, "submit", "--", *command))
    assert status == 0, out + err
    assert f"goes on with {sweep}: 6 of 6 trials are over" in out
    assert "nothing is left to train" in out


def test_a_model_suggests_the_trials_of_a_submitted_sweep(
    tmp_path: Path, head: dict[str, str], small_synthetic: list[str]
) -> None:
    command = [sys.executable, "-m", "tune.sweep", "--space", "optuna", "--trials", "2", *SHORT[2:], *small_synthetic]
    command += ["data.persons_per_batch=4", "data.images_per_person=2", "train.pixel_batch=null", "translator.width=4"]
    command += [
        "discriminator.width=4",
        "evaluation.before_training=false",
        "evaluation.modes=[all]",
        "evaluation.shots=[single]",
    ]
    command += [f"run.storage={tmp_path}", "run.name=mine"]
    status, out, err = finish(ray_job(head, "submit", "--", *command))
    assert status == 0, out + err
    found = statuses(tmp_path / "mine")
    assert list(found.values()) == ["finished"] * 2
    assert len(set(found)) == 2, "two different points"
    with (tmp_path / "mine" / "report" / "tables" / "trials.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert 0.05 <= float(row["lambda_id_pix"]) <= 20
            assert 0.005 <= float(row["lambda_gan_feat"]) <= 2
