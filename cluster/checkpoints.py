"""Checkpoints that prove themselves: a manifest written last holds the digest of what was written before it."""

import contextlib
import hashlib
import io
import json
import logging
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint
from ray.train.collective import broadcast_from_rank_zero

from cluster.errors import DamagedCheckpoint, StorageFull
from cluster.folder import RunFolder
from cluster.patience import READ_SECONDS, is_full, patiently
from cluster.scratch import scratch_folder

STATE = "state.pt"
MANIFEST = "manifest.json"
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray's own list of checkpoints, which Ray overwrites in place and so may leave cut off."""

logger = logging.getLogger(__name__)


def checkpoint_name(iteration: int) -> str:
    """Return the folder name of the checkpoint of an iteration, such as step_000000500."""
    return f"step_{iteration:09d}"


def report_checkpoint(
    state: Mapping[str, Any],
    iteration: int,
    *,
    patience: float = 600,
    wait: bool = False,
) -> None:
    """Save a state as the checkpoint of an iteration; every worker must call it, rank 0 writes.

    The state is on the local disk when this returns; digest and upload go on in the background. A failed upload
    ends the training.

    Args:
        state: nested dictionaries of tensors and plain values, loadable with `weights_only`.
        iteration: iterations done.
        patience: seconds that a storage which cannot be reached is tried again.
        wait: return on rank 0 only when it and those before it are whole in the run folder.

    Raises:
        StorageFull: where the local disk has no room for the state.
    """
    record = {"kind": "checkpoint", "iteration": iteration}
    context = ray.train.get_context()
    local, upload = None, None
    if context.get_world_rank() == 0:
        directory = _save_locally(state, iteration)
        storage = context.get_storage()
        folder = RunFolder.on(storage.storage_filesystem, storage.experiment_fs_path)
        local, upload = Checkpoint.from_directory(directory), partial(_upload, folder, record, patience)
    ray.train.report(
        record,
        checkpoint=local,
        checkpoint_dir_name=checkpoint_name(iteration),
        checkpoint_upload_mode=getattr(ray.train.CheckpointUploadMode, "SYNC" if wait else "ASYNC"),
        delete_local_checkpoint_after_upload=True,
        checkpoint_upload_fn=upload,
    )


def write_checkpoint(folder: RunFolder, name: str, source: Path, record: Mapping[str, Any]) -> None:
    """Copy the state file of a local folder into the run folder as a checkpoint, its manifest last."""
    began = time.monotonic()
    folder.delete(name)
    sha256, size = RunFolder(str(source)).digest(STATE)
    folder.upload(source / STATE, f"{name}/{STATE}")
    folder.write_json(
        f"{name}/{MANIFEST}",
        {
            "iteration": record["iteration"],
            "files": {STATE: {"sha256": sha256, "size": size}},
            "metrics": dict(record),
            "write_seconds": round(time.monotonic() - began, 3),
        },
    )


def wait_until_whole(folder: RunFolder, name: str, seconds: float) -> None:
    """Wait until a checkpoint that is being uploaded is whole; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not patiently(lambda: folder.exists(f"{name}/{MANIFEST}"), seconds, f"looking for {name}"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is not whole after {seconds:g} s in {folder.location}")
        time.sleep(0.1)


def checkpoint_names(folder: RunFolder) -> list[str]:
    """Return the names of all checkpoints, whole or not, the oldest first."""
    return sorted((name for name in folder.list() if re.fullmatch(r"step_\d{9,}", name)), key=_iteration)


def verify_checkpoint(folder: RunFolder, name: str) -> dict[str, Any]:
    """Return a checkpoint's manifest after comparing every file with it; raises DamagedCheckpoint."""
    manifest = read_manifest(folder, name)
    for file, expected in manifest["files"].items():
        if not folder.exists(f"{name}/{file}"):
            raise DamagedCheckpoint(f"{folder.path(name)}: {file} is missing")
        if folder.digest(f"{name}/{file}") != (expected["sha256"], expected["size"]):
            raise DamagedCheckpoint(f"{folder.path(name)}: {file} is not what was written")
    return manifest


def newest_checkpoint(folder: RunFolder) -> str | None:
    """Return the name of the newest whole checkpoint, or None; damaged ones are skipped with a warning."""
    for name in reversed(checkpoint_names(folder)):
        try:
            verify_checkpoint(folder, name)
        except DamagedCheckpoint as damage:
            logger.warning("skipped a damaged checkpoint: %s", damage)
        else:
            return name
    return None


