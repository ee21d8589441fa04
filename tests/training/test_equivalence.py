"""Workers together train like one, and the same seed trains the same network."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from aligngan.config import Config, resolve
from aligngan.training.batches import Batches
from aligngan.training.loop import run_iteration
from aligngan.training.state import TrainingState
from loaders.dataset import open_dataset

METHODS = ["aligngan", "aligngan-minus", "pixalign", "featalign", "baseline"]
ITERATIONS = 5


def small(method: str, root: str, *overrides: str) -> Config:
    """The demo's recipe in float32 with dropout off, at a size that trains five iterations in a second."""
    return resolve(
        "demo",
        overrides=[
            f"method={method}",
            f"data.root={root}",
            "data.image_size=[32, 32]",
            "data.persons_per_batch=4",
            "data.images_per_person=2",
            "data.backend=threads",
            "backbone.image_size=[48, 24]",
            "translator.width=4",
            "translator.blocks=1",
            "discriminator.width=4",
            "heads.dropout=0",
            "train.precision=float32",
            *overrides,
        ],
    )


def train(rank: int, world: int, config: Config, iterations: int, store: str, out: str) -> None:
    """Train a few iterations as one of `world` processes; rank 0 saves the networks to `out`."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    device = torch.device("cpu")
    dataset = open_dataset(config.data)
    state = TrainingState(config, len(dataset.train_persons), device)
    with Batches(config, dataset, rank, world, device) as batches:
        for _ in range(iterations):
            run_iteration(state, batches, rank)
    if rank == 0:
        torch.save(state.method.networks.state_dict(), out)
    if world > 1:
        torch.distributed.destroy_process_group()


def train_all(rank: int, world: int, jobs: list[tuple[Config, int, str]], store: str) -> None:
    for number, (config, iterations, out) in enumerate(jobs):
        train(rank, world, config, iterations, f"{store}-{number}", out)


def trained(folder: Path, name: str, world: int, configs: list[Config], iterations: int = ITERATIONS) -> list[Any]:
    outs = [folder / f"{name}-{number}.pt" for number in range(len(configs))]
    jobs = [(config, iterations, str(out)) for config, out in zip(configs, outs, strict=True)]
    torch.multiprocessing.spawn(train_all, args=(world, jobs, str(folder / f"{name}-store")), nprocs=world)
    return [torch.load(out, weights_only=True) for out in outs]


def largest_difference(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """Largest difference of any network parameter or buffer, relative to the largest magnitude in its tensor."""
    assert left.keys() == right.keys()
    differences = [
        (
            (left[name].double() - right[name].double()).abs().max() / right[name].double().abs().max().clamp_min(1e-3)
        ).item()
        for name in left
    ]
    return max(differences)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, small_synthetic: str) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("trainings")
    configs = [small(method, small_synthetic) for method in METHODS]
    return {
        "one": trained(folder, "one", 1, configs),
        "again": trained(folder, "again", 1, configs[:1]),
        "two": trained(folder, "two", 2, configs),
    }


@pytest.mark.parametrize("method", METHODS)
def test_two_workers_train_like_one(method: str, trainings: dict[str, list[Any]]) -> None:
    number = METHODS.index(method)
    assert largest_difference(trainings["two"][number], trainings["one"][number]) < 1e-4


def test_the_same_seed_trains_the_same_network_bit_for_bit(trainings: dict[str, list[Any]]) -> None:
    first, second = trainings["one"][0], trainings["again"][0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_changes_every_network(trainings: dict[str, list[Any]], small_synthetic: str) -> None:
    """Guards the comparisons above: networks that never move would agree too."""
    for number, method in enumerate(METHODS):
        config = small(method, small_synthetic)
        start = TrainingState(config, len(open_dataset(config.data).train_persons), torch.device("cpu"))
        for name, network in start.method.networks.items():
            before = dict(network.named_parameters())
            after = trainings["one"][number]
            assert any(not torch.equal(after[f"{name}.{key}"], before[key]) for key in before), f"{method}: {name}"
