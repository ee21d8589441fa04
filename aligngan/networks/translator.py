"""Pixel generators G_p and G_p' (section 3.1)."""

from torch import Tensor, nn

from aligngan.networks.config import TranslatorSettings
from aligngan.networks.initial import normal_convolutions
from aligngan.networks.instance_norm import InstanceNorm2d


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with InstanceNorm, added to the input."""

    def __init__(self, channels: int, running_statistics: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm2d(channels, affine=True, track_running_stats=running_statistics),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm2d(channels, affine=True, track_running_stats=running_statistics),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.model(images)


class Translator(nn.Module):
    """Pictures of one modality to pictures of the other, float [N, 3, H, W] in [-1, 1]; H and W divisible by 4."""

    def __init__(self, settings: TranslatorSettings) -> None:
        super().__init__()
        width, running = settings.width, settings.running_statistics

        def normalised(convolution: nn.Module, channels: int) -> list[nn.Module]:
            norm = InstanceNorm2d(channels, affine=True, track_running_stats=running)
            return [convolution, norm, nn.ReLU(inplace=True)]

        self.model = nn.Sequential(
            *normalised(nn.Conv2d(3, width, 7, padding=3, bias=False), width),
            *normalised(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), 2 * width),
            *normalised(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1, bias=False), 4 * width),
            *(ResidualBlock(4 * width, running) for _ in range(settings.blocks)),
            *normalised(nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1, bias=False), 2 * width),
            *normalised(nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), width),
            nn.Conv2d(width, 3, 7, padding=3, bias=False),
            nn.Tanh(),
        )
        self.apply(normal_convolutions)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)
