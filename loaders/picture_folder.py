"""People's own pictures: rgb/<person>/* and ir/<person>/*, with persons drawn into a training and a test half."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loaders.dataset import Dataset, DatasetError, Modality, Picture

CAMERAS: dict[Modality, int] = {"rgb": 1, "ir": 2}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
TEST_PERSONS = "test_persons.txt"
"""Names of the folders of test persons, one on a line; where it is there nothing is drawn."""

_log = logging.getLogger(__name__)


def read(root: str, trial: int, test_share: float) -> Dataset:
    """Read the set in folder `root`; the folders' names tell persons apart and may be any text.

    Persons are numbered from 1 in the order of their names. The test persons are those of `test_persons.txt`, or else a
    share of the persons seen in both modalities, drawn by `trial`. Persons seen in one modality only cannot be
    searched for nor trained on: they are left out, with a warning that names them. Raises DatasetError.
    """
    folder = Path(root)
    seen: dict[Modality, set[str]] = {modality: set(_persons(folder, modality)) for modality in CAMERAS}
    names = sorted(seen["rgb"] & seen["ir"])
    if single := seen["rgb"] ^ seen["ir"]:
        _log.warning("%s: left out, seen in one modality only: %s", folder, _some(single))
    if len(names) < 2:
        raise DatasetError(
            f"{folder} has {len(names)} persons with a folder in rgb and one of the same name in ir; at least two are "
            "needed, one to train and one to test on"
        )
    tested = _listed(folder, names) if (folder / TEST_PERSONS).is_file() else _drawn(names, trial, test_share)
    numbers = {name: number for number, name in enumerate(names, 1)}
    train: list[Picture] = []
    test: list[Picture] = []
    for modality, camera in CAMERAS.items():
        for name in names:
            half = test if name in tested else train
            paths = _pictures(folder / modality / name)
            half += [Picture(path, numbers[name], camera, modality, place) for place, path in enumerate(paths, 1)]
    return Dataset(
        name="folder",
        root=str(folder),
        protocol="plain",
        train=tuple(train),
        test=tuple(test),
        trial=trial,
        permutations=None,
    )


def _persons(root: Path, modality: Modality) -> list[str]:
    folder = root / modality
    if not folder.is_dir():
        raise DatasetError(
            f"no folder {folder}: {root} must hold rgb/<person>/* and ir/<person>/*; set data.root to it"
        )
    return [entry.name for entry in os.scandir(folder) if entry.is_dir() and _pictures(Path(entry.path))]


def _pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.is_file())


def _listed(root: Path, names: list[str]) -> set[str]:
    path = root / TEST_PERSONS
    listed = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    if unknown := listed - set(names):
        raise DatasetError(f"{path}: {_some(unknown)} are not persons with pictures in both rgb and ir")
    if not listed or len(listed) == len(names):
        raise DatasetError(f"{path} names {len(listed)} of {len(names)} persons: some must be tested, some trained on")
    return listed


def _drawn(names: list[str], trial: int, share: float) -> set[str]:
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    order = np.random.Generator(np.random.Philox(key=trial)).permutation(len(names))
    return {names[place] for place in order[:count]}


def _some(names: Iterable[str], most: int = 10) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
