"""Who judges what: the joint discriminator of image-feature pairs, or one for pictures and one for feature maps."""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from aligngan.losses.adversarial import judged_real, loss_discriminator, loss_gan_feat, loss_gan_pix
from aligngan.networks.discriminators import JointDiscriminator

if TYPE_CHECKING:
    from aligngan.config import Config

Values = dict[str, Tensor]


class Judges(Protocol):
    """The adversaries of G_p and G_f in one method."""

    def pixel(self, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor) -> Tensor:
        """Return gan_pix (Eq. 9 or its image-only form)."""

    def feature(self, ir: Tensor, fake_ir: Tensor, fake_maps: Tensor) -> Tensor:
        """Return gan_feat (Eq. 10 or its feature-only form)."""

    def discriminate(
        self, ir: Tensor, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor, next_ir: Tensor
    ) -> tuple[Tensor, Values]:
        """Return the discriminators' loss (Eq. 7) and its named values.

        Infrared pictures one block of a person further on are another person's. `next_ir` is the block after the last.
        """


class JointJudge:
    """D_j on image-feature pairs (Figure 2c)."""

    def __init__(self, config: "Config", networks: nn.ModuleDict) -> None:
        judge = networks["discriminator_joint"]
        assert isinstance(judge, JointDiscriminator)
        self._settings = config.loss
        self._judge = judge

    def pixel(self, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor) -> Tensor:
        judge = self._judge
        fake = judge.image_convs(fake_ir)
        pairs = [judge(fake, judge.feature_convs(real_maps))]
        if self._settings.gan_pix_pairs == "both":
            pairs.append(judge(fake, judge.feature_convs(fake_maps)))
        return loss_gan_pix(pairs, self._settings.gan_loss)

    def feature(self, ir: Tensor, fake_ir: Tensor, fake_maps: Tensor) -> Tensor:
        judge = self._judge
        of_fake = judge.feature_convs(fake_maps)
        pairs = [judge(judge.image_convs(ir), of_fake)]
        if self._settings.gan_feat_pairs == "both":
            pairs.append(judge(judge.image_convs(fake_ir), of_fake))
        return loss_gan_feat(pairs, self._settings.gan_loss)

    def discriminate(
        self, ir: Tensor, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor, next_ir: Tensor
    ) -> tuple[Tensor, Values]:
        judge = self._judge
        real, fake = judge.image_convs(ir), judge.image_convs(fake_ir)
        other = torch.cat([real[len(next_ir) :], judge.image_convs(next_ir)])
        of_real, of_fake = judge.feature_convs(real_maps), judge.feature_convs(fake_maps)
        pairs = [(fake, of_fake), (fake, of_real), (real, of_fake), (other, of_real)]
        return _trained("joint", judge(real, of_real), [judge(*pair) for pair in pairs], self._settings.gan_loss)


class SeparateJudges:
    """A discriminator of pictures, one of feature maps, or both (Figure 2a and 2b)."""

    def __init__(
        self,
        config: "Config",
        networks: nn.ModuleDict,
        pictures: str = "discriminator_ir",
        maps: str = "discriminator_feature",
    ) -> None:
        """`pictures` and `maps` name the two discriminators; a method need not have both."""
        self._form = config.loss.gan_loss
        self._networks = networks
        self._pictures, self._maps = pictures, maps

    def pixel(self, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor) -> Tensor:
        return judged_real(self._networks[self._pictures](fake_ir), self._form)

    def feature(self, ir: Tensor, fake_ir: Tensor, fake_maps: Tensor) -> Tensor:
        return judged_real(self._networks[self._maps](fake_maps), self._form)

    def discriminate(
        self, ir: Tensor, fake_ir: Tensor, real_maps: Tensor, fake_maps: Tensor, next_ir: Tensor
    ) -> tuple[Tensor, Values]:
        total: Tensor = ir.new_zeros(())
        values: Values = {}
        if self._pictures in self._networks:
            judge = self._networks[self._pictures]
            loss, named = _trained("ir", judge(ir), [judge(fake_ir)], self._form)
            total, values = total + loss, values | named
        if self._maps in self._networks:
            judge = self._networks[self._maps]
            loss, named = _trained("feature", judge(real_maps), [judge(fake_maps)], self._form)
            total, values = total + loss, values | named
        return total, values


def judge_pictures(name: str, judge: nn.Module, real: Tensor, fake: Tensor, form: str) -> tuple[Tensor, Values]:
    """Return an image discriminator's loss and its named values."""
    return _trained(name, judge(real), [judge(fake)], form)


def _trained(name: str, real: Tensor, fakes: list[Tensor], form: str) -> tuple[Tensor, Values]:
    """Eq. 7 with what is shown of it: both terms, and the share of patches that are judged rightly."""
    loss_real, loss_fake = loss_discriminator(real, fakes, form)
    border = 0.5 if form == "lsgan" else 0.0
    values = {
        f"d_{name}_real": loss_real,
        f"d_{name}_fake": loss_fake,
        f"d_{name}_accuracy_real": (real > border).float().mean(),
        f"d_{name}_accuracy_fake": torch.stack([(fake <= border).float().mean() for fake in fakes]).mean(),
    }
    return loss_real + loss_fake, values