def load_checkpoint(folder: RunFolder, name: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the state of a checkpoint with its tensors on a device; raises DamagedCheckpoint."""
    expected = read_manifest(folder, name)["files"][STATE]["sha256"]
    content = folder.read_bytes(f"{name}/{STATE}")
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedCheckpoint(f"{folder.path(name)}: {STATE} is not what was written")
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)


def load_newest_checkpoint(folder: RunFolder, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """Return the state of the newest whole checkpoint, or None; every worker must call it and gets the same one.

    Rank 0 decides, so that workers cannot disagree about a checkpoint that is damaged or still being uploaded.
    """
    name = None
    if ray.train.get_context().get_world_rank() == 0:
        name = patiently(lambda: newest_checkpoint(folder), READ_SECONDS, f"reading {folder.location}")
    name = broadcast_from_rank_zero(name)
    if name is None:
        return None
    return patiently(lambda: load_checkpoint(folder, name, device), READ_SECONDS, f"reading {name}")


def checkpoint_digest(folder: RunFolder, name: str) -> str:
    """Return the sha256 of a checkpoint's state as its manifest gives it: the checkpoint's identity in reports."""
    return read_manifest(folder, name)["files"][STATE]["sha256"]


def repair_index(folder: RunFolder) -> None:
    """Make Ray's list of checkpoints agree with the whole checkpoints that are there.

    Ray overwrites the list in place and refuses to start from one that is cut off or names what is gone; after a
    kill it may also lack the last checkpoint. To be called while nothing trains in the folder.
    """
    whole = []
    for name in checkpoint_names(folder):
        try:
            metrics = verify_checkpoint(folder, name)["metrics"]
        except DamagedCheckpoint as damage:
            logger.warning("skipped a damaged checkpoint: %s", damage)
        else:
            whole.append({"version": 0, "checkpoint_dir_name": name, "metrics": metrics})
    if not whole:
        folder.delete(SNAPSHOT)
        return
    snapshot = {
        "ray_version": ray.__version__,
        "checkpoint_results": whole,
        "checkpoint_report_indices": list(range(len(whole))),
        "latest_checkpoint_result": whole[-1],
        "pending_training_results": [],
        "pending_validation_specs": [],
        "current_report_index": len(whole),
        "validated_checkpoint_dir_names": [],
        "timed_out_validation_checkpoint_dir_names": [],
        "failed_validation_checkpoint_dir_names": [],
    }
    folder.write_json(SNAPSHOT, snapshot)


def _save_locally(state: Mapping[str, Any], iteration: int) -> str:
    directory = tempfile.mkdtemp(prefix=f"{checkpoint_name(iteration)}-", dir=scratch_folder())
    try:
        with Path(directory, STATE).open("wb") as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        # torch.save turns the error of the disk into one of its own.
        if any(isinstance(cause, OSError) and is_full(cause) for cause in (error, error.__context__)):
            raise StorageFull(
                f"no room in {tempfile.gettempdir()} of {socket.gethostname()} for the checkpoint of iteration "
                f"{iteration}: free some, or set TMPDIR to a larger disk"
            ) from None
        raise
    return directory


def _upload(
    folder: RunFolder,
    record: Mapping[str, Any],
    patience: float,
    checkpoint: Checkpoint,
    name: str,
) -> Checkpoint:
    source = Path(checkpoint.path)
    try:
        patiently(
            lambda: write_checkpoint(folder, name, source, record), patience, f"writing {name} to {folder.location}"
        )
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFull(_full(folder, name, error)) from None
    return Checkpoint(folder.path(name), filesystem=folder.filesystem)


def _full(folder: RunFolder, name: str, error: OSError) -> str:
    with contextlib.suppress(OSError):
        if MANIFEST not in folder.list(name):
            folder.delete(name)
    whole = newest_checkpoint(folder)
    kept = f"{whole} is whole and can be resumed from" if whole else "there is no checkpoint before it"
    return (
        f"{folder.location} has no room for {name} ({error}): {kept}. Free some space, or lower checkpoint.keep; "
        "one checkpoint more than that has to fit"
    )


def _iteration(name: str) -> int:
    return int(name.rpartition("_")[2])


def read_manifest(folder: RunFolder, name: str) -> dict[str, Any]:
    """Return what a checkpoint says of itself; raises DamagedCheckpoint where it was never finished."""
    try:
        manifest = json.loads(folder.read_bytes(f"{name}/{MANIFEST}"))
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{folder.path(name)}: {MANIFEST} is missing, so it was never finished") from None
    except ValueError:
        raise DamagedCheckpoint(f"{folder.path(name)}: {MANIFEST} is cut off") from None
    if not isinstance(manifest, dict) or manifest.get("iteration") != _iteration(name) or "files" not in manifest:
        raise DamagedCheckpoint(f"{folder.path(name)}: {MANIFEST} belongs to another checkpoint")
    return manifest
