"""People's own pictures: rgb/<person>/* and ir/<person>/*, with persons drawn into a training and a test half."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from loaders import storage
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
    folder = storage.tidy(root)
    found = {modality: _pictures(folder, modality) for modality in CAMERAS}
    names = sorted(found["rgb"].keys() & found["ir"].keys())
    if single := found["rgb"].keys() ^ found["ir"].keys():
        _log.warning("%s: left out, seen in one modality only: %s", folder, _some(single))
    if len(names) < 2:
        raise DatasetError(
            f"{folder} has {len(names)} persons with a folder in rgb and one of the same name in ir; at least two are "
            "needed, one to train and one to test on"
        )
    tested = _listed(folder, names)
    if tested is None:
        tested = _drawn(names, trial, test_share)
    numbers = {name: number for number, name in enumerate(names, 1)}
    train: list[Picture] = []
    test: list[Picture] = []
    for modality, camera in CAMERAS.items():
        for name in names:
            half = test if name in tested else train
            half += [
                Picture(storage.join(folder, file), numbers[name], camera, modality, place, entry.size, entry.changed)
                for place, (file, entry) in enumerate(found[modality][name], 1)
            ]
    return Dataset(
        name="folder",
        root=folder,
        protocol="plain",
        train=tuple(train),
        test=tuple(test),
        trial=trial,
        permutations=None,
    )


def _pictures(root: str, modality: Modality) -> dict[str, list[tuple[str, storage.Entry]]]:
    """The picture files of each person's folder, by its name."""
    found: dict[str, list[tuple[str, storage.Entry]]] = {}
    for name, entry in storage.list_files(root, modality).items():
        parts = name.split("/")
        if len(parts) == 3 and name.lower().endswith(SUFFIXES):
            found.setdefault(parts[1], []).append((name, entry))
    if not found:
        raise DatasetError(
            f"no pictures in {storage.join(root, modality)}: {root} must hold rgb/<person>/* and ir/<person>/*; "
            "set data.root to it"
        )
    return found


def _listed(root: str, names: list[str]) -> set[str] | None:
    """The test persons that the list names, or None where there is no list."""
    path = storage.join(root, TEST_PERSONS)
    try:
        lines = storage.read_file(path).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    listed = {line.strip() for line in lines if line.strip()}
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
