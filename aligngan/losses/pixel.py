"""Cycle consistency and the overall losses of the two generator modules (Eq. 1, 4 and 6)."""

from torch import Tensor

from aligngan.losses.precise import precise


def cycle_consistency(rgb: Tensor, cycled_rgb: Tensor, ir: Tensor, cycled_ir: Tensor) -> Tensor:
    """Return Eq. 1: mean absolute difference of pictures and their round trips, summed over both directions.

    All are [N, 3, H, W]; cycled_rgb = G_p'(G_p(rgb)) and cycled_ir = G_p(G_p'(ir)).
    """
    return _distance(cycled_rgb, rgb) + _distance(cycled_ir, ir)


def identity_mapping(rgb: Tensor, mapped_rgb: Tensor, ir: Tensor, mapped_ir: Tensor) -> Tensor:
    """Return the L1 loss of translating what needs no translation, mapped_rgb = G_p'(rgb) and mapped_ir = G_p(ir).

    Not in the paper: a term of CycleGAN (Zhu et al. 2017, section 5.2) that the released recipe uses.
    """
    return _distance(mapped_rgb, rgb) + _distance(mapped_ir, ir)


def loss_pix(
    gan_pix: Tensor, cyc: Tensor, cls_pix: Tensor, tri_pix: Tensor, lambda_cyc: float, lambda_id_pix: float
) -> Tensor:
    """Return Eq. 4: gan_pix + lambda_cyc cyc + lambda_id^pix (cls_pix + tri_pix)."""
    return gan_pix + lambda_cyc * cyc + lambda_id_pix * (cls_pix + tri_pix)


def loss_feat(cls_feat: Tensor, tri_feat: Tensor, gan_feat: Tensor, lambda_gan_feat: float) -> Tensor:
    """Return Eq. 6: cls_feat + tri_feat + lambda_gan^feat gan_feat."""
    return cls_feat + tri_feat + lambda_gan_feat * gan_feat


def _distance(left: Tensor, right: Tensor) -> Tensor:
    return (precise(left) - precise(right)).abs().mean()
