"""RegDB's evaluation: the whole list is the gallery, in both directions."""

from numpy.typing import ArrayLike
from torch import Tensor

from aligngan.metrics import to_numpy
from aligngan.protocols.plain import both_directions
from aligngan.protocols.result import ProtocolScores, ReRank
from aligngan.similarity import checked_features

DIRECTIONS = ("visible2thermal", "thermal2visible")


def evaluate_regdb(
    visible_features: ArrayLike | Tensor,
    visible_ids: ArrayLike | Tensor,
    thermal_features: ArrayLike | Tensor,
    thermal_ids: ArrayLike | Tensor,
    re_rank: ReRank | None = None,
) -> dict[str, ProtocolScores]:
    """Score one split of RegDB in both directions; cosine similarity, CMC by image, no camera rule.

    Args:
        visible_features, thermal_features: [N, D] and [M, D]; numpy or torch, on any device.
        visible_ids, thermal_ids: integers [N] and [M].
        re_rank: distances of probes to the gallery in place of cosine's.

    Returns:
        of `visible2thermal` (visible probes, thermal gallery) and `thermal2visible` the scores of this one trial.

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or when no probe has a match.
    """
    visible = checked_features(visible_features, "visible_features")
    thermal = checked_features(thermal_features, "thermal_features")
    results = both_directions(visible, to_numpy(visible_ids), thermal, to_numpy(thermal_ids), re_rank)
    return dict(zip(DIRECTIONS, results, strict=True))
