"""`python -m aligngan.train` as a person types it, without starting a training."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from aligngan.config import resolve
from cluster.folder import RunFolder
from cluster.lock import locked


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aligngan.train", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_dry_run_prints_the_configuration_within_three_seconds() -> None:
    started = time.monotonic()
    done = command("--dry-run", "loss.lambda_id_pix=0.5", "run.workers=4")
    assert time.monotonic() - started < 3
    assert done.returncode == 0, done.stderr
    expected = resolve("demo", overrides=["loss.lambda_id_pix=0.5", "run.workers=4"])
    assert yaml.safe_load(done.stdout) == expected.model_dump(mode="json")


@pytest.mark.parametrize("argument", ["--dry-run", "--help", "--keys"])
def test_neither_ray_nor_torch_is_imported_before_a_training_starts(argument: str) -> None:
    program = (
        "import sys; from aligngan.train import main\n"
        f"try: main(['{argument}'])\n"
        "except SystemExit: pass\n"
        "loaded = {'ray', 'torch', 'torch.distributed'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_what_only_workers_need_is_not_imported_where_a_training_is_started() -> None:
    program = (
        "import sys; import aligngan.training.launch\n"
        "loaded = {'torchvision', 'torch._dynamo'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_help_shows_how_to_train_resume_and_submit() -> None:
    text = command("--help").stdout
    for example in ("--preset paper data.root=", "--resume runs/NAME", "ray job submit -- python -m aligngan.train"):
        assert example in text


def test_every_key_is_listed_with_what_it_accepts() -> None:
    text = command("--keys").stdout
    assert "loss.lambda_id_pix = 1.0\n    a number" in text
    assert "data.backend = auto\n    one of auto, threads, dali, dali-cpu" in text


def test_a_refusal_exits_with_2_and_names_the_key() -> None:
    done = command("loss.lamda_cyc=1")
    assert done.returncode == 2
    assert "did you mean loss.lambda_cyc?" in done.stderr


def test_a_run_that_another_command_trains_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    before = "method: aligngan\n"
    (tmp_path / "mine" / "config.yaml").write_text(before, encoding="utf-8")
    with locked(RunFolder(str(tmp_path / "mine"))):
        done = command(f"run.storage={tmp_path}", "run.name=mine", "run.if_exists=resume")
    assert done.returncode == 1
    assert "mine is trained by another command" in done.stderr
    assert (tmp_path / "mine" / "config.yaml").read_text(encoding="utf-8") == before


def test_resuming_what_is_no_run_is_refused(tmp_path: Path) -> None:
    done = command("--resume", str(tmp_path))
    assert done.returncode == 2
    assert "this is not the folder of a run" in done.stderr


@pytest.mark.parametrize("arguments", [["run.storage=/proc/runs"], ["--resume", "unknown://bucket/runs/run"]])
def test_a_place_for_runs_that_cannot_be_reached_is_named_without_a_traceback(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode in (1, 2)
    assert "cannot be reached: " in done.stderr
    assert "Traceback" not in done.stderr
