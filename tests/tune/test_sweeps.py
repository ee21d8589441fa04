"""Whole sweeps from the command line: trials that queue, fail, are killed, go on, and are not done twice."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cluster.checkpoints import checkpoint_names
from cluster.folder import RunFolder
from cluster.progress import parse_lines, read_metrics
from tests.processes import SECONDS, descendants, end, finish, start, wait_until_gone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = {
    "data": {"image_size": [32, 32], "persons_per_batch": 4, "images_per_person": 2},
    "backbone": {"image_size": [48, 24]},
    "translator": {"width": 4},
    "discriminator": {"width": 4},
    "stages": {"feature_warmup": 2, "pixel_warmup": 2},
    "train": {"precision": "float32", "iterations": 12, "report_every": 2, "pixel_batch": None},
    "evaluation": {"every": 6, "before_training": False, "modes": ["all"], "shots": ["single"]},
    "checkpoint": {"every": 4},
}


def sweep_file(folder: Path, **tree: object) -> str:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"config": CONFIG, **tree}), encoding="utf-8")
    return str(file)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tune.sweep", *arguments]


def statuses(sweep: Path) -> dict[str, str]:
    trials = json.loads((sweep / "trials.json").read_text(encoding="utf-8"))
    return {trial["name"]: trial["status"] for trial in trials}


def run(sweep: Path, name: str) -> RunFolder:
    return RunFolder(str(sweep / "trials" / f"{sweep.name}.{name}"))


def wait_for(condition, process: "subprocess.Popen[str]") -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_sweep_queues_is_killed_and_interrupted_and_goes_on_without_repeating_what_is_finished(
    tmp_path: Path, small_synthetic: list[str]
) -> None:
    file = sweep_file(
        tmp_path,
        search="one-at-a-time",
        space={"loss.lambda_id_pix": [1.0, 3.0]},
        references={"baseline": {"method": "baseline"}},
    )
    sweep = tmp_path / "mine"
    names = ["lambda_id_pix-1.seed-0", "lambda_id_pix-3.seed-0", "baseline.seed-0"]
    first, second, _ = (run(sweep, name) for name in names)

    killed = start(command("--space", file, *small_synthetic, f"run.storage={tmp_path}", "run.name=mine"))
    wait_for(lambda: checkpoint_names(second), killed)
    family = descendants(killed.pid)
    killed.kill()
    killed.wait()
    wait_until_gone(family)
    assert first.exists("scores.json")
    assert statuses(sweep) == {names[0]: "finished", names[1]: "started"}, "one fits at a time, so the third waits"
    begun = [parse_lines((sweep / "trials" / f"mine.{name}" / "metrics.jsonl").read_bytes()) for name in names[:2]]

    interrupted = start(command("--resume", str(sweep)))
    wait_for(lambda: len(parse_lines(second.read_bytes("metrics.jsonl"))) > len(begun[1]), interrupted)
    interrupted.send_signal(signal.SIGINT)
    status, out, err = finish(interrupted)
    assert status == 130, out + err
    assert f"continue with: python -m tune.sweep --resume {sweep}" in err
    assert names[0] not in out

    status, out, err = finish(start(command("--resume", str(sweep))))
    assert status == 0, out + err
    assert re.search(r"2 workers a trial, room for \d+ workers: 1 at once, the others queue", out)
    assert statuses(sweep) == dict.fromkeys(names, "finished")
    assert parse_lines(first.read_bytes("metrics.jsonl")) == begun[0], "the finished trial was trained again"
    for name in names:
        records = read_metrics(run(sweep, name))
        assert [record["iteration"] for record in records if record["kind"] == "train"][-1] == 12
    resumed = parse_lines(second.read_bytes("metrics.jsonl"))[len(begun[1]) :]
    assert 2 not in [record["iteration"] for record in resumed], "it went on from a checkpoint"
    assert (sweep / "report" / "pictures" / "figure-4.png").exists()
    assert list((sweep / "ray-tune").glob("start-*/*/events.out.tfevents.*")), "TensorBoard files of Ray Tune"
    assert RunFolder(str(sweep)).exists("report/best.yaml")

    status, out, _ = finish(start(command("--resume", str(sweep))))
    assert status == 0
    assert "nothing is left to train" in out


def test_trials_that_lag_are_stopped_early_and_a_trial_that_fails_does_not_end_the_sweep(
    tmp_path: Path, small_synthetic: list[str]
) -> None:
    file = sweep_file(
        tmp_path,
        # The rate of 1e30 diverges at once. So short a training scores by chance: that each of the other five is
        # better than those before it, and none is stopped, is all but impossible; mAP has no ties.
        space={"optimizer.backbone_lr": [0.02, 1e30, 0.001, 0.01, 0.005, 0.03]},
        metric="all-single mAP",
        asha={"grace": 0.3, "reduction_factor": 4},
    )
    overrides = ("evaluation.every=2", "run.workers=1", f"run.storage={tmp_path}", "run.name=mine", *small_synthetic)
    status, out, err = finish(start(command("--space", file, *overrides)))
    assert status == 1, out + err
    found = statuses(tmp_path / "mine")
    assert found.pop("backbone_lr-1e30.seed-0") == "failed"
    assert "goes on from its newest checkpoint" in out
    assert "failed: backbone_lr-1e30.seed-0:" in err
    assert "is not finite" in err
    assert set(found.values()) == {"finished", "stopped"}
    stopped = next(name for name, state in found.items() if state == "stopped")
    iterations = [record["iteration"] for record in read_metrics(run(tmp_path / "mine", stopped))]
    assert 6 <= max(iterations) < 12
    assert (tmp_path / "mine" / "report" / "index.html").exists()


def test_a_sweep_larger_than_the_machine_can_ever_hold_is_refused(tmp_path: Path, small_synthetic: list[str]) -> None:
    file = sweep_file(tmp_path, space={"loss.lambda_id_pix": [1.0]})
    overrides = ("run.gpu='yes'", f"run.storage={tmp_path}", "run.name=mine", *small_synthetic)
    process = start(command("--space", file, *overrides))
    try:
        status, _, err = finish(process)
    finally:
        end(process)
    assert status == 1
    assert "do not fit: the cluster has" in err
    assert not (tmp_path / "mine" / "trials").exists()
