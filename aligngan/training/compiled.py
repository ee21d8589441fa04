"""Networks compiled by torch.compile, each by itself, as every phase puts them together differently."""

import torch
import torch._dynamo
import torch._inductor.config
from torch import nn

from aligngan.networks.discriminators import JointDiscriminator

_VARIANTS = 64
"""A network runs trained, frozen and without gradient, in training and in evaluation, and shares code with others."""


def compile_networks(networks: nn.ModuleDict) -> None:
    """Compile networks in place for the sizes that they see; the first iterations and evaluation then take minutes.

    Names of parameters stay the same, so that checkpoints fit compiled and uncompiled networks alike.
    """
    # Dropout draws the numbers that it draws uncompiled.
    torch._inductor.config.fallback_random = True
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
    for network in networks.values():
        for part in _parts(network):
            part.compile(dynamic=False)


def _parts(network: nn.Module) -> tuple[nn.Module, ...]:
    if isinstance(network, JointDiscriminator):
        return network.image_convs, network.feature_convs, network
    return (network,)
