"""SYSU-MM01's official evaluation: infrared probes, an RGB gallery drawn anew in each of ten trials."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from aligngan.metrics import chance_rank1, score_columns, to_numpy
from aligngan.protocols.galleries import GalleryDraw, official_galleries, random_seed_galleries, read_permutations
from aligngan.protocols.result import ProtocolScores, ReRank, over_trials
from aligngan.similarity import checked_features, cosine_distances

Mode = Literal["all", "indoor"]
Shots = Literal["single", "multi"]

PROBE_CAMERAS = (3, 6)
GALLERY_CAMERAS: dict[str, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SHOTS = {"single": 1, "multi": 10}
# Cameras 2 (RGB) and 3 (IR) hang in the same place.
PLACE_OF_CAMERA = {1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 6}


def evaluate_sysu_mm01(
    features: ArrayLike | Tensor,
    ids: ArrayLike | Tensor,
    cameras: ArrayLike | Tensor,
    numbers: ArrayLike | Tensor,
    permutations: Sequence | NDArray | None,
    mode: Mode = "all",
    shots: Shots = "single",
    gallery_draw: GalleryDraw = "official",
) -> ProtocolScores:
    """Score the features of SYSU-MM01's test images; ten trials, cosine similarity, CMC by distinct person.

    Probes are all rows of cameras 3 and 6, in both modes. The gallery holds, of each person and RGB camera of the
    mode, the first 1 (`single`) or 10 (`multi`) images of the trial's permutation. Probes of camera 3 drop every row
    of camera 2.

    Args:
        features: [N, D], one row per test image; numpy or torch, on any device.
        ids, cameras, numbers: integers [N]: person, camera 1 to 6, image number from 1 within person and camera.
        permutations: as read from rand_perm_cam.mat, or `[camera-1][person-1]` -> [10, n]; `random-seed` needs none.
        mode: gallery of cameras 1, 2, 4, 5 (`all`) or 1, 2 (`indoor`).
        shots: gallery images of each person and camera, 1 or 10.
        gallery_draw: `official` permutations, or `random-seed`: `random.seed(trial)` for trials 0 to 9, single only.

    Raises:
        ValueError: for arguments that do not fit each other or the permutations; the message names the row or image.
    """
    return evaluate_searches(features, ids, cameras, numbers, permutations, [(mode, shots)], gallery_draw)[mode, shots]


def evaluate_searches(
    features: ArrayLike | Tensor,
    ids: ArrayLike | Tensor,
    cameras: ArrayLike | Tensor,
    numbers: ArrayLike | Tensor,
    permutations: Sequence | NDArray | None,
    searches: Sequence[tuple[Mode, Shots]],
    gallery_draw: GalleryDraw = "official",
    re_rank: ReRank | None = None,
) -> dict[tuple[Mode, Shots], ProtocolScores]:
    """Score several (mode, shots) from one similarity matrix; arguments and errors as in `evaluate_sysu_mm01`.

    With `re_rank` each trial has a matrix of its own, of all probes and its gallery; rows of a probe's place are
    neighbours there too and are dropped only then.
    """
    matrix = checked_features(features)
    persons, camera_of, number_of = (
        _whole_numbers(values, name, len(matrix))
        for values, name in ((ids, "ids"), (cameras, "cameras"), (numbers, "numbers"))
    )
    _refuse_unknown(persons, camera_of, number_of)
    rows = _rows_by_number(persons, camera_of, number_of)
    galleries = {
        search: _galleries(rows, permutations, *search, persons.max(initial=0), gallery_draw) for search in searches
    }
    places = sysu_places(camera_of)
    probes = np.flatnonzero(np.isin(camera_of, PROBE_CAMERAS))
    if not len(probes):
        raise ValueError("there are no probes: no row is of camera 3 or 6")
    candidates = np.unique(np.concatenate([gallery for trials in galleries.values() for gallery in trials]))
    if re_rank is None:
        distances = cosine_distances(matrix[probes], matrix[candidates])
    results = {}
    for search, trials in galleries.items():
        scores = []
        for gallery in trials:
            columns = np.searchsorted(candidates, gallery)
            if re_rank is not None:
                distances, columns = re_rank(matrix[probes], matrix[gallery]), np.arange(len(gallery))
            labels = persons[probes], persons[gallery]
            scores.append(score_columns(distances, columns, *labels, (places[probes], places[gallery])))
        # Trials draw other images of the same persons and cameras, so chance is the same in all.
        first = trials[0]
        chance = chance_rank1(persons[probes], persons[first], places[probes], places[first])
        results[search] = over_trials(scores, len(probes), len(first), chance)
    return results


def sysu_places(cameras: ArrayLike | Tensor) -> NDArray[np.int64]:
    """Return the place of each camera 1 to 6; cameras 2 and 3 share one."""
    lookup = np.array([0, *(PLACE_OF_CAMERA[camera] for camera in range(1, 7))])
    return lookup[to_numpy(cameras)]


def _galleries(
    rows: dict[tuple[int, int], dict[int, int]],
    permutations: Sequence | NDArray | None,
    mode: Mode,
    shots: Shots,
    last_person: int,
    gallery_draw: GalleryDraw,
) -> list[NDArray[np.int64]]:
    if mode not in GALLERY_CAMERAS or shots not in SHOTS:
        raise ValueError(f"found mode={mode!r} and shots={shots!r}, accepted: all or indoor, and single or multi")
    if gallery_draw == "random-seed":
        if shots != "single":
            raise ValueError("gallery_draw random-seed draws one image per person and camera: use shots='single'")
        galleries = random_seed_galleries(rows, GALLERY_CAMERAS[mode])
    elif gallery_draw == "official":
        if permutations is None:
            raise ValueError("the official gallery draw needs the permutations of rand_perm_cam.mat")
        cells = read_permutations(permutations)
        if last_person > max(map(len, cells)):
            raise ValueError(f"ids hold person {last_person}, but the permutations end at {max(map(len, cells))}")
        galleries = official_galleries(rows, GALLERY_CAMERAS[mode], cells, SHOTS[shots])
    else:
        raise ValueError(f"found gallery_draw={gallery_draw!r}, accepted: official, random-seed")
    if not len(galleries[0]):
        raise ValueError(f"the gallery is empty: no row is of cameras {GALLERY_CAMERAS[mode]}")
    return galleries


def _whole_numbers(values: ArrayLike | Tensor, name: str, length: int) -> NDArray[np.int64]:
    array = to_numpy(values)
    if array.shape != (length,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be {length} integers, one per row of features; found {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.int64)


def _refuse_unknown(persons: NDArray, cameras: NDArray, numbers: NDArray) -> None:
    for name, values, low, high in (
        ("ids", persons, 1, None),
        ("cameras", cameras, 1, 6),
        ("numbers", numbers, 1, None),
    ):
        wrong = np.flatnonzero((values < low) | (values > (high or values.max(initial=0))))
        if len(wrong):
            accepted = f"{low} to {high}" if high else f"{low} and above"
            raise ValueError(f"{name} must be {accepted}; row {wrong[0]} has {values[wrong[0]]}")


def _rows_by_number(persons: NDArray, cameras: NDArray, numbers: NDArray) -> dict[tuple[int, int], dict[int, int]]:
    rows: dict[tuple[int, int], dict[int, int]] = {}
    for row, key in enumerate(zip(cameras.tolist(), persons.tolist(), numbers.tolist(), strict=True)):
        camera, person, number = key
        images = rows.setdefault((camera, person), {})
        if number in images:
            raise ValueError(
                f"rows {images[number]} and {row} are both image {number} of person {person} in camera {camera}"
            )
        images[number] = row
    return rows
