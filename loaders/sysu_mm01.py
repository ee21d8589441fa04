"""SYSU-MM01 as published: cam1..cam6/<person>/<image>.jpg and exp/ with the person lists and the gallery draw."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loaders import storage
from loaders.dataset import Dataset, DatasetError, Modality, Permutations, Picture

CAMERAS: dict[int, Modality] = {1: "rgb", 2: "rgb", 3: "ir", 4: "rgb", 5: "rgb", 6: "ir"}
TRIALS = 10

_log = logging.getLogger(__name__)
_PICTURE = re.compile(r"cam\d/(\d{4})/(\d{4})\.jpg", re.IGNORECASE)


def read(root: str, name: str = "sysu-mm01") -> Dataset:
    """Read the set in folder `root`; training persons are train + val (395 of the published set, which tests 96).

    Persons of a list without any picture are passed over. A training person seen in one modality only cannot be paired
    and is left out of training, with a warning that names them. Raises DatasetError for what is missing or not whole.
    """
    folder = storage.tidy(root)
    if not storage.is_folder(folder):
        raise DatasetError(
            f"no data set folder {folder}: set data.root to the folder that holds cam1 to cam6 and exp of SYSU-MM01"
        )
    lists = storage.join(folder, "exp")
    train_persons = {*read_persons(lists, "train_id"), *read_persons(lists, "val_id")}
    test_persons = {*read_persons(lists, "test_id")}
    if both := train_persons & test_persons:
        raise DatasetError(
            f"persons {_some(both)} of {lists} are in a training list and in test_id: copy the published lists"
        )
    pictures = _pictures(folder, train_persons | test_persons)
    train = _paired([picture for picture in pictures if picture.person in train_persons], folder)
    test = tuple(picture for picture in pictures if picture.person in test_persons)
    if not test:
        raise DatasetError(
            f"no person of {storage.join(lists, 'test_id')} has a picture in cam1 to cam6: unpack the set again"
        )
    permutations = read_permutations(storage.join(lists, "rand_perm_cam.mat"))
    _check_gallery(test, test_persons, permutations, folder)
    return Dataset(
        name=name, root=folder, protocol="sysu-mm01", train=train, test=test, trial=None, permutations=permutations
    )


def read_persons(folder: str | Path, name: str) -> tuple[int, ...]:
    """Persons of the list `name` (such as `train_id`) in ascending order, from its .txt or else its .mat file."""
    text, matrix = (storage.join(str(folder), name + suffix) for suffix in (".txt", ".mat"))
    if (content := _content(text)) is not None:
        words = content.decode("utf-8", "replace").replace(",", " ").split()
        if wrong := [word for word in words if not word.isdecimal()]:
            raise DatasetError(f"{text}: '{wrong[0]}' is no person number; expected one line such as 1,2,4,5")
        persons = {int(word) for word in words}
    elif (content := _content(matrix)) is not None:
        persons = {int(person) for person in np.asarray(_load_matrix(content, matrix, "id")).ravel()}
    else:
        raise DatasetError(
            f"neither {text} nor {name}.mat is there: copy the exp folder of SYSU-MM01 into the data set's folder"
        )
    if not persons:
        raise DatasetError(f"the list {name} in {folder} names no person: copy the published file again")
    return tuple(sorted(persons))


def read_permutations(path: str) -> Permutations:
    """Read rand_perm_cam.mat: `[camera - 1][person - 1]` is an int64 array [10, n] of image numbers from 1.

    Persons that a camera never saw have [10, 0]; all six lists are filled up with those to the same length.
    """
    if (content := _content(path)) is None:
        raise DatasetError(f"no {path}: copy rand_perm_cam.mat from the exp folder of SYSU-MM01 to that place")
    cameras = np.asarray(_load_matrix(content, path, "rand_perm_cam")).ravel()
    if len(cameras) != len(CAMERAS):
        raise DatasetError(f"{path} has {len(cameras)} cameras, SYSU-MM01 has {len(CAMERAS)}: copy the file again")
    persons = max(camera.size for camera in cameras)
    absent = np.empty((TRIALS, 0), np.int64)
    rows: list[tuple[np.ndarray, ...]] = []
    for camera in cameras:
        cells = [np.asarray(cell, np.int64).reshape(TRIALS, -1) for cell in camera.ravel()]
        rows.append((*cells, *([absent] * (persons - len(cells)))))
    return tuple(rows)


def _content(path: str) -> bytes | None:
    """The bytes of a small file, or None where there is none."""
    try:
        return storage.read_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def _load_matrix(content: bytes, path: str, key: str) -> np.ndarray:
    from scipy.io import loadmat

    try:
        return loadmat(io.BytesIO(content))[key]
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError) as error:
        raise DatasetError(f"{path} cannot be read as a MATLAB file with the variable `{key}` ({error})") from error


def _pictures(root: str, persons: set[int]) -> list[Picture]:
    """Pictures of the persons, sorted by camera, person and number."""
    pictures: list[Picture] = []
    empty: list[str] = []
    for camera, modality in CAMERAS.items():
        files = storage.list_files(root, f"cam{camera}")
        if not files:
            raise DatasetError(
                f"no pictures in {storage.join(root, f'cam{camera}')}: {root} must hold cam1 to cam6 as published; "
                "unpack the set again"
            )
        for name, entry in files.items():
            match = _PICTURE.fullmatch(name)
            if match is None or int(match[1]) not in persons:
                continue
            path = storage.join(root, name)
            if entry.size == 0:
                empty.append(path)
            pictures.append(Picture(path, int(match[1]), camera, modality, int(match[2]), entry.size, entry.changed))
    if empty:
        raise DatasetError(f"{len(empty)} picture files are empty, the first is {empty[0]}: unpack the set again")
    return pictures


def _paired(pictures: list[Picture], root: str) -> tuple[Picture, ...]:
    """Training pictures of the persons that have RGB and IR pictures both."""
    if not pictures:
        raise DatasetError(f"no training person has a picture in {root}/cam1 to cam6: unpack the set again")
    seen = {modality: {p.person for p in pictures if p.modality == modality} for modality in ("rgb", "ir")}
    both = seen["rgb"] & seen["ir"]
    if not both:
        raise DatasetError(
            f"no training person of {root} has pictures in an RGB camera (1, 2, 4, 5) and in an IR camera (3, 6): "
            "unpack all six cameras"
        )
    if single := (seen["rgb"] | seen["ir"]) - both:
        _log.warning("%s: left out of training, seen in one modality only: persons %s", root, _some(single))
    return tuple(picture for picture in pictures if picture.person in both)


def _check_gallery(test: tuple[Picture, ...], persons: set[int], permutations: Permutations, root: str) -> None:
    """Every picture that the gallery draw can ask for must be there, or scores would be of another gallery."""
    numbers: dict[tuple[int, int], set[int]] = {}
    for picture in test:
        numbers.setdefault((picture.camera, picture.person), set()).add(picture.number)
    for camera, modality in CAMERAS.items():
        for person in sorted(persons):
            drawn = permutations[camera - 1][person - 1] if person <= len(permutations[camera - 1]) else np.empty(0)
            have = numbers.get((camera, person), set())
            if modality == "rgb" and (missing := set(np.unique(drawn).tolist()) - have):
                raise DatasetError(
                    f"{root}/cam{camera}/{person:04d} lacks pictures {_some(missing)} that exp/rand_perm_cam.mat draws "
                    "into the gallery: unpack the set again"
                )


def _some(numbers: Iterable[int], most: int = 10) -> str:
    ordered = sorted(numbers)
    return ", ".join(map(str, ordered[:most])) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
