"""Feature generator G_f (section 3.2): a residual network whose last stage keeps its resolution."""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from aligngan.networks.config import BackboneSettings

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_EARLY = 5
"""Stem and first stage: a fifth of the arithmetic and two fifths of the activations."""


class FeatureGenerator(nn.Module):
    """Pictures float [N, 3, H, W] in [-1, 1] of any size to feature maps M [N, `channels`, h, w].

    Pictures are resized bilinearly to `image_size` and normalised with ImageNet's mean and standard deviation.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, settings: BackboneSettings) -> None:
        """Raises ValueError when the weights cannot be had; the message says how to provide them."""
        super().__init__()
        network = _residual_network(settings)
        self.channels: int = network.fc.in_features
        self.image_size = settings.image_size
        self.recompute = settings.recompute
        # The stem halves twice, the second and third stage once each; odd sides are rounded up.
        self.map_size = (-(-settings.image_size[0] // 16), -(-settings.image_size[1] // 16))
        _keep_resolution(network.layer4[0])
        self.trunk = nn.Sequential(
            network.conv1,
            network.bn1,
            network.relu,
            network.maxpool,
            network.layer1,
            network.layer2,
            network.layer3,
            network.layer4,
        )
        # ((x + 1) / 2 - mean) / std as one product and one sum.
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD))
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # The small picture is normalised: weights of a bilinear mean add up to 1, so that it is the same as afterwards.
        images = torch.addcmul(self.shift, _precise(images), self.scale)
        if tuple(images.shape[-2:]) != self.image_size:
            images = F.interpolate(images, self.image_size, mode="bilinear")
        if self.recompute and torch.is_grad_enabled():
            maps = checkpoint(
                self._early, images, use_reentrant=False, preserve_rng_state=False, context_fn=self._again
            )
        else:
            maps = self._early(images)
        return self.trunk[_EARLY:](maps)

    def _early(self, images: Tensor) -> Tensor:
        return self.trunk[:_EARLY](images)

    def _again(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        """Contexts of the first and of the second pass; the second must not enter the running statistics again."""
        return contextlib.nullcontext(), _remembering_nothing(self.trunk[:_EARLY])


@contextlib.contextmanager
def _remembering_nothing(layers: nn.Module) -> Iterator[None]:
    """Normalise as before, with running statistics that stay as they are."""
    norms = [module for module in layers.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def pool(maps: Tensor) -> Tensor:
    """Return feature vectors V [N, C], the mean over space of feature maps M [N, C, h, w], in float32 or better."""
    return _precise(maps).mean(dim=(2, 3))


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _residual_network(settings: BackboneSettings) -> torchvision.models.ResNet:
    if settings.name == "resnet10":
        network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    else:
        network = torchvision.models.get_model(settings.name, weights=None)
    if settings.weights != "none":
        _load(network, settings)
    return network


def _load(network: torchvision.models.ResNet, settings: BackboneSettings) -> None:
    # The classifier of a pre-training is not used, whatever its number of classes.
    state = {key: value for key, value in _weights(settings).items() if not key.startswith("fc.")}
    try:
        network.load_state_dict(state | {f"fc.{key}": value for key, value in network.fc.state_dict().items()})
    except RuntimeError as error:
        raise ValueError(
            f"backbone.weights={settings.weights} does not fit backbone.name={settings.name}: {error}"
        ) from error


def _weights(settings: BackboneSettings) -> dict[str, Tensor]:
    if settings.weights != "imagenet":
        return _file(settings.weights)
    if settings.name == "resnet10":
        raise ValueError("backbone.weights=imagenet: there are none for resnet10; use backbone.weights=none")
    weights = torchvision.models.get_model_weights(settings.name).DEFAULT
    if settings.name == "resnet50":
        # The older of two published sets: the paper is older than the newer one.
        weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(check_hash=True)
    except OSError as error:
        raise ValueError(
            f"backbone.weights=imagenet: {weights.url} cannot be downloaded ({error}); download it where there is a "
            "network and give its path on every node with backbone.weights=PATH, or train from scratch with "
            "backbone.weights=none"
        ) from error


def _file(path: str) -> dict[str, Tensor]:
    try:
        state = torch.load(Path(path), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"backbone.weights={path} cannot be read as a file that torch.save wrote: {error}") from error
    if not isinstance(state, dict) or "conv1.weight" not in state:
        raise ValueError(f"backbone.weights={path} is not a state dict of a torchvision ResNet: it has no conv1.weight")
    return state


def _keep_resolution(block: nn.Module) -> None:
    """Set the stride of a stage's first block to 1, as re-identification does for finer maps."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
