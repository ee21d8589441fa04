"""InstanceNorm in channels-last memory is torch's InstanceNorm."""

import pytest
import torch
from torch import Tensor, nn

from aligngan.networks.instance_norm import InstanceNorm2d


def maps(dtype: torch.dtype = torch.float64, layout: torch.memory_format = torch.channels_last) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, 6, 4, generator=generator, dtype=torch.float64) * 2 + 3
    return values.to(dtype).contiguous(memory_format=layout).requires_grad_()


def pair(affine: bool, running: bool, dtype: torch.dtype = torch.float64) -> list[nn.InstanceNorm2d]:
    layers = [
        kind(5, affine=affine, track_running_stats=running).to(dtype) for kind in (nn.InstanceNorm2d, InstanceNorm2d)
    ]
    for layer in layers:
        torch.manual_seed(1)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    return layers


def passed(layer: nn.Module, given: Tensor, back: Tensor) -> list[Tensor]:
    output = layer(given)
    output.backward(back.to(output.dtype))
    assert given.grad is not None
    return [output.detach(), given.grad, *(p.grad for p in layer.parameters() if p.grad is not None), *layer.buffers()]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_values_gradients_and_running_statistics_are_torchs(affine: bool, running: bool, training: bool) -> None:
    back = torch.randn(3, 5, 6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    theirs, ours = (
        [passed(layer.train(training), maps(), back) for _ in range(2)][-1] for layer in pair(affine, running)
    )
    assert len(theirs) == len(ours)
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_the_gradient_is_that_of_the_values() -> None:
    layer = pair(affine=True, running=False)[1]
    assert torch.autograd.gradcheck(layer, (maps(),))


@pytest.mark.parametrize("affine", [True, False])
def test_half_precision_is_as_good_as_its_rounding(affine: bool) -> None:
    back = torch.randn(3, 5, 6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = maps(torch.bfloat16)
    exact = passed(pair(affine, False)[0], given.detach().double().requires_grad_(), back)
    found = passed(pair(affine, False, torch.float32)[1], given, back)
    assert found[0].dtype == torch.bfloat16
    for value, expected in zip(found, exact, strict=True):
        assert (value.double() - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_maps_stay_channels_last(dtype: torch.dtype) -> None:
    given = maps(dtype)
    output = pair(affine=True, running=False, dtype=torch.float32)[1](given)
    output.backward(torch.ones_like(output))
    assert given.grad is not None
    for values in (output, given.grad):
        assert values.is_contiguous(memory_format=torch.channels_last)


def test_other_layouts_are_normalised_too() -> None:
    theirs, ours = pair(affine=True, running=False)
    torch.testing.assert_close(ours(maps(layout=torch.contiguous_format)), theirs(maps()))
