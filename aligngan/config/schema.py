"""The whole configuration: one section per room, each defined beside the code that it configures."""

from typing import Literal

from pydantic import BaseModel

from aligngan.losses.config import LossSettings
from aligngan.methods.config import OptimizerSettings, StageSettings
from aligngan.networks.config import BackboneSettings, DiscriminatorSettings, HeadSettings, TranslatorSettings
from aligngan.retrieval_config import EvaluationSettings
from aligngan.training.config import TrainSettings
from cluster.config import CheckpointSettings, RunSettings
from loaders.config import DataSettings

MethodName = Literal["aligngan", "aligngan-minus", "pixalign", "featalign", "baseline"]


class Config(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """One training, from pictures to scores."""

    method: MethodName = "aligngan"
    """Row of the paper's Table 4."""
    data: DataSettings = DataSettings()
    """Pictures and batches."""
    backbone: BackboneSettings = BackboneSettings()
    """Feature generator G_f."""
    translator: TranslatorSettings = TranslatorSettings()
    """Pixel generators G_p and G_p'."""
    heads: HeadSettings = HeadSettings()
    """Classifier and embedder."""
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    """Discriminators."""
    loss: LossSettings = LossSettings()
    """Terms of the equations and their weights."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Learning rates and their decay."""
    stages: StageSettings = StageSettings()
    """Warm-up before the joint training."""
    train: TrainSettings = TrainSettings()
    """Length, seed and arithmetic of the training."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """When and how retrieval is scored."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """How often progress is made safe."""
    run: RunSettings = RunSettings()
    """Where and on how many workers."""

    @property
    def pixel_warmup(self) -> int:
        """Iterations of the pixel warm-up; methods without translators have none."""
        return 0 if self.method in ("baseline", "featalign") else self.stages.pixel_warmup

    @property
    def warmup(self) -> int:
        """Iterations before joint training begins."""
        return self.stages.feature_warmup + self.pixel_warmup
