"""The three alternating phases of joint training: feature (Eq. 6), pixel (Eq. 4) and discriminator (Eq. 7)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aligngan.distributed import gather_rows, shift_rows
from aligngan.losses.adversarial import judged_real
from aligngan.losses.identity import classification, loss_cls_feat, loss_tri_feat, loss_tri_pix
from aligngan.losses.pixel import cycle_consistency, identity_mapping, loss_feat, loss_pix
from aligngan.methods.judges import Judges, judge_pictures
from aligngan.methods.phase import Phase, Stream, Values, adam, sgd

if TYPE_CHECKING:
    from aligngan.config import Config


class FeaturePhase(Phase):
    """Trains G_f, classifier and embedder on infrared and fake infrared pictures (Eq. 5 and 6).

    Without a pixel module the real RGB pictures stand where the fake infrared ones stand.
    """

    name = "feature"
    trains = ("feature_generator", "classifier", "embedder")

    def __init__(self, config: "Config", networks: nn.ModuleDict, judges: Judges | None) -> None:
        super().__init__(config, networks, "main")
        self._judges = judges

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        settings = self.config.loss
        fake_ir = rgb
        if "translator_ir" in self.networks:
            with torch.no_grad():
                fake_ir = self.networks["translator_ir"](rgb)
        real_maps, fake_maps = self.maps(ir, fake_ir)
        real_logits, fake_logits, real_embedding, fake_embedding = self.identify(real_maps, fake_maps)
        every_label = gather_rows(labels)
        values = {
            "cls_feat": loss_cls_feat(real_logits, fake_logits, labels, settings.cls_feat),
            "tri_feat": loss_tri_feat(
                gather_rows(real_embedding), gather_rows(fake_embedding), every_label, every_label, settings.margin
            ),
        }
        gan_feat = ir.new_zeros(())
        if self._judges is not None and settings.lambda_gan_feat > 0:
            gan_feat = values["gan_feat"] = self._judges.feature(ir, fake_ir, fake_maps)
        return loss_feat(values["cls_feat"], values["tri_feat"], gan_feat, settings.lambda_gan_feat), values

    def optimizer(self) -> torch.optim.Optimizer:
        return sgd(dict(self.networks.items()), self.config.optimizer)


class PixelPhase(Phase):
    """Trains G_p and G_p' (Eq. 1, 2, 4 and 9)."""

    name = "pixel"
    trains = ("translator_ir", "translator_rgb")
    judge_of_rgb = "discriminator_rgb"

    def __init__(self, config: "Config", networks: nn.ModuleDict, judges: Judges, stream: Stream) -> None:
        super().__init__(config, networks, stream)
        self._judges = judges

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        settings = self.config.loss
        to_ir, to_rgb = self.networks["translator_ir"], self.networks["translator_rgb"]
        fake_ir, fake_rgb = to_ir(rgb), to_rgb(ir)
        real_maps, fake_maps = self.maps(ir, fake_ir)
        real_maps = real_maps.detach()
        _, fake_logits, real_embedding, fake_embedding = self.identify(real_maps, fake_maps)
        every_label = gather_rows(labels)
        values = {
            "gan_pix": self._judges.pixel(fake_ir, real_maps, fake_maps),
            "gan_rgb": judged_real(self.networks[self.judge_of_rgb](fake_rgb), settings.gan_loss),
            "cyc": cycle_consistency(rgb, to_rgb(fake_ir), ir, to_ir(fake_rgb)),
            "cls_pix": classification(fake_logits, labels),
            "tri_pix": loss_tri_pix(
                gather_rows(real_embedding),
                gather_rows(fake_embedding),
                every_label,
                every_label,
                settings.margin,
                settings.triplet_pix_weight,
            ),
        }
        share = 0.5 if settings.average_directions else 1.0
        total = loss_pix(
            share * (values["gan_pix"] + values["gan_rgb"]),
            share * values["cyc"],
            values["cls_pix"],
            values["tri_pix"],
            settings.lambda_cyc,
            settings.lambda_id_pix,
        )
        if settings.lambda_identity_mapping > 0:
            values["identity_mapping"] = identity_mapping(rgb, to_rgb(rgb), ir, to_ir(ir))
            total = total + settings.lambda_identity_mapping * share * values["identity_mapping"]
        return total, values

    def optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        return adam([self.networks[name] for name in self.trains], settings.pixel_lr, settings)


class DiscriminatorPhase(Phase):
    """Trains the discriminators of a method (Eq. 7 and 8), and D_rgb where there is a pixel module."""

    name = "discriminator"
    judge_of_rgb = "discriminator_rgb"
    prefix = "discriminator_"

    def __init__(self, config: "Config", networks: nn.ModuleDict, judges: Judges, stream: Stream) -> None:
        super().__init__(config, networks, stream)
        self._judges = judges
        self._order_checked = False
        self.trains = tuple(name for name in networks if name.startswith(self.prefix))

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        with torch.no_grad():
            translate = "translator_ir" in self.networks
            fake_ir = self.networks["translator_ir"](rgb) if translate else rgb
            real_maps, fake_maps = self.maps(ir, fake_ir)
            other_ir = self._others(ir, labels)
        total, values = self._judges.discriminate(ir, fake_ir, real_maps, fake_maps, other_ir)
        if self.judge_of_rgb in self.networks:
            with torch.no_grad():
                fake_rgb = self.networks["translator_rgb"](ir)
            judge, form = self.networks[self.judge_of_rgb], self.config.loss.gan_loss
            loss, named = judge_pictures("rgb", judge, rgb, fake_rgb, form)
            total, values = total + loss, values | named
        return total, values

    def _others(self, ir: Tensor, labels: Tensor) -> Tensor:
        """Row by row another person's pictures: persons stand in blocks, and these are one block further on."""
        # Once for all batches of a plan, as reading labels back waits for the device.
        if not self._order_checked:
            if bool((labels == shift_rows(labels, self.images_per_person)).any()):
                raise ValueError(
                    f"the {self.name} phase pairs each person's pictures with another person's, so a batch must hold "
                    f"two or more persons in blocks of {self.images_per_person} rows; found labels {labels.tolist()}"
                )
            self._order_checked = True
        return shift_rows(ir, self.images_per_person)

    def optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        return adam([self.networks[name] for name in self.trains], settings.discriminator_lr, settings)
