"""The method itself, told to stop and continued."""

import signal
import sys
from pathlib import Path

import pytest

from cluster.checkpoints import newest_checkpoint
from cluster.folder import RunFolder
from cluster.progress import METRICS, parse_lines
from tests.processes import finish, start, wait_for_checkpoint
from tests.training.test_main_job import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_training_that_is_told_to_stop_goes_on_where_it_was_and_keeps_the_best(
    tmp_path: Path, small_synthetic: list[str]
) -> None:
    settings = ["evaluation.every=6", "checkpoint.every=4", "checkpoint.keep=1", "checkpoint.best=all-single R1"]
    folder = RunFolder(str(tmp_path / "stopped"))
    process = start(command(small_synthetic, tmp_path, "stopped", "train.report_every=1", *settings))
    wait_for_checkpoint(folder, process)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 143, err
    assert "stopped by SIGTERM, with a checkpoint of iteration" in err
    assert f"--resume {folder.location}" in err
    reached = newest_checkpoint(folder)
    assert reached is not None
    assert int(reached.rpartition("_")[2]) > 4
    status, _, err = finish(start([sys.executable, "-m", "aligngan.train", "--resume", folder.location]))
    assert status == 0, err
    records = parse_lines(folder.read_bytes(METRICS))
    trained = [record["iteration"] for record in records if record["kind"] == "train"]
    assert trained == list(range(1, 13)), "no iteration is missing and none was done twice"
    assert [name for name in folder.list() if name.startswith("best_")] in (["best_000000006"], ["best_000000012"])
