"""Pictures as bytes and as the networks' numbers."""

import torch
from torch import Tensor


def to_unit_range(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [..., 3, H, W] as float32 in [-1, 1], memory format kept."""
    if pictures.dtype != torch.uint8:
        raise TypeError(f"pictures must be uint8, found {pictures.dtype}")
    return pictures.float().div_(127.5).sub_(1.0)


def to_uint8(pictures: Tensor) -> Tensor:
    """Return float pictures in [-1, 1] as uint8, rounded to the nearest grey level; values outside are clipped."""
    return pictures.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
