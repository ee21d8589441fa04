"""RegDB as published: picture folders and idx/ with ten splits as lists of `relative/path label`."""

from __future__ import annotations

from collections import Counter

from loaders import storage
from loaders.dataset import Dataset, DatasetError, Modality, Picture

SPECTRA: dict[str, tuple[int, Modality]] = {"visible": (1, "rgb"), "thermal": (2, "ir")}
"""Spectrum in the list's name, our camera number and modality."""


def read(root: str, trial: int) -> Dataset:
    """Read split `trial` (1 to 10) of the set in folder `root`: 206 training and 206 test persons as published.

    Camera 1 is visible, camera 2 thermal; pictures are numbered from 1 in the order of the list. Labels of the test
    lists are the persons of the test half only: the same number in the training lists is somebody else.
    Raises DatasetError for a missing list or picture and for a training person without both spectra.
    """
    folder = storage.tidy(root)
    if not storage.is_folder(folder):
        raise DatasetError(
            f"no data set folder {folder}: set data.root to the folder that holds idx, Visible and Thermal of RegDB"
        )
    files = storage.list_files(folder)
    train, test = (
        tuple(picture for spectrum in SPECTRA for picture in _read_list(folder, files, half, spectrum, trial))
        for half in ("train", "test")
    )
    seen = {modality: {p.person for p in train if p.modality == modality} for modality in ("rgb", "ir")}
    if single := seen["rgb"] ^ seen["ir"]:
        raise DatasetError(
            f"{folder}/idx: the train_visible_{trial} and train_thermal_{trial} lists differ in their persons "
            f"(first {min(single)}): copy both lists of the same split again"
        )
    return Dataset(name="regdb", root=folder, protocol="regdb", train=train, test=test, trial=trial, permutations=None)


def _read_list(root: str, files: dict[str, storage.Entry], half: str, spectrum: str, trial: int) -> list[Picture]:
    listed = f"idx/{half}_{spectrum}_{trial}.txt"
    path = storage.join(root, listed)
    if listed not in files:
        raise DatasetError(f"no {path}: copy the idx folder with the lists of the ten splits of RegDB into {root}")
    camera, modality = SPECTRA[spectrum]
    pictures: list[Picture] = []
    count: Counter[int] = Counter()
    missing: list[str] = []
    for line_number, line in enumerate(storage.read_file(path).decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal():
            raise DatasetError(f"{path}, line {line_number}: found '{line}', expected `relative/path label`")
        person = int(label)
        count[person] += 1
        name = name.strip().removeprefix("./")
        found = files.get(name)
        if found is None:
            missing.append(storage.join(root, name))
        else:
            place = storage.join(root, name)
            pictures.append(Picture(place, person, camera, modality, count[person], found.size, found.changed))
    if not count:
        raise DatasetError(f"{path} lists no picture: copy the idx folder again")
    if missing:
        raise DatasetError(
            f"{len(missing)} of the {count.total()} pictures of {path} are missing, the first is {missing[0]}: "
            "unpack RegDB there again"
        )
    return pictures
