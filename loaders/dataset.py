"""Which pictures a data set has: what every reader returns and every batch plan is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np


Modality = Literal["rgb", "ir"]
Permutations = Sequence[Sequence["np.ndarray"]]
"""`permutations[camera - 1][person - 1]`: int array [10, n] of image numbers from 1; row t is trial t."""


class DatasetError(ValueError):
    """A data set that cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on disk: of whom, by which camera."""

    path: str
    person: int
    camera: int
    modality: Modality
    number: int
    """Image number from 1 within person and camera, as in the file name."""
    size: int = 0
    """Bytes of the file, 0 where the reader did not ask."""
    changed: int = 0
    """When the file was last changed, in nanoseconds; with the size it tells whether a cache is of this file."""


@dataclass(frozen=True)
class Dataset:
    """The pictures of a data set and what its evaluation protocol needs."""

    name: str
    root: str
    protocol: Literal["sysu-mm01", "regdb", "plain"]
    train: tuple[Picture, ...]
    test: tuple[Picture, ...]
    trial: int | None
    """RegDB and folders: the split that was read; None elsewhere."""
    permutations: Permutations | None
    """SYSU-MM01: the published draw of the gallery; None elsewhere."""

    @cached_property
    def train_persons(self) -> tuple[int, ...]:
        """Persons of the training pictures in ascending order; a person's class label is the index in it."""
        return tuple(sorted({picture.person for picture in self.train}))
