"""What a user can set about the training loop."""

from typing import Literal

from pydantic import BaseModel, Field


class PixelBatchSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """A batch of their own for the pixel and discriminator phases."""

    persons_per_batch: int = Field(default=4, ge=2)
    """Persons in this batch; divisible by the number of workers."""
    images_per_person: int = Field(default=4, ge=1)
    """Pictures of each person and modality."""


class TrainSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """How long, how exactly and from which seed."""

    iterations: int = Field(default=10_000, ge=1)
    """Iterations in all, warm-up stages included; one iteration runs every phase once."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, batches, augmentations and dropout."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks (losses are always float32); `auto` is bfloat16 where the processor has it."""
    channels_last: bool = True
    """Keep pictures and feature maps in channels-last memory, which convolutions prefer."""
    compile: bool = False
    """Compile the networks (torch.compile): the first iterations and evaluation take minutes, the others less."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Evaluate moving averages of G_p and G_f, which keep this share of themselves each iteration; 0 is off."""
    report_every: int = Field(default=10, ge=1)
    """Iterations between two progress reports."""
    reuse_fakes: bool = False
    """Train the discriminators on what the pixel phase made before its update, instead of making it anew."""
    pixel_batch: PixelBatchSettings | None = None
    """Batch of the pixel and discriminator phases; null shares the feature phase's batch."""
