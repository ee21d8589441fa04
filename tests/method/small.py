"""A method small enough that all its phases run in a fraction of a second, and batches for it."""

import torch
from torch import Tensor, nn

from aligngan.config import Config, resolve
from aligngan.methods.method import Method, build_method
from aligngan.networks.discriminators import JointDiscriminator

METHODS = ("aligngan", "aligngan-minus", "pixalign", "featalign", "baseline")
PERSONS, IMAGES = 4, 2
_SIZES = (
    "data.image_size=[16, 16]",
    f"data.persons_per_batch={PERSONS}",
    f"data.images_per_person={IMAGES}",
    "backbone.name=resnet10",
    "backbone.weights=none",
    "backbone.image_size=[32, 16]",
    "translator.width=4",
    "translator.blocks=1",
    "discriminator.width=4",
)
# The demo's networks under the paper's schedule: no warm-up, one batch for all phases.
ONE_STAGE = ("stages.feature_warmup=0", "stages.pixel_warmup=0", "train.pixel_batch=null")
# The released recipe with one iteration of each warm-up, its pixel phase as large as the other batch.
RELEASED = (
    "stages.feature_warmup=1",
    "stages.pixel_warmup=1",
    f"train.pixel_batch.persons_per_batch={PERSONS}",
    f"train.pixel_batch.images_per_person={IMAGES}",
)


def small_config(method: str = "aligngan", *overrides: str, preset: str = "demo") -> Config:
    """Return a preset at the smallest size."""
    released = RELEASED if preset == "released" else ()
    stages = ONE_STAGE if preset == "demo" else ()
    return resolve(preset, overrides=[f"method={method}", *_SIZES, *stages, *released, *overrides])


def small_method(config: Config, identities: int = PERSONS) -> Method:
    """Return a method with the same weights every time."""
    torch.manual_seed(0)
    return build_method(config, identities)


def batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return (rgb, ir, labels), persons in blocks."""
    generator = torch.Generator().manual_seed(seed)
    rows = PERSONS * IMAGES
    rgb, ir = (torch.rand(rows, 3, 16, 16, dtype=dtype, generator=generator) * 2 - 1 for _ in range(2))
    return rgb, ir, torch.arange(PERSONS).repeat_interleave(IMAGES)


def judged(judge: nn.Module, pictures: Tensor, maps: Tensor) -> Tensor:
    """Return a joint discriminator's logits of pairs."""
    assert isinstance(judge, JointDiscriminator)
    return judge(judge.image_convs(pictures), judge.feature_convs(maps))


class Pairs:
    """Remembers the pairs that a joint discriminator was shown, as the pictures and maps given to its branches."""

    def __init__(self, judge: nn.Module) -> None:
        assert isinstance(judge, JointDiscriminator)
        self.shown: list[tuple[Tensor, Tensor]] = []
        self._given: list[tuple[Tensor, Tensor]] = []
        for branch in (judge.image_convs, judge.feature_convs):
            branch.register_forward_hook(lambda module, given, made: self._given.append((given[0], made)))
        judge.register_forward_pre_hook(self._remember)

    def clear(self) -> None:
        self.shown.clear()
        self._given.clear()

    def _remember(self, module: nn.Module, pair: tuple[Tensor, Tensor]) -> None:
        self.shown.append((self._source(pair[0]), self._source(pair[1])))

    def _source(self, made: Tensor) -> Tensor:
        for given, whole in self._given:
            if whole is made:
                return given
        rows = [self._row(row) for row in made]
        return torch.stack(rows)

    def _row(self, made: Tensor) -> Tensor:
        """The row whose branch ended in this row; the newest, as weights change."""
        for given, whole in reversed(self._given):
            for row, other in zip(given, whole, strict=True):
                if other.shape == made.shape and torch.equal(other, made):
                    return row.detach()
        raise AssertionError("no branch made this row")
