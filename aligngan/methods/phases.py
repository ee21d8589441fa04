"""The three alternating phases of joint training: feature (Eq. 6), pixel (Eq. 4) and discriminator (Eq. 7)."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aligngan.distributed import gather_rows, next_rows
from aligngan.losses.adversarial import judged_real
from aligngan.losses.identity import classification, loss_cls_feat, loss_tri_feat, loss_tri_pix
from aligngan.losses.pixel import cycle_consistency, identity_mapping, loss_feat, loss_pix
from aligngan.methods.branches import branch
from aligngan.methods.handover import Handover, Made
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

    def __init__(
        self,
        config: "Config",
        networks: nn.ModuleDict,
        judges: Judges,
        stream: Stream,
        handover: Handover | None = None,
    ) -> None:
        """`handover` takes what the phase makes to the discriminators."""
        super().__init__(config, networks, stream)
        self._judges = judges
        self._handover = handover

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        to_ir, to_rgb = self.networks["translator_ir"], self.networks["translator_rgb"]
        fake_ir, fake_rgb = to_ir(rgb), to_rgb(ir)
        terms = [
            branch(partial(self._judged, ir, labels), (fake_ir, fake_rgb)),
            branch(partial(self._cycled, rgb, ir), (fake_ir, fake_rgb), (to_ir, to_rgb)),
        ]
        if self.config.loss.lambda_identity_mapping > 0:
            terms.append(branch(partial(self._mapped, rgb, ir), (), (to_ir, to_rgb)))
        return torch.stack([total for total, _ in terms]).sum(), {
            name: value for _, values in terms for name, value in values.items()
        }

    def _judged(self, ir: Tensor, labels: Tensor, fake_ir: Tensor, fake_rgb: Tensor) -> tuple[Tensor, Values]:
        """What other networks find in the fake pictures (Eq. 2 and 9)."""
        settings = self.config.loss
        real_maps, fake_maps = self.maps(ir, fake_ir)
        real_maps = real_maps.detach()
        if self._handover is not None:
            self._handover.give(fake_ir, fake_rgb, real_maps, fake_maps)
        _, fake_logits, real_embedding, fake_embedding = self.identify(real_maps, fake_maps)
        every_label = gather_rows(labels)
        values = {
            "gan_pix": self._judges.pixel(fake_ir, real_maps, fake_maps),
            "gan_rgb": judged_real(self.networks[self.judge_of_rgb](fake_rgb), settings.gan_loss),
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
        gan = self._of_directions(values["gan_pix"] + values["gan_rgb"])
        return self._of_equation_4(gan_pix=gan, cls_pix=values["cls_pix"], tri_pix=values["tri_pix"]), values

    def _cycled(self, rgb: Tensor, ir: Tensor, fake_ir: Tensor, fake_rgb: Tensor) -> tuple[Tensor, Values]:
        """Round trips (Eq. 1)."""
        to_ir, to_rgb = self.networks["translator_ir"], self.networks["translator_rgb"]
        cyc = cycle_consistency(rgb, to_rgb(fake_ir), ir, to_ir(fake_rgb))
        return self._of_equation_4(cyc=self._of_directions(cyc)), {"cyc": cyc}

    def _mapped(self, rgb: Tensor, ir: Tensor) -> tuple[Tensor, Values]:
        """What a translator does to pictures that need no translation; not in the paper."""
        to_ir, to_rgb = self.networks["translator_ir"], self.networks["translator_rgb"]
        mapped = identity_mapping(rgb, to_rgb(rgb), ir, to_ir(ir))
        return self.config.loss.lambda_identity_mapping * self._of_directions(mapped), {"identity_mapping": mapped}

    def _of_directions(self, both: Tensor) -> Tensor:
        return both / 2 if self.config.loss.average_directions else both

    def _of_equation_4(self, **terms: Tensor) -> Tensor:
        """Some terms of Eq. 4; a sum, so that the others may be added later."""
        zero = next(iter(terms.values())).new_zeros(())
        every = dict.fromkeys(("gan_pix", "cyc", "cls_pix", "tri_pix"), zero) | terms
        return loss_pix(**every, lambda_cyc=self.config.loss.lambda_cyc, lambda_id_pix=self.config.loss.lambda_id_pix)

    def optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        return adam([self.networks[name] for name in self.trains], settings.pixel_lr, settings)


class DiscriminatorPhase(Phase):
    """Trains the discriminators of a method (Eq. 7 and 8), and D_rgb where there is a pixel module."""

    name = "discriminator"
    judge_of_rgb = "discriminator_rgb"
    prefix = "discriminator_"

    def __init__(
        self,
        config: "Config",
        networks: nn.ModuleDict,
        judges: Judges,
        stream: Stream,
        handover: Handover | None = None,
    ) -> None:
        """`handover` brings what the pixel phase made of the same batch; without it the phase makes it itself."""
        super().__init__(config, networks, stream)
        self._judges = judges
        self._handover = handover
        self._order_checked = False
        self.trains = tuple(name for name in networks if name.startswith(self.prefix))

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        self._check_order(labels)
        made = self._made(rgb, ir) if self._handover is None else self._handover.take()
        fake_ir, fake_rgb, real_maps, fake_maps = made
        next_ir = next_rows(ir, self.images_per_person)
        total, values = self._judges.discriminate(ir, fake_ir, real_maps, fake_maps, next_ir)
        if self.judge_of_rgb in self.networks:
            judge, form = self.networks[self.judge_of_rgb], self.config.loss.gan_loss
            loss, named = judge_pictures("rgb", judge, rgb, fake_rgb, form)
            total, values = total + loss, values | named
        return total, values

    @torch.no_grad()
    def _made(self, rgb: Tensor, ir: Tensor) -> Made:
        """X'_ir, X'_rgb, M_ir and M'_ir; the RGB pictures themselves stand for fake ones without a pixel module."""
        if "translator_ir" not in self.networks:
            return rgb, ir, *self.maps(ir, rgb)
        fake_ir = self.networks["translator_ir"](rgb)
        return fake_ir, self.networks["translator_rgb"](ir), *self.maps(ir, fake_ir)

    def _check_order(self, labels: Tensor) -> None:
        """Raise ValueError unless pictures one block of a person further on are always another person's."""
        # Once for all batches of a plan, as reading labels back waits for the device.
        if self._order_checked:
            return
        count = self.images_per_person
        if bool((labels == torch.cat([labels[count:], next_rows(labels, count)])).any()):
            raise ValueError(
                f"the {self.name} phase pairs each person's pictures with another person's, so a batch must hold "
                f"two or more persons in blocks of {count} rows; found labels {labels.tolist()}"
            )
        self._order_checked = True

    def optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        return adam([self.networks[name] for name in self.trains], settings.discriminator_lr, settings)
