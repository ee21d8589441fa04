"""Workers together train like one, and the same seed trains the same network."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from aligngan.config import Config, resolve
from aligngan.training.batches import Batches
from aligngan.training.loop import run_iteration
from aligngan.training.state import TrainingState
from loaders.catalog import open_dataset

METHODS = ["aligngan", "aligngan-minus", "pixalign", "featalign", "baseline"]
ITERATIONS = 4
State = dict[str, torch.Tensor]


def small(method: str, data: list[str]) -> Config:
    """The demo's recipe in float32 with dropout off, at a size that trains four iterations in a second."""
    return resolve(
        "demo",
        overrides=[
            f"method={method}",
            *data,
            "stages.feature_warmup=0",
            "stages.pixel_warmup=0",
            "train.pixel_batch=null",
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
            # At full rates rounding errors grow tenfold with every iteration, between any two orders of summation.
            "optimizer.backbone_lr=5e-5",
            "optimizer.head_lr=5e-4",
            "optimizer.pixel_lr=2e-5",
            "optimizer.discriminator_lr=1e-5",
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


def trained(folder: Path, name: str, world: int, configs: list[Config], iterations: int = ITERATIONS) -> list[State]:
    outs = [folder / f"{name}-{number}.pt" for number in range(len(configs))]
    jobs = [(config, iterations, str(out)) for config, out in zip(configs, outs, strict=True)]
    torch.multiprocessing.spawn(train_all, args=(world, jobs, str(folder / f"{name}-store")), nprocs=world)
    return [torch.load(out, weights_only=True) for out in outs]


def differences(left: State, right: State, start: State) -> dict[str, tuple[float, float]]:
    """Of each network the norm of what two trainings differ by, relative to its parameters and to what was learned."""
    assert left.keys() == right.keys()
    squares: dict[str, list[float]] = {}
    for name, tensor in right.items():
        if not tensor.is_floating_point():
            continue
        sums = squares.setdefault(name.split(".")[0], [0.0, 0.0, 0.0])
        for number, other in enumerate((left[name], torch.zeros_like(tensor), start[name])):
            sums[number] += (tensor.double() - other.double()).square().sum().item()
    return {
        network: ((difference / size) ** 0.5, (difference / learned) ** 0.5)
        for network, (difference, size, learned) in squares.items()
    }


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, small_synthetic: list[str]) -> dict[str, list[State]]:
    folder = tmp_path_factory.mktemp("trainings")
    configs = [small(method, small_synthetic) for method in METHODS]
    return {
        "start": trained(folder, "start", 1, configs, iterations=0),
        "one": trained(folder, "one", 1, configs),
        "again": trained(folder, "again", 1, configs[:1]),
        "two": trained(folder, "two", 2, configs),
    }


@pytest.mark.parametrize("method", METHODS)
def test_two_workers_train_like_one(method: str, trainings: dict[str, list[State]]) -> None:
    number = METHODS.index(method)
    found = differences(trainings["two"][number], trainings["one"][number], trainings["start"][number])
    for network, (of_parameters, of_learned) in found.items():
        assert of_parameters < 1e-4, network
        # Gradients of another batch would differ by as much as was learned.
        assert of_learned < 0.2, network


def test_the_same_seed_trains_the_same_network_bit_for_bit(trainings: dict[str, list[State]]) -> None:
    first, second = trainings["one"][0], trainings["again"][0]
    assert all(torch.equal(first[name], second[name]) for name in first)
