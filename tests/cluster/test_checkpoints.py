"""A checkpoint is whole or it is not used."""

import json
import logging
from pathlib import Path

import pytest
import torch
from ray.train import CheckpointConfig
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import CheckpointManager
from ray.train.v2._internal.execution.storage import StorageContext

from cluster.checkpoints import (
    MANIFEST,
    SNAPSHOT,
    STATE,
    checkpoint_digest,
    checkpoint_name,
    load_checkpoint,
    newest_checkpoint,
    repair_index,
    verify_checkpoint,
    write_checkpoint,
)
from cluster.errors import DamagedCheckpoint
from cluster.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(str(tmp_path / "run"))
    for iteration in (2, 4, 6):
        save(folder, iteration)
    return folder


def save(folder: RunFolder, iteration: int, value: float = 1.0) -> str:
    source = Path(folder.path()).parent / "source"
    source.mkdir(exist_ok=True)
    torch.save({"iteration": iteration, "weights": {"layer": torch.full((3,), value)}}, source / STATE)
    write_checkpoint(folder, checkpoint_name(iteration), source, {"kind": "checkpoint", "iteration": iteration})
    return checkpoint_name(iteration)


def damage(folder: RunFolder, how: str) -> None:
    newest = Path(folder.path(checkpoint_name(6)))
    if how == "a bit flipped":
        content = bytearray((newest / STATE).read_bytes())
        content[len(content) // 2] ^= 1
        (newest / STATE).write_bytes(content)
    elif how == "cut off":
        (newest / STATE).write_bytes((newest / STATE).read_bytes()[:-10])
    elif how == "no state":
        (newest / STATE).unlink()
    elif how == "no manifest":
        (newest / MANIFEST).unlink()
    elif how == "half a manifest":
        (newest / MANIFEST).write_bytes((newest / MANIFEST).read_bytes()[:20])
    elif how == "manifest of another":
        (newest / MANIFEST).write_bytes(folder.read_bytes(f"{checkpoint_name(4)}/{MANIFEST}"))


DAMAGES = ["a bit flipped", "cut off", "no state", "no manifest", "half a manifest", "manifest of another"]


def rays_list(folder: RunFolder) -> CheckpointManager:
    return CheckpointManager(CheckpointConfig(), StorageContext(folder.storage, folder.name))


def test_the_newest_checkpoint_is_loaded_as_it_was_saved(folder: RunFolder) -> None:
    name = newest_checkpoint(folder)
    assert name == checkpoint_name(6) == "step_000000006"
    state = load_checkpoint(folder, name)
    assert state["iteration"] == 6
    torch.testing.assert_close(state["weights"]["layer"], torch.ones(3))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_skipped(
    folder: RunFolder, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder, how)
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(folder) == checkpoint_name(4)
    assert checkpoint_name(6) in caplog.text
    with pytest.raises(DamagedCheckpoint, match=checkpoint_name(6)):
        verify_checkpoint(folder, checkpoint_name(6))


def test_damage_since_the_check_is_seen_when_loading(folder: RunFolder) -> None:
    damage(folder, "a bit flipped")
    with pytest.raises(DamagedCheckpoint, match=STATE):
        load_checkpoint(folder, checkpoint_name(6))


def test_a_checkpoint_that_would_run_code_is_not_loaded(folder: RunFolder, tmp_path: Path) -> None:
    torch.save({"iteration": 8, "path": tmp_path}, tmp_path / STATE)
    write_checkpoint(folder, checkpoint_name(8), tmp_path, {"iteration": 8})
    with pytest.raises(Exception, match="weights_only"):
        load_checkpoint(folder, checkpoint_name(8))


def test_a_checkpoint_made_again_replaces_the_damaged_one(folder: RunFolder) -> None:
    damage(folder, "no manifest")
    before = checkpoint_digest(folder, checkpoint_name(4))
    name = save(folder, 6, value=2.0)
    assert newest_checkpoint(folder) == name
    assert checkpoint_digest(folder, name) != before


def test_a_folder_without_whole_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert newest_checkpoint(RunFolder(str(tmp_path / "nothing"))) is None


@pytest.mark.parametrize("left", ["", '{"ray_version": "2.60.0", "checkpoint_res', "missing folder", "none"])
def test_ray_starts_from_the_whole_checkpoints_whatever_its_list_says(folder: RunFolder, left: str) -> None:
    repair_index(folder)
    if left == "missing folder":
        folder.delete(checkpoint_name(6))
    elif left == "none":
        folder.delete(SNAPSHOT)
    else:
        folder.write_bytes(SNAPSHOT, left.encode())
    if left != "none":
        with pytest.raises(Exception, match=r"."):
            rays_list(folder)
    repair_index(folder)
    names = [Path(result.checkpoint.path).name for result in rays_list(folder).best_checkpoint_results]
    expected = [checkpoint_name(iteration) for iteration in (2, 4, 6)]
    assert names == (expected[:2] if left == "missing folder" else expected)
    latest = rays_list(folder).latest_checkpoint_result
    assert latest.metrics["iteration"] == (4 if left == "missing folder" else 6)


def test_ray_starts_afresh_where_no_checkpoint_is_whole(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    folder.write_bytes(SNAPSHOT, json.dumps({"ray_version": "0"}).encode())
    repair_index(folder)
    assert rays_list(folder).latest_checkpoint_result is None
