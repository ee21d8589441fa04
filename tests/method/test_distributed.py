"""Several workers compute what one computes: every method in float64, to nearly the last digit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aligngan.distributed import gather_rows, next_rows, synchronize_batch_norm
from aligngan.losses.identity import triplet
from aligngan.methods.method import Method
from aligngan.methods.phase import Phase, only_trains
from tests.method.small import IMAGES, METHODS, PERSONS, batch, small_config, small_method

RECIPES = [("demo", method) for method in METHODS] + [("released", "aligngan"), ("released", "aligngan-minus")]
IN_WORLD = {2: RECIPES, 4: RECIPES}
STEPS = 3
ROWS = PERSONS * IMAGES
Results = dict[str, Any]


def mine(rows: Tensor) -> Tensor:
    """This worker's rows of a global batch."""
    if not dist.is_initialized():
        return rows
    return rows.chunk(dist.get_world_size())[dist.get_rank()]


def grad(of: Tensor) -> Tensor:
    assert of.grad is not None
    return of.grad.clone()


def wrapped(method: Method, phase: Phase) -> nn.Module:
    if not dist.is_initialized():
        return phase
    with only_trains(phase):
        return DistributedDataParallel(phase, broadcast_buffers=False, gradient_as_bucket_view=True)


def shadow(values: Tensor) -> Tensor:
    """Three numbers that tell tensors apart, as whole networks from every worker would be gigabytes."""
    flat = values.double().flatten()
    places = torch.arange(len(flat), dtype=torch.float64)
    return torch.stack([(flat * (places * 0.7).cos()).sum(), (flat * (places**2 * 0.3).sin()).sum(), flat.norm()])


def trained(preset: str, name: str) -> dict[str, Tensor]:
    """Train three iterations and return the shadow of every parameter and buffer."""
    # Several workers compute activations again, which one does not: that has to be the same as well.
    again = f"backbone.recompute={str(preset == 'released' and dist.is_initialized()).lower()}"
    method = small_method(small_config(name, "heads.dropout=0", again, preset=preset))
    synchronize_batch_norm(method.networks.double(), torch.device("cpu"))
    modules = {phase.name: (wrapped(method, phase), phase.optimizer()) for phase in method.phases}
    for iteration in range(STEPS):
        for number, phase in enumerate(method.phases_at(iteration)):
            module, optimizer = modules[phase.name]
            optimizer.zero_grad()
            with only_trains(phase):
                total, _ = module(*(mine(rows) for rows in batch(10 * iteration + number, torch.float64)))
                total.backward()
            optimizer.step()
    return {key: shadow(value) for key, value in method.networks.state_dict().items()}


def normalised(make: Callable[[], nn.BatchNorm1d | nn.BatchNorm2d], shape: tuple[int, ...]) -> Results:
    """Three training steps and one evaluation of a BatchNorm: outputs, input gradients, parameters and statistics."""
    torch.manual_seed(0)
    layer = make()
    nn.init.normal_(layer.weight)
    norm = nn.Sequential(layer).double()
    synchronize_batch_norm(norm, torch.device("cpu"))
    found: Results = {}
    for step in range(3):
        rows = torch.randn(ROWS, *shape, dtype=torch.float64) * 3 + 40
        cotangent = mine(torch.randn(ROWS, *shape, dtype=torch.float64))
        given = mine(rows).clone().requires_grad_()
        output = norm(given)
        output.backward(cotangent)
        found[f"output {step}"], found[f"gradient {step}"] = gather_rows(output.detach()), gather_rows(grad(given))
    for key, parameter in norm.named_parameters():
        gradient = grad(parameter)
        if dist.is_initialized():
            dist.all_reduce(gradient)
        found[f"gradient of {key}"] = gradient
    norm.eval()
    return found | {"evaluated": norm(torch.ones(2, *shape, dtype=torch.float64)).detach()} | dict(norm.state_dict())


def hard_triplets() -> Results:
    """The batch-hard loss of a network's rows, and the network's gradient after the average over workers."""
    torch.manual_seed(0)
    network = nn.Linear(6, 5).double()
    rows, labels = torch.randn(ROWS, 6, dtype=torch.float64), torch.arange(PERSONS).repeat_interleave(IMAGES)
    module = DistributedDataParallel(network) if dist.is_initialized() else network
    every, every_label = gather_rows(module(mine(rows))), gather_rows(mine(labels))
    loss = triplet(every, every, every, every_label, every_label, every_label, 1.0)
    loss.backward()
    return {"loss": loss.detach(), "gradient": grad(network.weight), "labels": every_label}


def compute(recipes: list[tuple[str, str]]) -> Results:
    """Everything that has to be the same with any number of workers."""
    counted = torch.arange(ROWS * 2.0).view(ROWS, 2)
    half = gather_rows(mine(counted).bfloat16())
    return {
        "shifted": gather_rows(torch.cat([mine(counted)[IMAGES:], next_rows(mine(counted), IMAGES)])),
        "gathered half": half,
        "triplet": hard_triplets(),
        "BatchNorm2d": normalised(lambda: nn.BatchNorm2d(5), (5, 3, 2)),
        "BatchNorm1d": normalised(lambda: nn.BatchNorm1d(5), (5,)),
        **{f"{preset} {method}": trained(preset, method) for preset, method in recipes},
    }


def work(rank: int, world: int, folder: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store-{world}", rank=rank, world_size=world)
    torch.save(compute(IN_WORLD[world]), f"{folder}/{world}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def one() -> Results:
    return compute(RECIPES)


@pytest.fixture(scope="module", params=IN_WORLD)
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """What each of 2 and of 4 processes computed."""
    folder: Path = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(work, args=(request.param, str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{request.param}-{rank}.pt", weights_only=True) for rank in range(request.param)]


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], of: str = "") -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        scale = value.double().abs().max().clamp_min(1e-3)
        assert ((found[key] - value).double().abs().max() / scale).item() < 1e-9, f"{of} {key}"


def test_workers_train_every_method_like_one(several: list[Results], one: Results) -> None:
    for preset, method in IN_WORLD[len(several)]:
        for found in several:
            assert_equal(found[f"{preset} {method}"], one[f"{preset} {method}"], f"{preset} {method}")


def test_the_comparison_is_of_networks_that_moved(one: Results) -> None:
    for preset, method in RECIPES:
        start = small_method(small_config(method, preset=preset)).networks.state_dict()
        moved = {
            key.split(".")[0]
            for key, value in one[f"{preset} {method}"].items()
            if not torch.equal(value, shadow(start[key]))
        }
        assert moved == {key.split(".")[0] for key in start}


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d"])
def test_batch_norm_sees_the_global_batch(several: list[Results], one: Results, kind: str) -> None:
    for found in several:
        assert_equal(found[kind], one[kind])


def test_triplets_are_mined_in_the_global_batch_with_the_gradient_of_one_worker(
    several: list[Results], one: Results
) -> None:
    for found in several:
        assert_equal(found["triplet"], one["triplet"])


def test_rows_are_shifted_over_the_global_batch(several: list[Results], one: Results) -> None:
    expected = torch.arange(ROWS * 2.0).view(ROWS, 2).roll(-IMAGES, 0)
    assert torch.equal(one["shifted"], expected)
    assert all(torch.equal(found["shifted"], expected) for found in several)


def test_half_precision_rows_are_gathered_as_float32(several: list[Results], one: Results) -> None:
    for found in (one, *several):
        assert found["gathered half"].dtype == torch.float32
        assert torch.equal(found["gathered half"], torch.arange(ROWS * 2.0).view(ROWS, 2))
