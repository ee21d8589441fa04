"""Workers that leave on notice, die or hang, and what the run says about it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.folder import RunFolder
from cluster.progress import Record, describe, parse_lines, read_metrics
from cluster.trainer import fit
from tests.cluster import toy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(400)]


def train(folder: RunFolder, max_failures: int = 1, **settings: Any) -> list[Record]:
    run = RunSettings(workers=2, gpu="no", max_failures=max_failures)
    config = toy.DEFAULTS | settings | {"folder": folder.location}
    fit(toy.loop, config, run=run, checkpoint=CheckpointSettings(keep=2), folder=folder)
    return parse_lines(folder.read_bytes("metrics.jsonl"))


def final_weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    name = newest_checkpoint(folder)
    assert name is not None
    return load_checkpoint(folder, name)["model"]


def of_kind(records: list[Record], kind: str) -> list[Record]:
    return [record for record in records if record["kind"] == kind]


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = RunFolder(str(tmp_path_factory.mktemp("undisturbed") / "run"))
    train(folder, iterations=10, every=10)
    return final_weights(folder)


def test_a_worker_that_gets_sigterm_loses_no_iteration_and_costs_no_retry(
    undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    records = train(folder, max_failures=0, iterations=10, every=10, sleep=0.3, terminate_once_at=3)
    assert folder.exists("terminate")
    (recovery,) = of_kind(records, "recovery")
    assert recovery["lost_iterations"] == 0
    assert 0 < recovery["recovery_seconds"] < 60
    assert 3 <= recovery["iteration"] < 10
    iterations = [record["iteration"] for record in of_kind(records, "train")]
    assert sorted(set(iterations)) == sorted(iterations), "no iteration was done twice"
    assert not of_kind(records, "failure")
    assert len(of_kind(records, "preemption")) == 1
    torch.testing.assert_close(final_weights(folder), undisturbed, rtol=0, atol=0)


def test_a_killed_worker_loses_what_came_after_the_checkpoint_and_the_run_says_so(
    undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    records = train(folder, iterations=10, every=5, sleep=0.4, die_once_at=8)
    (recovery,) = of_kind(records, "recovery")
    assert recovery["iteration"] == 5
    assert recovery["lost_iterations"] in (2, 3)
    assert f"lost_iterations {recovery['lost_iterations']}" in describe(recovery)
    assert of_kind(read_metrics(folder), "recovery")
    torch.testing.assert_close(final_weights(folder), undisturbed, rtol=0, atol=0)


@pytest.mark.parametrize("where", ["hang", "hang_aside"])
def test_a_hanging_worker_is_found_with_the_stacks_of_all_and_replaced(
    undisturbed: dict[str, torch.Tensor], tmp_path: Path, where: str
) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    records = train(folder, iterations=10, every=2, hang_timeout=4.0, **{f"{where}_once_at": 5})
    (failure,) = of_kind(records, "failure")
    assert "no iteration was finished in time" in failure["message"]
    assert "worker 1 in" in failure["message"]
    assert "worker 0 in" in failure["message"]
    stacks = [folder.read_bytes(f"hangs/{name}").decode() for name in folder.list("hangs")]
    assert len(stacks) == 2
    assert sum("in hang" in text for text in stacks) == 1, "the culprit's own function is in its stack"
    torch.testing.assert_close(final_weights(folder), undisturbed, rtol=0, atol=0)
