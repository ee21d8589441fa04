"""What makes a step fast changes nothing: losses and gradients are those of the plain way of computing them."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aligngan.methods import phases
from aligngan.methods.branches import branch
from aligngan.methods.method import Method
from aligngan.methods.phase import only_trains
from aligngan.networks import instance_norm
from tests.method.small import METHODS, batch, small_config, small_method

RECIPES = [("demo", method) for method in METHODS] + [("released", "aligngan"), ("released", "aligngan-minus")]
Found = dict[str, Tensor]
# Of this batch no ReLU is zero but for rounding, where float32 could take the gradient of either side.
BATCH = 3
LAYOUT, FLOAT = torch.channels_last, torch.float32


def plain_branch(compute: Callable[..., Any], inputs: Sequence[Tensor], networks: Sequence[nn.Module] = ()) -> Any:
    """All activations are kept until the one backward pass."""
    total, values = compute(*inputs)
    return total, {name: value.detach() for name, value in values.items()}


def everything(method: Method, layout: torch.memory_format, dtype: torch.dtype) -> Found:
    """Losses, named values and gradients of every phase, and the statistics that stay behind."""
    method.networks.to(dtype).to(memory_format=layout)
    rgb, ir, labels = batch(BATCH, dtype)
    found: Found = {}
    for phase in method.phases:
        method.networks.zero_grad()
        torch.manual_seed(0)
        with only_trains(phase):
            total, values = phase(rgb.to(memory_format=layout), ir.to(memory_format=layout), labels)
            total.backward()
        found |= {f"{phase.name} total": total.detach()}
        found |= {f"{phase.name} {name}": value for name, value in values.items()}
        for key, parameter in method.networks.named_parameters():
            if parameter.grad is not None:
                found[f"{phase.name} gradient of {key}"] = parameter.grad.clone()
    return found | {f"buffer {key}": buffer.clone() for key, buffer in method.networks.named_buffers()}


def scale_of(key: str) -> str:
    """What an entry is small or large beside: a network's gradients, as single ones may be nothing but rounding."""
    return key.split(".")[0] if "gradient" in key else key


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("preset", "name"), RECIPES)
def test_the_fast_path_computes_what_the_plain_path_does(
    preset: str, name: str, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(name, preset=preset)
    fast = everything(small_method(config), torch.channels_last, dtype)
    monkeypatch.setattr(phases, "branch", plain_branch)
    monkeypatch.setattr(instance_norm, "_worthwhile", lambda maps: False)
    expected = everything(small_method(config), torch.contiguous_format, dtype)
    assert fast.keys() == expected.keys()
    scales: dict[str, float] = {}
    for key, value in expected.items():
        scales[scale_of(key)] = max(scales.get(scale_of(key), 1e-3), value.double().abs().max().item())
    for key, value in expected.items():
        assert (fast[key] - value).double().abs().max().item() / scales[scale_of(key)] < tolerance, key


def test_a_branch_passes_on_the_gradients_of_its_loss_to_inputs_and_parameters() -> None:
    torch.manual_seed(0)
    used, unused = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
    fixed = torch.randn(3, 3, dtype=torch.float64)

    def compute(left: Tensor, right: Tensor, other: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        product = used(left) * right + other
        return product.square().sum(), {"mean": product.mean()}

    def total(left: Tensor, right: Tensor, *parameters: Tensor) -> Tensor:
        loss, values = branch(compute, (left * 2, right, fixed), (used, unused))
        assert not values["mean"].requires_grad
        return 3 * loss + left.sum()

    left, right = (torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(total, (left, right, *used.parameters()))
    total(left, right).backward()
    assert all(parameter.grad is None for parameter in unused.parameters())


def test_a_branch_keeps_no_activation() -> None:
    network = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(20)))
    rows = torch.randn(64, 8, requires_grad=True)

    def compute(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return network(rows).square().mean(), {}

    kept = {}
    for way in (branch, plain_branch):
        saved: list[weakref.ref[Tensor]] = []

        def remember(tensor: Tensor, saved: list["weakref.ref[Tensor]"] = saved) -> Tensor:
            saved.append(weakref.ref(tensor))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            loss, _ = way(compute, (rows,), (network,))
        kept[way] = sum(tensor.numel() for ref in saved if (tensor := ref()) is not None)
        loss.backward()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert kept[branch] == rows.numel() + parameters
    assert kept[plain_branch] > 20 * rows.numel()


@pytest.mark.parametrize("name", ["aligngan", "aligngan-minus", "pixalign"])
def test_discriminators_get_what_the_pixel_phase_made_before_its_update_where_fakes_are_reused(name: str) -> None:
    torch.manual_seed(0)
    found: list[Found] = []
    for reuse in ("true", "false"):
        method = small_method(small_config(name, f"train.reuse_fakes={reuse}"))
        rgb, ir, labels = batch()
        _, pixel, discriminator = method.phases
        for phase in (pixel, discriminator):
            with only_trains(phase):
                _, values = phase(rgb, ir, labels)
            if phase is pixel and reuse == "true":
                with torch.no_grad():
                    for parameter in method.networks["translator_ir"].parameters():
                        parameter.zero_()
        found.append(values)
    # Without its update the pixel phase would make the same again.
    for key, value in found[1].items():
        torch.testing.assert_close(found[0][key], value)


def test_reused_fakes_are_of_the_same_iteration() -> None:
    method = small_method(small_config("aligngan", "train.reuse_fakes=true"))
    _, pixel, discriminator = method.phases
    pixel(*batch())
    discriminator(*batch())
    with pytest.raises(RuntimeError, match="has to run before it"):
        discriminator(*batch())


@pytest.mark.parametrize(("preset", "name"), [("demo", "aligngan"), ("demo", "baseline"), ("released", "aligngan")])
def test_activations_that_are_computed_again_change_nothing(preset: str, name: str) -> None:
    found = [
        everything(small_method(small_config(name, f"backbone.recompute={again}", preset=preset)), LAYOUT, FLOAT)
        for again in ("true", "false")
    ]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[1])


def test_activations_of_the_first_layers_are_not_kept_where_they_are_computed_again() -> None:
    kept = {}
    for again in ("true", "false"):
        generator = small_method(small_config("baseline", f"backbone.recompute={again}")).networks["feature_generator"]
        saved: list[weakref.ref[Tensor]] = []

        def remember(tensor: Tensor, saved: list["weakref.ref[Tensor]"] = saved) -> Tensor:
            saved.append(weakref.ref(tensor))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            maps = generator(batch()[0])
        parameters = {parameter.data_ptr() for parameter in generator.parameters()}
        alive = [tensor for ref in saved if (tensor := ref()) is not None]
        kept[again] = sum(tensor.numel() for tensor in alive if tensor.data_ptr() not in parameters)
        assert maps.requires_grad
    assert kept["true"] < 0.75 * kept["false"]
