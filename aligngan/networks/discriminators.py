"""Discriminators: each returns a map of logits, one per patch (section 3.3; PatchGAN)."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aligngan.networks.config import DiscriminatorSettings
from aligngan.networks.initial import normal_convolutions
from aligngan.networks.instance_norm import InstanceNorm2d

_SMALLEST_SIDE = 4


def _convolution(inputs: int, outputs: int, side: int, bias: bool) -> tuple[nn.Conv2d, int]:
    """A convolution that halves a map whose shorter side is `side`, and the side that is left.

    A map of few pixels keeps its size instead: InstanceNorm of a map of one or two pixels leaves nothing of it.
    """
    if side // 2 < _SMALLEST_SIDE:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), side
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias), side // 2


def _stack(channels: list[int], side: int, norm_first: bool) -> tuple[nn.Sequential, int]:
    """Convolutions from one number of channels to the next, and the shorter side of the map after them."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
        norm = norm_first or number > 0
        # InstanceNorm takes a bias away again; Adam would move it by rounding errors alone.
        convolution, side = _convolution(inputs, outputs, side, bias=not norm)
        layers.append(convolution)
        if norm:
            layers.append(InstanceNorm2d(outputs))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers), side


class ImageDiscriminator(nn.Module):
    """Pictures [N, 3, H, W] to logits [N, 1, h, w]: real or fake."""

    def __init__(self, settings: DiscriminatorSettings, image_size: tuple[int, int]) -> None:
        super().__init__()
        width = settings.width
        self.model, _ = _stack([3, *(width * 2**n for n in range(5))], min(image_size), norm_first=False)
        self.conv_src = nn.Conv2d(width * 16, 1, 3, padding=1, bias=False)
        self.apply(normal_convolutions)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv_src(self.model(images))


class JointDiscriminator(nn.Module):
    """Image-feature pairs, [N, 3, H, W] and M [N, C, h, w], to logits: a real pair of one identity or not.

    Pictures go through `image_convs` and feature maps through `feature_convs` before they meet, so that what is in
    several pairs goes through its branch once: `judge(judge.image_convs(pictures), judge.feature_convs(maps))`.
    """

    def __init__(self, settings: DiscriminatorSettings, image_size: tuple[int, int], channels: int) -> None:
        super().__init__()
        width = settings.width
        self.image_convs, side = _stack([3, width, 2 * width, 4 * width], min(image_size), norm_first=False)
        self.feature_convs = nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2, inplace=True))
        self.dis_convs, _ = _stack([5 * width, 8 * width, 16 * width], side, norm_first=True)
        self.conv_src = nn.Conv2d(width * 16, 1, 3, padding=1, bias=False)
        self.apply(normal_convolutions)

    def forward(self, images: Tensor, maps: Tensor) -> Tensor:
        """Return the logits [N, 1, h', w'] of pairs from what the branches made of their pictures and maps."""
        maps = F.interpolate(maps, images.shape[-2:], mode="bilinear")
        return self.conv_src(self.dis_convs(torch.cat([images, maps], dim=1)))


class FeatureDiscriminator(nn.Module):
    """Feature maps M [N, C, h, w] to logits [N, 1, h, w]: of a real infrared picture or not (Figure 2a and 2b)."""

    def __init__(self, settings: DiscriminatorSettings, map_size: tuple[int, int], channels: int) -> None:
        """`map_size` is (h, w); maps of few pixels are not normalised, as InstanceNorm leaves nothing of them."""
        super().__init__()
        width = settings.width
        few = min(map_size) < _SMALLEST_SIDE
        self.model = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=few),
            nn.Identity() if few else InstanceNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.conv_src = nn.Conv2d(2 * width, 1, 3, padding=1, bias=False)
        self.apply(normal_convolutions)

    def forward(self, maps: Tensor) -> Tensor:
        return self.conv_src(self.model(maps))
