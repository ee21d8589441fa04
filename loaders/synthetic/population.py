"""Who is in which half and in front of which camera, and the gallery draw of the ten trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loaders.synthetic.streams import GALLERY, PRESENCE, SPLIT, stream

TRIALS = 10
_EVERYWHERE = (1, 2, 3, 4, 5, 6)
_SIGHTINGS: tuple[tuple[int, ...], ...] = (
    _EVERYWHERE,
    (1, 2, 3),
    (4, 5, 6),
    (1, 2, 3, 6),
    (1, 4, 5, 6),
    (2, 3, 4, 5),
    (1, 2, 4, 5, 6),
    (1, 3, 5),
)
_ODDS = (0.46, 0.08, 0.12, 0.08, 0.08, 0.06, 0.08, 0.04)


@dataclass(frozen=True)
class Population:
    """The persons of a data set, numbered from 1."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    cameras: dict[int, tuple[int, ...]]
    """Cameras that saw each person: at least one RGB and one IR camera."""


def populate(persons: int, seed: int) -> Population:
    """Split the persons at random: half train, a tenth validate, the rest test."""
    order = [int(person) + 1 for person in stream(seed, SPLIT).permutation(persons)]
    train, val = persons // 2, max(1, round(persons / 10))
    test = tuple(sorted(order[train + val :]))
    cameras = {
        person: _SIGHTINGS[int(stream(seed, PRESENCE, person).choice(len(_SIGHTINGS), p=_ODDS))] for person in order
    }
    # However few test persons there are, every search mode of the protocol has something to find.
    for person in test[:2]:
        cameras[person] = _EVERYWHERE
    return Population(tuple(sorted(order[:train])), tuple(sorted(order[train : train + val])), test, cameras)


def gallery_draw(population: Population, pictures: int, seed: int) -> np.ndarray:
    """Cells as in rand_perm_cam.mat: object [6, 1] of object [persons, 1] of uint8 [10, pictures], or [10, 0]."""
    cells = np.empty((6, 1), object)
    for camera in _EVERYWHERE:
        cells[camera - 1, 0] = column = np.empty((len(population.cameras), 1), object)
        for person, seen in population.cameras.items():
            rng = stream(seed, GALLERY, person, camera)
            count = pictures if camera in seen else 0
            rows = [rng.permutation(count) + 1 for _ in range(TRIALS)]
            column[person - 1, 0] = np.array(rows, np.uint8).reshape(TRIALS, count)
    return cells
