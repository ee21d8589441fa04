"""What the pixel phase makes of a batch, handed to the discriminator phase of the same iteration."""

from torch import Tensor

Made = tuple[Tensor, Tensor, Tensor, Tensor]
"""X'_ir and X'_rgb [N, 3, H, W], M_ir and M'_ir [N, C, h, w]."""


class Handover:
    """Holds pictures and feature maps without their gradient from the phase that made them to the one that uses them.

    They are made with the translators as they were before the pixel phase's update.
    """

    def __init__(self) -> None:
        self._made: Made | None = None

    def give(self, fake_ir: Tensor, fake_rgb: Tensor, real_maps: Tensor, fake_maps: Tensor) -> None:
        """Keep what was made until it is taken."""
        self._made = fake_ir.detach(), fake_rgb.detach(), real_maps.detach(), fake_maps.detach()

    def take(self) -> Made:
        """Return what was given last, once.

        Raises:
            RuntimeError: where nothing was given since.
        """
        if self._made is None:
            raise RuntimeError("the discriminator phase uses what the pixel phase made, which has to run before it")
        made, self._made = self._made, None
        return made
