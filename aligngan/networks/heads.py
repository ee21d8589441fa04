"""Classifier and embedder on the feature vector V (section 4.2)."""

from torch import Tensor, nn

from aligngan.networks.config import HeadSettings


class Classifier(nn.Module):
    """Feature vectors [N, D] to identity logits [N, identities], through a normalised bottleneck."""

    def __init__(self, features: int, identities: int, settings: HeadSettings) -> None:
        super().__init__()
        on_feature = settings.dropout_on == "feature"
        self.dropout = nn.Dropout(settings.dropout if on_feature else 0.0)
        linear = nn.Linear(features, settings.bottleneck)
        self.bottle = nn.Sequential(
            linear,
            nn.BatchNorm1d(settings.bottleneck),
            nn.Dropout(0.0 if on_feature else settings.dropout),
            nn.LeakyReLU(settings.negative_slope),
        )
        self.classifier = nn.Linear(settings.bottleneck, identities)
        nn.init.kaiming_normal_(linear.weight, mode="fan_out")
        nn.init.zeros_(linear.bias)
        # Small logits at first: identities start equally likely.
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.bottle(self.dropout(features)))


class Embedder(nn.Module):
    """Feature vectors [N, D] to the embedding [N, E] that the triplet loss compares."""

    def __init__(self, features: int, settings: HeadSettings) -> None:
        super().__init__()
        self.embedder = nn.Linear(features, settings.embedding)

    def forward(self, features: Tensor) -> Tensor:
        return self.embedder(features)
