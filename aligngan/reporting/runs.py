"""Run folders as a report reads them: configuration, scores, metrics and the newest whole checkpoint."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from aligngan.config import Config, ConfigError, validate
from aligngan.scores import SCORE_NAMES
from aligngan.training.resume import CONFIG_FILE
from cluster.checkpoints import checkpoint_digest, newest_checkpoint
from cluster.folder import RunFolder
from cluster.progress import METRICS, read_metrics

SCORES_FILE = "scores.json"


class NotARun(ValueError):
    """Folders that cannot be reported on; the message has one line for each."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a run folder holds; `scores`, `checkpoint` and `digest` are None where it has none, `records` empty."""

    name: str
    folder: RunFolder
    config: Config
    records: list[dict[str, Any]]
    scores: dict[str, Any] | None
    checkpoint: str | None
    digest: str | None
    lacking: tuple[str, ...]
    """What the run lacks and what is left out for it, one sentence each."""

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.config.train.seed


def read_runs(locations: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None) -> list[Run]:
    """Read run folders, local or URIs, in the order given; the runs' names are their folders', made distinct.

    Raises:
        NotARun: for folders that hold no run or a damaged one, and for one named twice; all of them at once.
    """
    folders = [RunFolder(location) for location in locations]
    mistakes = [
        f"{location} is named {count} times: name each run once"
        for location, count in Counter(folder.location for folder in folders).items()
        if count > 1
    ]
    names = _names(folders)
    runs = []
    for done, folder in enumerate(folders):
        progress(done, len(folders))
        try:
            runs.append(_read(folder, names[done]))
        except NotARun as error:
            mistakes.append(str(error))
    if mistakes:
        raise NotARun("\n".join(mistakes))
    progress(len(folders), len(folders))
    return runs


def _read(folder: RunFolder, name: str) -> Run:
    config = _config(folder)
    scores, records = _scores(folder), _records(folder)
    checkpoint = newest_checkpoint(folder)
    lacking = []
    if scores is None:
        lacking.append(
            f"{name} has no {SCORES_FILE}, so the tables are without it: finish it with "
            f"python -m aligngan.train --resume {folder.location}"
        )
    if not records:
        lacking.append(f"{name} has no {METRICS}, so the training curves are without it")
    if checkpoint is None:
        lacking.append(
            f"{name} has no whole checkpoint, so translations, features and ranked lists are without it: "
            f"resume it with python -m aligngan.train --resume {folder.location}"
        )
    digest = None if checkpoint is None else checkpoint_digest(folder, checkpoint)
    return Run(name, folder, config, records, scores, checkpoint, digest, tuple(lacking))


def _config(folder: RunFolder) -> Config:
    try:
        content = folder.read_bytes(CONFIG_FILE)
    except OSError:
        raise NotARun(f"{folder.location}: {_why_not(folder)}") from None
    try:
        tree = yaml.safe_load(content)
        if not isinstance(tree, dict):
            raise ConfigError("expected `key: value` lines")
        return validate(tree)
    except (yaml.YAMLError, ConfigError) as error:
        raise NotARun(f"{folder.location}: {CONFIG_FILE} is not a run's configuration: {error}") from None


def _why_not(folder: RunFolder) -> str:
    if not folder.exists():
        return "no such folder"
    inside = [name for name in folder.list() if folder.exists(f"{name}/{CONFIG_FILE}")]
    if inside:
        more = " ..." if len(inside) > 3 else ""
        return f"not a run but a folder of runs: name them ({', '.join(inside[:3])}{more})"
    return f"not a run: it has no {CONFIG_FILE}"


def _scores(folder: RunFolder) -> dict[str, Any] | None:
    if not folder.exists(SCORES_FILE):
        return None
    try:
        scores = json.loads(folder.read_bytes(SCORES_FILE))
        for search in scores["searches"]:
            _ = [search["mean"][name] for name in SCORE_NAMES], search["chance_R1"], search["gallery_draw"]
        _ = [scores[key] for key in ("data_set", "protocol", "method", "feature", "re_ranking", "iccs", "iteration")]
    except (ValueError, KeyError, TypeError) as error:
        raise NotARun(
            f"{folder.location}: {SCORES_FILE} is not what an evaluation writes ({type(error).__name__}: {error}); "
            "delete it and evaluate the run again"
        ) from None
    return scores


def _records(folder: RunFolder) -> list[dict[str, Any]]:
    if not folder.exists(METRICS):
        return []
    try:
        return read_metrics(folder)
    except ValueError as error:
        raise NotARun(f"{folder.location}: {METRICS} has a line that is not JSON: {error}") from None


def _names(folders: Sequence[RunFolder]) -> list[str]:
    """The folders' own names, with as many of the folders above as it takes to tell them apart."""
    parts = [folder.location.partition("?")[0].rstrip("/").split("/") for folder in folders]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [folder.location for folder in folders]
