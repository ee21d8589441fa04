"""RegDB's evaluation: the whole list is the gallery, in both directions."""

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from aligngan.metrics import chance_rank1, retrieval_scores, to_numpy
from aligngan.protocols.result import ProtocolScores, over_trials
from aligngan.similarity import checked_features, cosine_distances

DIRECTIONS = ("visible2thermal", "thermal2visible")


def evaluate_regdb(
    visible_features: ArrayLike | Tensor,
    visible_ids: ArrayLike | Tensor,
    thermal_features: ArrayLike | Tensor,
    thermal_ids: ArrayLike | Tensor,
) -> dict[str, ProtocolScores]:
    """Score one split of RegDB in both directions; cosine similarity, CMC by image, no camera rule.

    Args:
        visible_features, thermal_features: [N, D] and [M, D]; numpy or torch, on any device.
        visible_ids, thermal_ids: integers [N] and [M].

    Returns:
        of `visible2thermal` (visible probes, thermal gallery) and `thermal2visible` the scores of this one trial.

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or when no probe has a match.
    """
    visible = checked_features(visible_features, "visible_features")
    thermal = checked_features(thermal_features, "thermal_features")
    for name, features in (("visible_features", visible), ("thermal_features", thermal)):
        if not len(features):
            raise ValueError(f"there are no probes: {name} is empty")
    distances = cosine_distances(visible, thermal)
    persons = to_numpy(visible_ids), to_numpy(thermal_ids)
    results = {}
    for direction, matrix, probe_ids, gallery_ids in (
        ("visible2thermal", distances, persons[0], persons[1]),
        ("thermal2visible", np.ascontiguousarray(distances.T), persons[1], persons[0]),
    ):
        scores = retrieval_scores(matrix, probe_ids, gallery_ids, cmc_by="image")
        chance = chance_rank1(probe_ids, gallery_ids)
        results[direction] = over_trials([scores], len(probe_ids), len(gallery_ids), chance)
    return results
