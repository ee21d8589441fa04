"""Which pictures are shown after an evaluation: a few persons translated, a few queries with their ranks."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from aligngan.images import to_uint8, to_unit_range
from aligngan.methods.method import Method
from aligngan.sheets import Sheet, ranked_sheet, translation_sheet
from aligngan.similarity import nearest
from loaders.dataset import Dataset, Picture

PERSONS = 8
QUERIES = 6
RANKS = 8
# Cameras 2 and 3 of SYSU-MM01 are the same place; a query is not looked for where it was taken.
_PLACES = {3: 2}

Read = Callable[[list[str]], Iterable[Tensor]]


def show_translation(method: Method, dataset: Dataset, read: Read, device: torch.device) -> Sheet:
    """Return RGB, fake infrared and real infrared pictures of test persons; the method must have a pixel module.

    `read` yields the pictures of paths in order as batches uint8 [n, 3, H, W].
    """
    persons = _spread(sorted({picture.person for picture in dataset.test}), PERSONS)
    rgb = _pictures(read, [_first(dataset, person, "rgb") for person in persons])
    ir = _pictures(read, [_first(dataset, person, "ir") for person in persons])
    method.networks.eval()
    with torch.no_grad():
        fake_ir = to_uint8(method.translate(to_unit_range(rgb.to(device)), "ir")).cpu()
    method.networks.train()
    return translation_sheet(rgb, fake_ir, ir, persons)


def show_ranking(dataset: Dataset, features: Tensor, read: Read) -> Sheet:
    """Return a few infrared queries and their most similar RGB pictures; features [len(dataset.test), D]."""
    probes = [row for row, picture in enumerate(dataset.test) if picture.modality == "ir"]
    of_person = {dataset.test[row].person: row for row in reversed(probes)}
    queries = [of_person[person] for person in _spread(sorted(of_person), QUERIES)]
    gallery = [row for row, picture in enumerate(dataset.test) if _in_gallery(dataset, picture)]
    rows, similarities = nearest(
        features[queries], features[gallery], RANKS, _places(dataset, queries), _places(dataset, gallery)
    )
    ranked = np.array(gallery)[rows]
    shown = _pictures(read, [dataset.test[row] for row in ranked.ravel()])
    return ranked_sheet(
        _pictures(read, [dataset.test[row] for row in queries]),
        [dataset.test[row].person for row in queries],
        shown.reshape(*ranked.shape, *shown.shape[1:]),
        np.array([[dataset.test[row].person for row in line] for line in ranked]),
        similarities,
    )


def _in_gallery(dataset: Dataset, picture: Picture) -> bool:
    """Single-shot gallery of the first trial; RegDB's is the whole list."""
    if picture.modality != "rgb":
        return False
    if dataset.permutations is None:
        return True
    return picture.number == dataset.permutations[picture.camera - 1][picture.person - 1][0, 0]


def _places(dataset: Dataset, rows: list[int]) -> list[int]:
    cameras = [dataset.test[row].camera for row in rows]
    return [_PLACES.get(camera, camera) for camera in cameras] if dataset.protocol == "sysu-mm01" else cameras


def _first(dataset: Dataset, person: int, modality: str) -> Picture:
    return next(picture for picture in dataset.test if picture.person == person and picture.modality == modality)


def _spread(values: Sequence[int], count: int) -> list[int]:
    return [values[index] for index in np.unique(np.linspace(0, len(values) - 1, count).astype(int))]


def _pictures(read: Read, pictures: list[Picture]) -> Tensor:
    return torch.cat([batch.cpu() for batch in read([picture.path for picture in pictures])])
