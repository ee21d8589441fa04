"""Which pictures stand in SYSU-MM01's gallery: the published permutations and the other draw in common use."""

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

GalleryDraw = Literal["official", "random-seed"]
TRIALS = 10

Cells = list[list[NDArray[np.int64]]]


def read_permutations(permutations: Sequence | NDArray) -> Cells:
    """Return permutations as `[camera - 1][person - 1]`, each int64 [trials, n] of image numbers from 1.

    Args:
        permutations: that form, or `scipy.io.loadmat("rand_perm_cam.mat")["rand_perm_cam"]` as it is: a 6 x 1 array of
            objects, each a persons x 1 array of objects, each [trials, n].

    Raises:
        ValueError: when it is neither.
    """
    cameras = _cells(permutations)
    if len(cameras) != 6:
        raise ValueError(
            f"permutations must be of 6 cameras, found {len(cameras)}: pass rand_perm_cam of the .mat file"
        )
    return [
        [_matrix(cell, camera, person) for person, cell in enumerate(_cells(persons), 1)]
        for camera, persons in enumerate(cameras, 1)
    ]


def official_galleries(
    rows: dict[tuple[int, int], dict[int, int]], cameras: Sequence[int], cells: Cells, shots: int
) -> list[NDArray[np.int64]]:
    """Return the gallery of every trial: of each camera and person the first `shots` of the trial's permutation.

    Args:
        rows: of each (camera, person) the row of each image number.
        cameras: the gallery's, in order.
        cells: see `read_permutations`.
        shots: images of each person and camera.

    Returns:
        of each trial the rows [G]; camera by camera, persons ascending.

    Raises:
        ValueError: for a person or number that the permutations do not hold, and for a number that they draw but no
            row has.
    """
    persons = sorted({person for _, person in rows})
    galleries: list[list[int]] = [[] for _ in range(TRIALS)]
    for camera in cameras:
        for person in persons:
            numbers = rows.get((camera, person), {})
            cell = cells[camera - 1][person - 1] if person <= len(cells[camera - 1]) else None
            if cell is None or not cell.size:
                if numbers:
                    raise ValueError(f"person {person} has rows in camera {camera}, but no permutations there")
                continue
            if numbers and max(numbers) > cell.shape[1]:
                raise ValueError(
                    f"image number {max(numbers)} of person {person} in camera {camera} is beyond the permutation's "
                    f"{cell.shape[1]} images: the features and the permutations are of different data"
                )
            for gallery, drawn in zip(galleries, cell[:, :shots], strict=True):
                missing = [int(number) for number in drawn if number not in numbers]
                if missing:
                    raise ValueError(
                        f"the gallery needs images {missing} of person {person} in camera {camera}, which have no row: "
                        "evaluate every image of the test persons"
                    )
                gallery.extend(numbers[number] for number in drawn)
    return [np.array(gallery, dtype=np.int64) for gallery in galleries]


def random_seed_galleries(
    rows: dict[tuple[int, int], dict[int, int]], cameras: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Return the gallery of every trial t from 0: `random.seed(t)`, then one image per person and camera.

    The draw that much code uses in place of the published one: persons ascending, of each the cameras in order, and
    `random.choice` of the sorted images. Arguments and result as in `official_galleries`.
    """
    persons = sorted({person for _, person in rows})
    galleries = []
    for trial in range(TRIALS):
        generator = random.Random(trial)  # noqa: S311 - repeats a published draw
        seen = [rows[camera, person] for person in persons for camera in cameras if (camera, person) in rows]
        galleries.append(np.array([numbers[generator.choice(sorted(numbers))] for numbers in seen], dtype=np.int64))
    return galleries


def _cells(values: Sequence | NDArray) -> list:
    """Return the cells of a list, or of an array of objects n x 1 as scipy reads a MATLAB cell array."""
    if isinstance(values, np.ndarray):
        if values.dtype != object:
            raise ValueError(
                f"permutations must be nested by camera and person, found an array of {values.dtype} with shape "
                f"{list(values.shape)} in place of cells"
            )
        return list(values.ravel())
    return list(values)


def _matrix(cell: Sequence | NDArray, camera: int, person: int) -> NDArray[np.int64]:
    matrix = np.asarray(cell)
    if not matrix.size:
        return np.empty((TRIALS, 0), dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != TRIALS or matrix.dtype.kind not in "iuf":
        raise ValueError(
            f"permutations of person {person} in camera {camera} must be numbers [{TRIALS}, images], "
            f"found {matrix.dtype} with shape {list(matrix.shape)}"
        )
    return matrix.astype(np.int64)
