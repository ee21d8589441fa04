"""Sweep folders with made-up scores, as trials leave them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aligngan.config import dump, resolve
from cluster.folder import RunFolder
from tune.checks import checked_points
from tune.folder import SweepFolder
from tune.points import Point
from tune.settings import parse_settings

Score = Callable[[Point], float]


def fabricate(
    folder: Path, tree: dict[str, Any], rank1: Score, unfinished: dict[str, str] | None = None
) -> SweepFolder:
    """Make the folder of a sweep whose trials scored `rank1` and half of it in mAP; `unfinished` by name."""
    settings, base = parse_settings(tree, "test"), resolve()
    sweep = SweepFolder(RunFolder(str(folder)))
    sweep.write(settings, base)
    for point in checked_points(settings, base):
        status = (unfinished or {}).get(point.name, "finished")
        if status == "waiting":
            continue
        run, score = sweep.run(point.name), rank1(point)
        run.write_bytes("config.yaml", dump(sweep.config(base, point.name, point.values)).encode())
        halves = (225, 450) if status == "finished" else (225,)
        records = [
            record
            for iteration in halves
            for record in (
                {"kind": "train", "iteration": iteration, "iterations": 450, "seconds": 90.0},
                {"kind": "evaluation", "iteration": iteration, **_scores(score * iteration / 450)},
            )
        ]
        run.write_bytes("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
        if status == "finished":
            search = {
                "mode": "all",
                "shots": "single",
                "chance_R1": 0.3,
                "mean": {"R1": score, "R10": 2 * score, "mAP": score / 2},
            }
            run.write_json("scores.json", {"searches": [search]})
        more: dict[str, dict[str, Any]] = {
            "stopped": {"iteration": 225},
            "failed": {"message": "the loss is not finite"},
        }
        sweep.note(point, status=status, **more.get(status, {}))
    return sweep


def _scores(rank1: float) -> dict[str, float]:
    return {"all-single R1": rank1, "all-single mAP": rank1 / 2}
