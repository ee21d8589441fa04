"""What is refused before anything starts, and what the dry run tells."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from aligngan.config import ConfigError, resolve
from cluster.folder import RunFolder
from cluster.lock import locked
from tune.checks import checked_points
from tune.plan import cost
from tune.points import listed_points
from tune.settings import parse_settings, read_space

PIX = "loss.lambda_id_pix"
SPACE = {PIX: [0.1, 1.0]}
DRAWN = {PIX: {"low": 0.1, "high": 1.0}}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tune.sweep", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"space": {"loss.lamda_id_pix": [1.0]}}, "did you mean loss.lambda_id_pix?"),
        ({"space": {PIX: [-1.0]}}, "loss.lambda_id_pix: found -1.0, accepted: a number, at least 0"),
        ({"space": {}}, "space: found nothing"),
        ({"space": {PIX: []}}, "found no values"),
        ({"space": DRAWN}, "or a range with points"),
        ({"space": {PIX: {"low": 2.0, "high": 1.0}}}, "low (2) must be below high (1)"),
        ({"space": {PIX: {"low": 0.0, "high": 1.0}}}, "a log scale needs low above 0"),
        ({"space": {"train.seed": [1, 2]}}, "accepted: seeds: [0, 1, 2]"),
        ({"space": {"run.workers": [1, 2]}}, "set it once with run.workers=VALUE"),
        ({"space": SPACE, "seeds": []}, "seeds: found none"),
        ({"space": SPACE, "metric": "all-single R2"}, "never reported, accepted: all-single R1, all-single mAP"),
        ({"space": SPACE, "metrics": "all-single R1"}, "metrics: no such key"),
        ({"space": DRAWN, "search": "random"}, "trials: found null"),
        ({"space": SPACE, "trials": 3}, "its points are listed"),
        ({"space": SPACE, "search": "optuna", "trials": 3}, "at least one range"),
        ({"space": DRAWN, "search": "optuna", "trials": 3, "seeds": [0, 1]}, "one seed and no references"),
        ({"space": DRAWN, "search": "optuna", "trials": 41}, "41 trials are more than the 40 of max_trials"),
        (
            {"space": SPACE, "seeds": list(range(30))},
            "60 trials are more than the 40 of max_trials: confirm with --budget",
        ),
        ({"space": SPACE, "asha": {}}, "no score is reported between the first rung"),
        ({"space": {"train.iterations": [400, 450]}, "asha": {}}, "train.iterations, evaluation.every and stages must"),
        ({"space": {"data.persons_per_batch": [7]}}, "data.persons_per_batch: found 7 persons for run.workers=2"),
        ({"space": SPACE, "references": {"x": {"method": "baselin"}}}, "method: found 'baselin'"),
        ({"space": {"method": ["aligngan"], "backbone.weights": ["a/b", "a-b"]}}, "share the run folder"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        checked_points(parse_settings(tree, "--space mine.yaml"), resolve())
    assert message in str(refusal.value)


def test_an_elastic_number_of_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="accepted in a sweep: one number"):
        checked_points(parse_settings({"space": SPACE}, "test"), resolve(overrides=("run.workers=1:2",)))


def test_a_mistake_that_all_points_share_is_told_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        checked_points(parse_settings({"space": {"loss.lamda": [1, 2, 3, 4]}}, "test"), resolve())
    assert len(str(refusal.value).splitlines()) == 1


def test_a_grid_too_large_to_list_is_refused_at_once_with_its_count_and_cost() -> None:
    axis = {"low": 0.1, "high": 1.0, "points": 1000}
    tree = {"search": "grid", "space": {PIX: axis, "loss.lambda_gan_feat": axis, "loss.lambda_cyc": axis}}
    with pytest.raises(ConfigError) as refusal:
        checked_points(parse_settings(tree, "test"), resolve())
    assert "1000000000 trials are more than the 40" in str(refusal.value)
    assert "450,000,000,000 iterations on 2 workers each" in str(refusal.value)


def test_the_cost_counts_trials_iterations_and_pictures_of_each_trial() -> None:
    settings = parse_settings({"space": {"train.iterations": [300, 400]}, "seeds": [0, 1]}, "test")
    points = listed_points(settings, resolve())
    # Per iteration 2 modalities x 8 persons x 4 pictures.
    assert cost(settings, resolve(), points).startswith("4 trials on 2 workers each: 1,400 iterations, 89,600 pictures")
    assert "about 0:11:40 at 0.5 s per iteration" in cost(settings, resolve(), points, 0.5)


def test_a_dry_run_lists_the_trials_counts_them_and_leaves_nothing(tmp_path: Path) -> None:
    started = time.monotonic()
    done = command("--space", "figure4", "--dry-run", f"run.storage={tmp_path}/runs")
    assert time.monotonic() - started < 10
    assert done.returncode == 0, done.stderr
    assert "30  baseline.seed-2" in done.stdout
    assert "30 trials on 2 workers each: 13,500 iterations" in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_time_is_estimated_from_the_speed_of_an_earlier_run(tmp_path: Path) -> None:
    records = [{"kind": "train", "iteration": iteration, "seconds": 5.0} for iteration in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    done = command("--space", "grid2d", "--dry-run", "--like", str(tmp_path))
    assert "about 1:37:30 at 0.5 s per iteration" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "figure5"], "there are asha, demo, figure4, grid2d, optuna"),
        (["--space", "none.yaml"], "--space none.yaml: No such file"),
        (["loss.lambda_id=1"], "did you mean loss.lambda_id_pix?"),
        (["--seeds", "a,b"], "accepted: integers with commas"),
        (["--resume", "/nowhere"], "this is not the folder of a sweep"),
        (["--resume", "/nowhere", "--seeds", "1"], "leave out --seeds"),
    ],
)
def test_a_refusal_exits_with_2_and_starts_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = command(*arguments, f"run.storage={tmp_path}/runs")
    assert done.returncode == 2
    assert "refused before anything started" in done.stderr
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["tune.sweep", "tune.report"])
def test_help_imports_neither_ray_nor_torch_nor_matplotlib(module: str) -> None:
    program = (
        f"import sys; from {module} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'ray', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_a_budget_that_is_confirmed_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"space": SPACE, "seeds": list(range(30))}), encoding="utf-8")
    assert command("--space", str(file), "--dry-run").returncode == 2
    assert command("--space", str(file), "--dry-run", "--budget", "60").returncode == 0
    assert read_space(str(file), {"max_trials": 60}).max_trials == 60


@pytest.mark.parametrize("arguments", [["run.storage=/proc/runs"], ["--resume", "unknown://bucket/runs/sweep"]])
def test_a_place_for_sweeps_that_cannot_be_reached_is_named_without_a_traceback(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "cannot be reached: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_that_another_command_runs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    tree = yaml.safe_dump(
        {"sweep": read_space("demo").model_dump(mode="json"), "config": resolve("demo").model_dump(mode="json")}
    )
    (tmp_path / "mine" / "sweep.yaml").write_text(tree, encoding="utf-8")
    with locked(RunFolder(str(tmp_path / "mine"))):
        done = command("--resume", str(tmp_path / "mine"))
    assert done.returncode == 2
    assert "mine is trained by another command" in done.stderr
    assert (tmp_path / "mine" / "sweep.yaml").read_text(encoding="utf-8") == tree
