"""One command that starts a sweep or goes on with it, as a job that is tried again needs."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from aligngan.config import resolve
from tests.tune.fabricated import fabricate
from tune.resuming import begun
from tune.settings import parse_settings
from tune.sweep import main

TREE = {"space": {"loss.lambda_id_pix": [0.1, 1.0, 10.0]}, "seeds": [0]}


def command(folder: Path, *more: str, tree: Mapping[str, object] = TREE) -> list[str]:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(dict(tree)), encoding="utf-8")
    return ["--space", str(file), "--dry-run", f"run.storage={folder}/runs", "run.name=mine", *more]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The folder of a sweep of three trials: one finished, one failed, one not begun."""
    states = {"lambda_id_pix-1.seed-0": "failed", "lambda_id_pix-10.seed-0": "waiting"}
    fabricate(tmp_path / "runs" / "mine", TREE, lambda _: 10.0, states)
    return tmp_path


def test_the_same_command_starts_a_sweep_and_goes_on_with_it(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(sweep, "run.if_exists=resume")) == 0
    out = capsys.readouterr().out
    assert f"goes on with {sweep}/runs/mine: 1 of 3 trials are over" in out
    assert "lambda_id_pix-0.1.seed-0  finished" in out
    assert "2 trials left on 2 workers each" in out
    assert main([*command(sweep, "run.if_exists=resume"), "run.name=other"]) == 0
    out = capsys.readouterr().out
    assert "goes on" not in out
    assert "3 trials on 2 workers each" in out


def test_another_sweep_under_the_name_is_refused_with_what_differs(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {**TREE, "seeds": [0, 1]}
    assert main(command(sweep, "run.if_exists=resume", "optimizer.backbone_lr=0.5", tree=other)) == 2
    err = capsys.readouterr().err
    assert "holds another sweep" in err
    assert "seeds: found [0, 1], the sweep that was begun has [0]" in err
    assert "optimizer.backbone_lr: found 0.5" in err


def test_resources_and_limits_may_differ_from_the_start(sweep: Path) -> None:
    tree = {**TREE, "max_trials": 90, "retries": 3, "about": "once more", "concurrent": 1}
    overrides = (f"run.storage={sweep}/runs", "run.name=mine", "run.if_exists=resume", "run.workers=4")
    assert begun(parse_settings(tree, "test"), resolve(overrides=overrides)) is not None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "holds something already: go on with it (--resume"),
        (["run.if_exists=resume", "run.name=null"], "run.if_exists=resume: found run.name null"),
        (["run.if_exists=resume", "run.name=run"], "holds something that is not a sweep"),
    ],
)
def test_a_folder_that_cannot_be_gone_on_with_is_refused_before_anything_starts(
    sweep: Path, overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / "runs" / "run").mkdir()
    (sweep / "runs" / "run" / "config.yaml").touch()
    assert main(command(sweep, *overrides)) == 2
    assert message in capsys.readouterr().err


def test_a_resume_says_what_is_over_and_what_is_left(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--resume", str(sweep / "runs" / "mine"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "lambda_id_pix-1.seed-0  failed" in out
    assert "1 of 3 trials are over" in out
    # 900 iterations, at the 0.4 seconds each that the finished trial took.
    assert "at most about 0:06:00 at 0.4 s per iteration" in out
