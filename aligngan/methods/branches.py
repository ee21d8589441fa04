"""Terms of a loss that are differentiated as soon as they are computed, so that their activations need not be kept."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Values = dict[str, Tensor]
Branch = Callable[..., tuple[Tensor, Values]]


def branch(compute: Branch, inputs: Sequence[Tensor], networks: Sequence[nn.Module] = ()) -> tuple[Tensor, Values]:
    """Return a loss and its named values as `compute(*inputs)` does, without the activations in between.

    The gradient of the loss is taken at once and kept instead: it is as large as the inputs and the parameters, where
    the activations of a network are many times as large. Nothing is computed twice. Losses of several branches may
    be added and weighted; the loss of one branch must not enter another.

    Args:
        compute: from the inputs to a scalar and its named values, of which the values are detached.
        inputs: tensors that gradient flows back to, where they need it.
        networks: whose parameters get gradient, where they need it; `compute` may use others that do not.
    """
    if not torch.is_grad_enabled():
        return compute(*inputs)
    parameters = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    values: Values = {}

    def remember(*tensors: Tensor) -> Tensor:
        total, named = compute(*tensors)
        values.update({name: value.detach() for name, value in named.items()})
        return total

    return _DifferentiatedAtOnce.apply(remember, len(inputs), *inputs, *parameters), values


class _DifferentiatedAtOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Callable[..., Tensor], count: int, *tensors: Tensor) -> Tensor:
        inputs = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors[:count]]
        sources = [*inputs, *tensors[count:]]
        wanted = [source for source in sources if source.requires_grad]
        with torch.enable_grad():
            total = compute(*inputs)
        # Backward passes are not autocast elsewhere either.
        with torch.autocast(total.device.type, enabled=False):
            found = iter(torch.autograd.grad(total, wanted, allow_unused=True) if wanted else ())
        gradients = [next(found) if source.requires_grad else None for source in sources]
        ctx.save_for_backward(*gradients)
        return total.detach()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if inner is None else inner * outer[0] for inner in ctx.saved_tensors)
