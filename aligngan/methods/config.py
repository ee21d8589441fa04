"""What a user can set about the phases: their optimisers and the warm-up stages."""

from pydantic import BaseModel, Field


class OptimizerSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """SGD for the feature phase, Adam for the pixel and discriminator phases (section 4.2)."""

    backbone_lr: float = Field(default=0.02, gt=0)
    """Learning rate of the backbone G_f."""
    head_lr: float = Field(default=0.2, gt=0)
    """Learning rate of classifier and embedder."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Nesterov momentum of SGD."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of SGD."""
    pixel_lr: float = Field(default=2e-4, gt=0)
    """Learning rate of the translators G_p and G_p'."""
    discriminator_lr: float = Field(default=2e-4, gt=0)
    """Learning rate of the discriminators."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the first and second moment."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Norm to which the gradient of each phase is cut back where it is longer; 0 is off."""
    decay_after: int = Field(default=5_000, ge=1)
    """Iterations of joint training after which every learning rate is multiplied by `decay_factor`."""
    decay_factor: float = Field(default=0.1, gt=0, le=1)
    """What learning rates are multiplied by."""


class StageSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Iterations of warm-up before joint training, counted in train.iterations."""

    feature_warmup: int = Field(default=0, ge=0)
    """First stage: the feature module on real infrared pictures only."""
    pixel_warmup: int = Field(default=0, ge=0)
    """Second stage, of methods with translators: a CycleGAN with discriminators of pictures only."""
