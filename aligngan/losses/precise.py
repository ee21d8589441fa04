"""The precision that losses are computed in."""

import torch
from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """Return half-precision values as float32; float32 and float64 stay what they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
