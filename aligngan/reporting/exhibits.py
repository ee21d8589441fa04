"""What the pictures of a data set are made of: chosen pictures, and each method's features of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aligngan.model import Model, load_model
from aligngan.protocols.galleries import official_galleries, random_seed_galleries, read_permutations
from aligngan.protocols.sysu_mm01 import GALLERY_CAMERAS
from aligngan.reporting.groups import Variant
from aligngan.reporting.runs import Run
from aligngan.retrieval_config import EvaluationSettings
from loaders.dataset import Dataset, Modality, Picture

Item = TypeVar("Item")

SHEET_PERSONS = 8
PROJECTED_PERSONS = 8
PROJECTED_PICTURES = 10
"""Pictures of a person and modality in a projection at most."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Pictures of a data set: those compared, those projected and those translated, the same for every method.

    `queries` and `gallery` are of the search that `search` names; `pairs` are an RGB and an infrared picture of each
    of a few test persons.
    """

    dataset: Dataset
    search: str
    queries: tuple[Picture, ...]
    gallery: tuple[Picture, ...]
    projected_test: tuple[Picture, ...]
    projected_train: tuple[Picture, ...]
    pairs: tuple[tuple[Picture, Picture], ...]

    @property
    def embedded(self) -> tuple[Picture, ...]:
        """Every picture whose feature is needed, once."""
        everything = (*self.queries, *self.gallery, *self.projected_test, *self.projected_train)
        return tuple(dict.fromkeys(everything))


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A method's trained model and its features of the chosen pictures, rows of length one."""

    variant: Variant
    run: Run
    model: Model
    choice: Choice
    features: dict[Picture, NDArray[np.float32]]

    def features_of(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Return the features [N, D] of chosen pictures."""
        return np.stack([self.features[picture] for picture in pictures])

    def photographs(self, pictures: Sequence[Picture]) -> NDArray[np.uint8]:
        """Return pictures as the method sees them, uint8 [N, H, W, 3]; raises PictureError for a broken one."""
        batches = list(self.model.inference.read([picture.path for picture in pictures]))
        return np.concatenate([batch.cpu().numpy() for batch in batches]).transpose(0, 2, 3, 1)

    def fake_ir(self, pictures: Sequence[Picture]) -> NDArray[np.uint8]:
        """Return RGB pictures translated to infrared, uint8 [N, H, W, 3]; the method must have translators."""
        return self.model.translate([picture.path for picture in pictures], "ir").transpose(0, 2, 3, 1)

    @property
    def proportion(self) -> float:
        """Height over width of a person as the backbone sees one: pictures are loaded squeezed into a square."""
        height, width = self.model.config.backbone.image_size
        return height / width


def choose(dataset: Dataset, settings: EvaluationSettings) -> Choice:
    """Choose a data set's pictures: the queries and gallery of the first trial, and a few persons to look at."""
    queries = tuple(picture for picture in dataset.test if picture.modality == "ir")
    gallery, search = _gallery(dataset, settings)
    both = _persons(dataset.test)
    shown = _evenly(both, SHEET_PERSONS)
    pairs = tuple((_of(dataset.test, person, "rgb")[0], _of(dataset.test, person, "ir")[0]) for person in shown)
    return Choice(
        dataset=dataset,
        search=search,
        queries=queries,
        gallery=gallery,
        projected_test=_projected(dataset.test),
        projected_train=_projected(dataset.train),
        pairs=pairs,
    )


def embed(variant: Variant, run: Run, choice: Choice, on_pictures: Callable[[int], None]) -> Exhibit:
    """Load a run's newest checkpoint and compute its features of the chosen pictures.

    Args:
        variant, run: the run that stands for the variant.
        choice: of the run's data set.
        on_pictures: called with how many pictures have been read since the last call.

    Raises:
        ModelError, DamagedCheckpoint, PictureError: for a model or a picture that cannot be used.
    """
    model = load_model(run.folder.location)
    features: dict[Picture, NDArray[np.float32]] = {}
    modalities: tuple[Modality, ...] = ("rgb", "ir")
    for modality in modalities:
        pictures = [picture for picture in choice.embedded if picture.modality == modality]
        paths = [picture.path for picture in pictures]
        rows = model.embed(paths, modality, flip=run.config.evaluation.flip, on_pictures=on_pictures)
        features |= dict(zip(pictures, rows, strict=True))
    return Exhibit(variant, run, model, choice, features)


def _gallery(dataset: Dataset, settings: EvaluationSettings) -> tuple[tuple[Picture, ...], str]:
    """The pictures that queries are compared with, in gallery order, and what that search is called."""
    if dataset.protocol != "sysu-mm01":
        return tuple(picture for picture in dataset.test if picture.modality == "rgb"), "infrared to visible"
    rows: dict[tuple[int, int], dict[int, int]] = {}
    for row, picture in enumerate(dataset.test):
        rows.setdefault((picture.camera, picture.person), {})[picture.number] = row
    if settings.gallery_draw == "random-seed" or dataset.permutations is None:
        galleries = random_seed_galleries(rows, GALLERY_CAMERAS["all"])
    else:
        galleries = official_galleries(rows, GALLERY_CAMERAS["all"], read_permutations(dataset.permutations), 1)
    return tuple(dataset.test[row] for row in galleries[0]), "all-search, single-shot, first trial of the gallery"


def _projected(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    modalities: tuple[Modality, ...] = ("rgb", "ir")
    return tuple(
        picture
        for person in _evenly(_persons(pictures), PROJECTED_PERSONS)
        for modality in modalities
        for picture in _evenly(_of(pictures, person, modality), PROJECTED_PICTURES)
    )


def _persons(pictures: Sequence[Picture]) -> list[int]:
    """Persons with pictures of both modalities, ascending."""
    seen: dict[str, set[int]] = {"rgb": set(), "ir": set()}
    for picture in pictures:
        seen[picture.modality].add(picture.person)
    return sorted(seen["rgb"] & seen["ir"])


def _of(pictures: Sequence[Picture], person: int, modality: Modality) -> list[Picture]:
    return [picture for picture in pictures if picture.person == person and picture.modality == modality]


def _evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items at even distances, the first and the last among them."""
    return [items[index] for index in np.unique(np.linspace(0, len(items) - 1, count).astype(int))] if items else []
