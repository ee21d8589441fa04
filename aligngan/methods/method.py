"""Each row of Table 4: its networks, its phases, and how it turns a picture into a feature."""

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from aligngan.methods.handover import Handover
from aligngan.methods.judges import JointJudge, Judges, SeparateJudges
from aligngan.methods.phase import Phase, Stream
from aligngan.methods.phases import DiscriminatorPhase, FeaturePhase, PixelPhase
from aligngan.methods.warmup import DiscriminatorWarmup, FeatureWarmup, PixelWarmup
from aligngan.networks.backbone import FeatureGenerator, pool
from aligngan.networks.discriminators import FeatureDiscriminator, ImageDiscriminator, JointDiscriminator
from aligngan.networks.heads import Classifier, Embedder
from aligngan.networks.translator import Translator

if TYPE_CHECKING:
    from aligngan.config import Config

_PIXEL_MODULE = ("pixalign", "aligngan-minus", "aligngan")
_DISCRIMINATOR_OF_PICTURES = ("pixalign", "aligngan-minus")
_DISCRIMINATOR_OF_MAPS = ("featalign", "aligngan-minus")


class Method:
    """Networks by name, and the phases that train them in turn.

    Networks: `feature_generator` (G_f), `classifier`, `embedder`; with a pixel module `translator_ir` (G_p),
    `translator_rgb` (G_p') and `discriminator_rgb`; then the discriminators of the method.
    """

    def __init__(self, networks: nn.ModuleDict, stages: list[tuple[int, tuple[Phase, ...]]]) -> None:
        """`stages` are (number of iterations, phases), the last of them without end."""
        self.networks = networks
        self._stages = stages
        self.phases = tuple(phase for _, phases in stages for phase in phases)

    def phases_at(self, iteration: int) -> tuple[Phase, ...]:
        """Return the phases of an iteration, counted from 0, in the order in which they run."""
        for length, phases in self._stages[:-1]:
            if iteration < length:
                return phases
            iteration -= length
        return self._stages[-1][1]

    def features(self, images: Tensor, modality: Literal["rgb", "ir"]) -> Tensor:
        """Return V [N, D] in float32: G_f(X_ir), or G_f(G_p(X_rgb)) where there is a pixel module (section 3.4).

        Args:
            images: float [N, 3, H, W] in [-1, 1], all of one modality.
            modality: `rgb` or `ir`.
        """
        if modality == "rgb" and self.translates:
            images = self.translate(images, "ir")
        return pool(self.networks["feature_generator"](images))

    @property
    def translates(self) -> bool:
        """Whether the method has a pixel module."""
        return "translator_ir" in self.networks

    def translate(self, images: Tensor, to: Literal["rgb", "ir"]) -> Tensor:
        """Return pictures of the other modality, float [N, 3, H, W] in [-1, 1]: G_p for `ir`, G_p' for `rgb`."""
        return self.networks[f"translator_{to}"](images)


def build_method(config: "Config", num_identities: int) -> Method:
    """Build a method of Table 4 with new weights from torch's global generator.

    Raises ValueError when the backbone's weights cannot be had.
    """
    networks = _networks(config, num_identities)
    stream: Stream = "main" if config.train.pixel_batch is None else "pixel"
    stages: list[tuple[int, tuple[Phase, ...]]] = []
    if config.stages.feature_warmup:
        stages.append((config.stages.feature_warmup, (FeatureWarmup(config, networks, "main"),)))
    if config.pixel_warmup:
        judges = SeparateJudges(config, networks, pictures="warmup_discriminator_ir", maps="none")
        handover = _handover(config)
        pixel = PixelWarmup(config, networks, judges, stream, handover)
        stages.append((config.pixel_warmup, (pixel, DiscriminatorWarmup(config, networks, judges, stream, handover))))
    stages.append((0, _joint_phases(config, networks, stream)))
    return Method(networks, stages)


def _networks(config: "Config", num_identities: int) -> nn.ModuleDict:
    generator = FeatureGenerator(config.backbone)
    networks = nn.ModuleDict(
        {
            "feature_generator": generator,
            "classifier": Classifier(generator.channels, num_identities, config.heads),
            "embedder": Embedder(generator.channels, config.heads),
        }
    )
    method, settings, size = config.method, config.discriminator, config.data.image_size
    if method in _PIXEL_MODULE:
        networks["translator_ir"] = Translator(config.translator)
        networks["translator_rgb"] = Translator(config.translator)
        networks["discriminator_rgb"] = ImageDiscriminator(settings, size)
    if method in _DISCRIMINATOR_OF_PICTURES:
        networks["discriminator_ir"] = ImageDiscriminator(settings, size)
    if method in _DISCRIMINATOR_OF_MAPS:
        networks["discriminator_feature"] = FeatureDiscriminator(settings, generator.map_size, generator.channels)
    if method == "aligngan":
        networks["discriminator_joint"] = JointDiscriminator(settings, size, generator.channels)
    if config.pixel_warmup:
        networks["warmup_discriminator_ir"] = ImageDiscriminator(settings, size)
        networks["warmup_discriminator_rgb"] = ImageDiscriminator(settings, size)
    return networks


def _joint_phases(config: "Config", networks: nn.ModuleDict, stream: Stream) -> tuple[Phase, ...]:
    if config.method == "baseline":
        return (FeaturePhase(config, networks, None),)
    joint = config.method == "aligngan"
    handover = _handover(config)
    judges: Judges = JointJudge(config, networks) if joint else SeparateJudges(config, networks)
    # PixAlign aligns pictures only: G_f has no adversary.
    feature = FeaturePhase(config, networks, None if config.method == "pixalign" else judges)
    if config.method not in _PIXEL_MODULE:
        return (feature, DiscriminatorPhase(config, networks, judges, "main"))
    pixel = PixelPhase(config, networks, judges, stream, handover)
    return (feature, pixel, DiscriminatorPhase(config, networks, judges, stream, handover))


def _handover(config: "Config") -> Handover | None:
    return Handover() if config.train.reuse_fakes else None
