"""The end of a run: its scores and pictures under their final names, and what is printed of them."""

import json
from typing import Any

from aligngan.tables import scores_text, search_name
from cluster.checkpoints import checkpoint_digest, newest_checkpoint
from cluster.folder import RunFolder
from cluster.patience import READ_SECONDS, patiently

SCORES = "scores.json"
PICTURES = ("ranking.png", "translation.png")


def evaluation_file(iteration: int, name: str) -> str:
    """Return where an evaluation's file is in the run folder, such as evaluations/000000350-scores.json."""
    return f"evaluations/{iteration:09d}-{name}"


def finish(folder: RunFolder, iterations: int) -> dict[str, Any]:
    """Write `scores.json` and the last evaluation's pictures to the run folder; returns the scores.

    The scores name the checkpoint that they were computed from, with its digest, and the untrained network's Rank-1
    where it was evaluated.
    """
    return patiently(lambda: _finish(folder, iterations), READ_SECONDS, f"finishing {folder.location}")


def print_summary(scores: dict[str, Any], folder: RunFolder) -> None:
    """Print the table of scores, how far they are from chance and from the untrained network, and where things are."""
    print(scores_text(scores))
    for search in scores["searches"]:
        untrained = search["untrained_R1"]
        before = "" if untrained is None else f"; untrained network {untrained:.1f} %"
        rank1, chance = search["mean"]["R1"], search["chance_R1"]
        print(f"{search_name(search)}: Rank-1 {rank1:.1f} %; chance {chance:.1f} %{before}")
    pictures = ", ".join(name for name in PICTURES if folder.exists(name))
    print(f"run folder: {folder.location} ({SCORES}, {pictures})")


def _finish(folder: RunFolder, iterations: int) -> dict[str, Any]:
    scores = _evaluation(folder, iterations)
    assert scores is not None, "a finished training has evaluated its last iteration"
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None, "a finished training has a checkpoint of its last iteration"
    scores |= {"checkpoint": checkpoint, "checkpoint_digest": checkpoint_digest(folder, checkpoint)}
    untrained = _evaluation(folder, 0)
    for number, search in enumerate(scores["searches"]):
        search["untrained_R1"] = None if untrained is None else untrained["searches"][number]["mean"]["R1"]
    for picture in PICTURES:
        last = evaluation_file(iterations, picture)
        if folder.exists(last):
            folder.write_bytes(picture, folder.read_bytes(last))
    folder.write_bytes(SCORES, json.dumps(scores, indent=1).encode())
    return scores


def _evaluation(folder: RunFolder, iteration: int) -> dict[str, Any] | None:
    name = evaluation_file(iteration, SCORES)
    return json.loads(folder.read_bytes(name)) if folder.exists(name) else None
