"""The checkpoint with the best evaluation, kept beside the newest ones."""

import re
from collections.abc import Mapping
from typing import Any

import ray.train
from ray.train.collective import broadcast_from_rank_zero

from cluster.checkpoints import MANIFEST, checkpoint_name, read_manifest, verify_checkpoint, wait_until_whole
from cluster.errors import ClusterError, DamagedCheckpoint
from cluster.folder import RunFolder
from cluster.patience import READ_SECONDS, patiently


class NoSuchScore(ClusterError):
    """The evaluation does not report the score that the best checkpoint is to be chosen by."""


class Best:
    """The highest score so far of a run, also of a run that was resumed.

    Args:
        folder: the run's folder.
        score: name of the number in the evaluation's records; None keeps no best checkpoint.
    """

    def __init__(self, folder: RunFolder, score: str | None) -> None:
        self._score = score
        self._highest: float | None = None
        if score is not None and ray.train.get_context().get_world_rank() == 0:
            self._highest = patiently(lambda: _score(folder, score), READ_SECONDS, f"reading {folder.location}")

    def improves(self, record: Mapping[str, Any]) -> dict[str, float] | None:
        """Return the score by name where an evaluation is better than all before; every worker must call it.

        Raises:
            NoSuchScore: where the record lacks the score.
        """
        if self._score is None:
            return None
        if self._score not in record:
            numbers = [name for name, value in record.items() if isinstance(value, float)]
            raise NoSuchScore(
                f"checkpoint.best: the evaluation has no {self._score!r}, accepted: {', '.join(numbers) or 'nothing'}"
            )
        # Rank 0 decides, so that no difference in rounding divides the workers.
        mine = record[self._score]
        value, better = broadcast_from_rank_zero((mine, self._highest is None or mine > self._highest))
        if not better:
            return None
        self._highest = value
        return {self._score: value}


def best_name(iteration: int) -> str:
    """Return the folder name of the best checkpoint, such as best_000000500."""
    return checkpoint_name(iteration).replace("step_", "best_")


def best_checkpoint(folder: RunFolder) -> str | None:
    """Return the name of the best checkpoint that is whole, or None."""
    for name in reversed(_kept(folder)):
        try:
            verify_checkpoint(folder, name)
        except DamagedCheckpoint:
            continue
        return name
    return None


def keep_best(folder: RunFolder, iteration: int, score: Mapping[str, float], patience: float = 600) -> None:
    """Copy the checkpoint of an iteration to be the best one, then delete the one that was; rank 0 calls it.

    Args:
        folder: the run's folder.
        iteration: that of the checkpoint, which may still be on its way to the storage.
        score: what it is the best by, as `Best.improves` gives it.
        patience: seconds that it may take to arrive, and that storage which does not answer is tried again.
    """
    wait_until_whole(folder, checkpoint_name(iteration), patience)
    patiently(lambda: _copy(folder, iteration, score), patience, f"keeping {best_name(iteration)}")


def _copy(folder: RunFolder, iteration: int, score: Mapping[str, float]) -> None:
    source, best = checkpoint_name(iteration), best_name(iteration)
    manifest = read_manifest(folder, source)
    manifest["metrics"] |= score
    folder.delete(best)
    for file in manifest["files"]:
        folder.copy(f"{source}/{file}", f"{best}/{file}")
    folder.write_json(f"{best}/{MANIFEST}", manifest)
    for name in _kept(folder):
        if name != best:
            folder.delete(name)


def _score(folder: RunFolder, score: str) -> float | None:
    name = best_checkpoint(folder)
    return None if name is None else read_manifest(folder, name)["metrics"].get(score)


def _kept(folder: RunFolder) -> list[str]:
    return sorted(name for name in folder.list() if re.fullmatch(r"best_\d{9,}", name))
