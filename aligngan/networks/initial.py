"""Initial weights of the networks that are trained from scratch."""

from torch import nn


def normal_convolutions(module: nn.Module) -> None:
    """Draw convolutions from N(0, 0.02), as is usual for GANs; biases start at zero."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
