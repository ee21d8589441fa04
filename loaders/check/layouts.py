"""Which layout a folder has, and the data sets to be read from it."""

from __future__ import annotations

from pathlib import Path

from loaders import picture_folder, regdb, sysu_mm01
from loaders.dataset import Dataset, DatasetError

TRIALS = range(1, 11)
PUBLISHED: dict[str, dict[tuple[str, str], int]] = {
    "sysu-mm01": {
        ("train", "persons"): 395,
        ("train", "rgb"): 22_258,
        ("train", "ir"): 11_909,
        ("test", "persons"): 96,
        ("test", "ir"): 3_803,
    },
    "regdb": {(half, what): count for half in ("train", "test") for what, count in
              (("persons", 206), ("rgb", 2_060), ("ir", 2_060))},
}  # fmt: skip
"""Counts by data set, half and column, as far as they are published; of RegDB in each of the ten trials."""


def detect(root: str) -> str:
    """Return the layout's name as `data.name` has it; raises DatasetError saying what was looked for."""
    folder = Path(root)
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}")
    marks = {"sysu-mm01": ("cam1", "exp"), "regdb": ("idx",), "folder": ("rgb", "ir")}
    for name, entries in marks.items():
        if all((folder / entry).is_dir() for entry in entries):
            return name
    wanted = "; ".join(f"{name}: {' and '.join(entries)}" for name, entries in marks.items())
    raise DatasetError(f"{folder} has no layout that is known here. Looked for folders ({wanted})")


def read(root: str, name: str) -> list[Dataset]:
    """Read the set in every way that a training could: RegDB in its ten trials, the others once."""
    if name == "regdb":
        return [regdb.read(root, trial) for trial in TRIALS]
    if name == "folder":
        return [picture_folder.read(root, trial=1, test_share=0.5)]
    return [sysu_mm01.read(root)]


def listed_without_pictures(root: str, dataset: Dataset) -> list[str]:
    """Return a line for each person list of SYSU-MM01 that names persons without any picture in what was read."""
    folder = Path(root) / "exp"
    seen = {picture.person for picture in (*dataset.train, *dataset.test)}
    lines = []
    for name in ("train_id", "val_id", "test_id", "available_id"):
        if not any((folder / f"{name}{suffix}").is_file() for suffix in (".txt", ".mat")):
            lines.append(f"exp/{name} is not there")
            continue
        persons = sysu_mm01.read_persons(folder, name)
        if absent := [person for person in persons if person not in seen]:
            some = ", ".join(map(str, absent[:10])) + (" ..." if len(absent) > 10 else "")
            lines.append(f"exp/{name} lists {len(persons)} persons, {len(absent)} of them not used: {some}")
    return lines
