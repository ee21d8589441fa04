"""What a user can set about the networks."""

from typing import Literal

from pydantic import BaseModel, Field


class BackboneSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """The feature generator G_f."""

    name: Literal["resnet10", "resnet18", "resnet34", "resnet50", "resnet101"] = "resnet50"
    """Residual network; resnet10 has one block a stage and no published weights."""
    weights: str = "imagenet"
    """Initial weights: `imagenet` (downloaded by torchvision), `none`, or the path of a torchvision state dict."""
    image_size: tuple[int, int] = (384, 192)
    """Height and width to which pictures are resized before the backbone."""
    joint_statistics: bool = True
    """Normalise infrared and fake infrared pictures of a batch together (true) or each modality by itself (false)."""
    recompute: bool = False
    """Compute the first layers' activations again in the backward pass: a third less memory for a little more time."""


class TranslatorSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """The pixel generators G_p and G_p'."""

    width: int = Field(default=64, ge=1)
    """Channels of the first convolution; doubled twice on the way down."""
    blocks: int = Field(default=4, ge=0)
    """Residual blocks."""
    running_statistics: bool = False
    """Keep running statistics in InstanceNorm and use them in evaluation, which then differs from training."""


class HeadSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Classifier and embedder on the feature vector V."""

    bottleneck: int = Field(default=256, ge=1)
    """Width of the classifier's middle layer."""
    embedding: int = Field(default=256, ge=1)
    """Width of the embedding that the triplet loss compares."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of the classifier."""
    dropout_on: Literal["bottleneck", "feature"] = "bottleneck"
    """Where dropout acts: after the middle layer's BatchNorm, or on V itself."""
    negative_slope: float = Field(default=0.0, ge=0, lt=1)
    """Slope of the middle layer's LeakyReLU below zero; 0 is ReLU."""


class DiscriminatorSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """All discriminators."""

    width: int = Field(default=64, ge=1)
    """Channels of the first convolution."""
