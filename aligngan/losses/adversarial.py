"""Adversarial losses (Eq. 7 to 10).

The paper minimises `log D` and `log(1 - D)`, which cannot be meant; these are binary cross-entropy on logits, with the
non-saturating form for generators, or least squares (LSGAN).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from aligngan.losses.precise import precise


def judged_real(logits: Tensor, form: str) -> Tensor:
    """Return the mean loss of logits of any shape against "real": -log D (`bce`) or (D - 1)^2 (`lsgan`)."""
    logits = precise(logits)
    if form == "lsgan":
        return (logits - 1).square().mean()
    return F.softplus(-logits).mean()


def judged_fake(logits: Tensor, form: str) -> Tensor:
    """Return the mean loss of logits of any shape against "fake": -log(1 - D) (`bce`) or D^2 (`lsgan`)."""
    logits = precise(logits)
    if form == "lsgan":
        return logits.square().mean()
    return F.softplus(logits).mean()


def loss_discriminator(real: Tensor, fakes: Sequence[Tensor], form: str) -> tuple[Tensor, Tensor]:
    """Return Eq. 8's two terms, L_real and L_fake; Eq. 7 is their sum.

    Args:
        real: logits of (X_ir, M_ir) of one picture.
        fakes: logits of each kind of fake pair: same identity and at least one fake, (X'_ir, M'_ir), (X'_ir, M_ir),
            (X_ir, M'_ir); and both real of different identities. All kinds weigh the same.
        form: `bce` or `lsgan`.
    """
    return judged_real(real, form), torch.stack([judged_fake(fake, form) for fake in fakes]).mean()


def loss_gan_pix(pairs: Sequence[Tensor], form: str) -> Tensor:
    """Return Eq. 9 from the logits of (X'_ir, M_ir) and (X'_ir, M'_ir): G_p wants its pictures judged real."""
    return torch.stack([judged_real(pair, form) for pair in pairs]).mean()


def loss_gan_feat(pairs: Sequence[Tensor], form: str) -> Tensor:
    """Return Eq. 10 from the logits of (X_ir, M'_ir) and (X'_ir, M'_ir): G_f wants its maps judged real."""
    return torch.stack([judged_real(pair, form) for pair in pairs]).mean()
