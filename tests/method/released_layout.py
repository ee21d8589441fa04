"""The released model's eight networks by layer and key name, sharing nothing with the project's own."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase


def norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(2)]
        self.model = nn.Sequential(convolutions[0], norm(channels), nn.ReLU(), convolutions[1], norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


class Translator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 7, 1, 3, bias=False), norm(width), nn.ReLU()]
        for inputs in (width, 2 * width):
            layers += [nn.Conv2d(inputs, 2 * inputs, 4, 2, 1, bias=False), norm(2 * inputs), nn.ReLU()]
        layers += [Block(4 * width) for _ in range(4)]
        for inputs in (4 * width, 2 * width):
            layers += [nn.ConvTranspose2d(inputs, inputs // 2, 4, 2, 1, bias=False), norm(inputs // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def halving(channels: list[int], first_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(len(channels) - 1):
        layers.append(nn.Conv2d(channels[number], channels[number + 1], 4, 2, 1))
        if number or first_norm:
            layers.append(nn.InstanceNorm2d(channels[number + 1]))
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers)


class ImageDiscriminator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = halving([3, *(width * 2**n for n in range(5))], first_norm=False)
        self.conv_src = nn.Conv2d(16 * width, 1, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_src(self.model(x))


class JointDiscriminator(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.image_convs = halving([3, width, 2 * width, 4 * width], first_norm=False)
        self.feature_convs = nn.Sequential(nn.Conv2d(features, width, 1), nn.LeakyReLU(0.2))
        self.dis_convs = halving([5 * width, 8 * width, 16 * width], first_norm=True)
        self.conv_src = nn.Conv2d(16 * width, 1, 3, 1, 1, bias=False)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        seen = F.interpolate(self.feature_convs(maps), [16, 16], mode="bilinear")
        return self.conv_src(self.dis_convs(torch.cat([self.image_convs(x), seen], 1)))


class Encoder(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        net = torchvision.models.get_model(name, weights=None)
        for module in net.layer4[0].modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
        stages = (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4)
        self.resnet_conv = nn.Sequential(*stages)
        self.features: int = net.fc.in_features

    def forward(self, x: Tensor) -> Tensor:
        return self.resnet_conv(x)


class Bottle(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.bottle = nn.Sequential(nn.Linear(features, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.1))
        self.classifier = nn.Sequential(nn.Linear(256, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.bottle(x))


class Heads(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classifier0 = Bottle(features, classes)
        self.embedder0 = nn.Linear(features, 256)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        vectors = maps.mean((2, 3))
        return self.classifier0(vectors), self.embedder0(vectors)


def released_networks(classes: int, width: int = 64, backbone: str = "resnet50") -> list[nn.Module]:
    """Return the eight networks with weights, biases and running statistics that all matter, for evaluation."""
    torch.manual_seed(0)
    encoder = Encoder(backbone)
    networks: list[nn.Module] = [Translator(width), Translator(width), ImageDiscriminator(width)]
    networks += [JointDiscriminator(width, encoder.features), ImageDiscriminator(width), ImageDiscriminator(width)]
    networks += [encoder, Heads(encoder.features, classes)]
    for network in networks:
        for module in network.modules():
            if isinstance(module, _NormBase) and module.running_mean is not None and module.running_var is not None:
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.normal_(module.weight, 1.0, 0.2)
                nn.init.normal_(module.bias, std=0.2)
    return [network.eval() for network in networks]


def save(networks: list[nn.Module], folder: Path, step: int) -> None:
    """Write the files as torch 1.1 did under DataParallel."""
    folder.mkdir(exist_ok=True)
    for number, network in enumerate(networks):
        state = {f"module.{key}": value for key, value in network.state_dict().items()}
        torch.save(state, folder / f"model-{number}_{step}.pkl", _use_new_zipfile_serialization=False)
