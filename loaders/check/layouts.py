"""Which layout a folder has, the data sets to be read from it, and how large it is as published."""

from __future__ import annotations

from loaders import picture_folder, regdb, storage, sysu_mm01
from loaders.dataset import Dataset, DatasetError, Picture
from loaders.synthetic.write import ABOUT

TRIALS = range(1, 11)
_MARKS = {"sysu-mm01": ("cam1", "exp"), "regdb": ("idx",), "folder": ("rgb", "ir")}

# Of SYSU-MM01 by camera: what exp/rand_perm_cam.mat counts for the persons of the lists.
_SYSU_MM01 = {
    "train": {
        "1": (194, 4721),
        "2": (195, 5753),
        "3": (392, 7909),
        "4": (382, 5811),
        "5": (390, 5973),
        "6": (200, 4000),
        "rgb": (395, 22_258),
        "ir": (395, 11_909),
        "all": (395, 34_167),
    },
    "test": {
        "1": (56, 1374),
        "2": (56, 1565),
        "3": (93, 1883),
        "4": (94, 1918),
        "5": (95, 1918),
        "6": (96, 1920),
        "rgb": (96, 6775),
        "ir": (96, 3803),
        "all": (96, 10_578),
    },
}
_REGDB = {"1": (206, 2060), "2": (206, 2060), "rgb": (206, 2060), "ir": (206, 2060), "all": (206, 4120)}
PUBLISHED: dict[str, dict[str, dict[str, tuple[int, int]]]] = {
    "sysu-mm01": _SYSU_MM01,
    "regdb": {"train": _REGDB, "test": _REGDB},
}
"""Persons and pictures as published, by data set, half and camera or modality; of RegDB in each of the ten trials."""


def detect(root: str) -> str:
    """Return the layout's name as `data.name` has it; raises DatasetError saying what was looked for."""
    folder = storage.tidy(root)
    try:
        if not storage.is_folder(folder):
            raise DatasetError(f"no folder {folder}")
        for name, entries in _MARKS.items():
            if all(storage.is_folder(storage.join(folder, entry)) for entry in entries):
                about = storage.join(folder, ABOUT)
                return "synthetic" if name == "sysu-mm01" and storage.exists(about) else name
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read ({error})") from error
    wanted = "; ".join(f"{name}: {' and '.join(entries)}" for name, entries in _MARKS.items())
    raise DatasetError(f"{folder} has no layout that is known here. Looked for folders ({wanted})")


def read(root: str, name: str) -> list[Dataset]:
    """Read the set in every way that a training could: RegDB in its ten trials, the others once."""
    try:
        if name == "regdb":
            return [regdb.read(root, trial) for trial in TRIALS]
        if name == "folder":
            return [picture_folder.read(root, trial=1, test_share=0.5)]
        return [sysu_mm01.read(root, name)]
    except OSError as error:
        raise DatasetError(f"{root} cannot be read ({error})") from error


def every_picture(root: str) -> list[Picture]:
    """Return all picture files of a folder that cannot be read as a data set; who they show is not known."""
    folder = storage.tidy(root)
    return [
        Picture(storage.join(folder, name), 0, 0, "rgb", 0, entry.size, entry.changed)
        for name, entry in storage.list_files(folder).items()
        if name.lower().endswith(picture_folder.SUFFIXES)
    ]


def listed_without_pictures(root: str, dataset: Dataset) -> list[str]:
    """Return a line for each person list of SYSU-MM01 that names persons without any picture in what was read."""
    folder = storage.join(storage.tidy(root), "exp")
    present = storage.list_files(storage.tidy(root), "exp")
    seen = {picture.person for picture in (*dataset.train, *dataset.test)}
    lines = []
    for name in ("train_id", "val_id", "test_id", "available_id"):
        if not any(f"exp/{name}{suffix}" in present for suffix in (".txt", ".mat")):
            lines.append(f"exp/{name} is not there")
            continue
        persons = sysu_mm01.read_persons(folder, name)
        if absent := [person for person in persons if person not in seen]:
            some = ", ".join(map(str, absent[:10])) + (" ..." if len(absent) > 10 else "")
            lines.append(f"exp/{name} lists {len(persons)} persons, {len(absent)} of them not used: {some}")
    return lines
