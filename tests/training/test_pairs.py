"""Which pictures and feature maps meet in the joint discriminator, on batches as the plan makes them."""

from typing import Any

import torch
from torch import Tensor

from aligngan.training.batches import Batches
from aligngan.training.loop import run_iteration
from aligngan.training.state import TrainingState
from loaders.catalog import open_dataset
from tests.method.small import Pairs
from tests.training.test_equivalence import small


def rows_of(pictures: Tensor, among: Tensor) -> list[int]:
    """For each picture the row at which it stands among others."""
    return [next(row for row, other in enumerate(among) if torch.equal(picture, other)) for picture in pictures]


def test_pairs_are_of_one_person_but_for_those_that_must_not_be(small_synthetic: list[str]) -> None:
    """Eq. 8 to 10: seen from the files, not from the labels that the loader gives."""
    config = small("aligngan", small_synthetic)
    dataset = open_dataset(config.data)
    person_of = {picture.path: picture.person for picture in dataset.train}
    state = TrainingState(config, len(dataset.train_persons), torch.device("cpu"))
    networks = state.method.networks
    pairs = Pairs(networks["discriminator_joint"])
    mapped: list[tuple[Tensor, Tensor]] = []

    def remember_map(module: Any, given: tuple[Tensor], maps: Tensor) -> None:
        mapped.append((given[0].detach(), maps.detach()))

    networks["feature_generator"].register_forward_hook(remember_map)
    mismatched = 0
    with Batches(config, dataset, 0, 1, torch.device("cpu")) as batches:
        for iteration in range(4):
            pairs.clear()
            mapped.clear()
            run_iteration(state, batches, 0)
            batch = batches.read("main", iteration)
            persons = [person_of[path] for path in batch.ir_paths]
            assert [person_of[path] for path in batch.rgb_paths] == persons
            _, ir, _ = batches.at("main", iteration)
            for pictures, maps in pairs.shown:
                whole, halves = next((given, made) for given, made in mapped if _holds(made, maps))
                start = rows_of(maps[:1], halves)[0]
                # Rows of a pass are infrared pictures and then fake ones, each in the batch's order.
                of_maps = [persons[(start + row) % len(persons)] for row in range(len(maps))]
                real = [row for row in range(len(pictures)) if _holds(ir, pictures[row : row + 1])]
                of_pictures = persons if not real else [persons[row] for row in rows_of(pictures, ir)]
                differ = [left != right for left, right in zip(of_pictures, of_maps, strict=True)]
                assert all(differ) or not any(differ)
                mismatched += all(differ)
                assert len(whole) == 2 * len(persons)
    # Of the pairs of one iteration (Eq. 8 has five, Eq. 9 and 10 two each) one is of two persons.
    assert mismatched == 4
    assert len(pairs.shown) == 9


def _holds(tensors: Tensor, part: Tensor) -> bool:
    return any(torch.equal(part[0], row) for row in tensors)
