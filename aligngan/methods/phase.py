"""What every phase is: networks that it trains, their optimiser, and one forward that returns named losses."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from aligngan.distributed import average_running_statistics
from aligngan.methods.config import OptimizerSettings
from aligngan.networks.backbone import pool

if TYPE_CHECKING:
    from aligngan.config import Config

Stream = Literal["main", "pixel"]
Values = dict[str, Tensor]


class Phase(nn.Module):
    """One of the alternating optimisation steps.

    A phase is one module with one forward, so that DistributedDataParallel sees one forward and one backward for
    each optimiser step. It holds all networks that it uses and trains those named in `trains`.
    """

    name: str
    trains: tuple[str, ...]

    def __init__(self, config: "Config", networks: nn.ModuleDict, stream: Stream) -> None:
        super().__init__()
        self.networks = networks
        self.config = config
        self.stream = stream
        pixel = config.train.pixel_batch
        size = pixel if stream == "pixel" and pixel is not None else config.data
        self.images_per_person = size.images_per_person

    def forward(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        """Return the loss to minimise and the phase's named values, detached scalars.

        Args:
            rgb, ir: pictures float [N, 3, H, W] in [-1, 1]; row i of both is the same person.
            labels: identities int64 [N].
        """
        total, values = self.losses(rgb, ir, labels)
        return total, {name: value.detach() for name, value in values.items()}

    def losses(self, rgb: Tensor, ir: Tensor, labels: Tensor) -> tuple[Tensor, Values]:
        """Return the loss to minimise and the named values it is made of."""
        raise NotImplementedError

    def optimizer(self) -> torch.optim.Optimizer:
        """Return a new optimiser over exactly the networks that the phase trains."""
        raise NotImplementedError

    def maps(self, ir: Tensor, fake_ir: Tensor) -> tuple[Tensor, Tensor]:
        """Return feature maps (M_ir, M'_ir); both modalities share one pass where the backbone is set to."""
        generator = self.networks["feature_generator"]
        if self.config.backbone.joint_statistics:
            real, fake = generator(torch.cat([ir, fake_ir])).chunk(2)
            return real, fake
        return generator(ir), generator(fake_ir)

    def identify(self, real_maps: Tensor, fake_maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (real logits, fake logits, real embedding, fake embedding) of feature maps (M_ir, M'_ir).

        The classifier's BatchNorm normalises what the backbone's does: both modalities together, or each by itself.
        """
        real, fake = pool(real_maps), pool(fake_maps)
        classify, embed = self.networks["classifier"], self.networks["embedder"]
        if self.config.backbone.joint_statistics:
            real_logits, fake_logits = classify(torch.cat([real, fake])).chunk(2)
        else:
            real_logits, fake_logits = classify(real), classify(fake)
        return real_logits, fake_logits, embed(real), embed(fake)


def sgd(networks: Mapping[str, nn.Module], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the feature module's optimiser (section 4.2)."""
    heads = [*networks["classifier"].parameters(), *networks["embedder"].parameters()]
    return torch.optim.SGD(
        [
            {"params": list(networks["feature_generator"].parameters()), "lr": settings.backbone_lr},
            {"params": heads, "lr": settings.head_lr},
        ],
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=True,
    )


def adam(networks: list[nn.Module], learning_rate: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return Adam over several networks (section 4.2)."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=learning_rate, betas=settings.betas, fused=True)


@contextlib.contextmanager
def only_trains(phase: Phase) -> Iterator[None]:
    """Let gradients and running statistics reach only the networks that a phase trains.

    Networks that it merely uses normalise by the batch's statistics, as in the phase that trains them, but do not
    remember them; every network needs gradient again afterwards. Every worker must enter and leave this, as leaving
    averages the running statistics of InstanceNorm over the workers.
    """
    others = [network for name, network in phase.networks.items() if name not in phase.trains]
    parameters = [parameter for network in others for parameter in network.parameters()]
    norms = [
        module for network in others for module in network.modules() if isinstance(module, _BatchNorm | _InstanceNorm)
    ]
    tracked = [module.track_running_stats for module in norms]
    # InstanceNorm would blend its statistics even with momentum 0, to rounding; it gets none to blend.
    hidden = [
        (module, module.running_mean, module.running_var) for module in norms if isinstance(module, _InstanceNorm)
    ]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        for module in norms:
            module.track_running_stats = False
        for module, _, _ in hidden:
            module.running_mean = module.running_var = None
        yield
        average_running_statistics(phase.networks[name] for name in phase.trains)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module, track in zip(norms, tracked, strict=True):
            module.track_running_stats = track
        for module, mean, variance in hidden:
            module.running_mean, module.running_var = mean, variance
