"""Phases of the released recipe's two warm-up stages."""

import torch
from torch import Tensor

from aligngan.distributed import gather_rows
from aligngan.losses.identity import classification, triplet
from aligngan.methods.phase import Phase, Values, sgd
from aligngan.methods.phases import DiscriminatorPhase, PixelPhase
from aligngan.networks.backbone import pool


class FeatureWarmup(Phase):
    """Trains G_f, classifier and embedder on real infrared pictures only: classification and triplet loss."""

    name = "feature_warmup"
    trains = ("feature_generator", "classifier", "embedder")

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        features = pool(self.networks["feature_generator"](ir))
        rows, every_label = gather_rows(self.networks["embedder"](features)), gather_rows(labels)
        margin = self.config.loss.margin
        values = {
            "cls_feat": classification(self.networks["classifier"](features), labels),
            "tri_feat": triplet(rows, rows, rows, every_label, every_label, every_label, margin),
        }
        return values["cls_feat"] + values["tri_feat"], values

    def optimizer(self) -> torch.optim.Optimizer:
        return sgd(dict(self.networks.items()), self.config.optimizer)


class PixelWarmup(PixelPhase):
    """Trains G_p and G_p' as a CycleGAN whose discriminators see pictures only."""

    name = "pixel_warmup"
    judge_of_rgb = "warmup_discriminator_rgb"


class DiscriminatorWarmup(DiscriminatorPhase):
    """Trains the discriminators of the pixel warm-up."""

    name = "discriminator_warmup"
    judge_of_rgb = "warmup_discriminator_rgb"
    prefix = "warmup_discriminator_"
