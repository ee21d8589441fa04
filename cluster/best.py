"""The checkpoint with the best evaluation, kept beside the newest ones."""

import json
import re
from collections.abc import Mapping
from typing import Any

import ray.train
from ray.train.collective import broadcast_from_rank_zero

from cluster.checkpoints import MANIFEST, checkpoint_name, verify_checkpoint
from cluster.errors import ClusterError, DamagedCheckpoint
from cluster.folder import RunFolder


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
            name = best_checkpoint(folder)
            kept = {} if name is None else json.loads(folder.read_bytes(f"{name}/{MANIFEST}"))["metrics"]
            self._highest = kept.get(score)

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


def keep_best(folder: RunFolder, iteration: int) -> None:
    """Copy the whole checkpoint of an iteration to be the best one, then delete the one that was."""
    source, best = checkpoint_name(iteration), best_name(iteration)
    folder.delete(best)
    for file in sorted(folder.list(source), key=lambda file: file == MANIFEST):
        folder.copy(f"{source}/{file}", f"{best}/{file}")
    for name in _kept(folder):
        if name != best:
            folder.delete(name)


def _kept(folder: RunFolder) -> list[str]:
    return sorted(name for name in folder.list() if re.fullmatch(r"best_\d{9,}", name))
