"""Evaluation without a data set's own rules: all pictures of the other modality are the gallery, both ways."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from aligngan.metrics import chance_rank1, retrieval_scores, to_numpy
from aligngan.protocols.result import ProtocolScores, ReRank, over_trials
from aligngan.similarity import checked_features, cosine_distances

PLAIN_DIRECTIONS = ("rgb2ir", "ir2rgb")


def evaluate_plain(
    rgb_features: ArrayLike | Tensor,
    rgb_ids: ArrayLike | Tensor,
    ir_features: ArrayLike | Tensor,
    ir_ids: ArrayLike | Tensor,
    re_rank: ReRank | None = None,
) -> dict[str, ProtocolScores]:
    """Score a data set in both directions; cosine similarity, CMC by image, no camera rule.

    Persons seen in one modality only are searched for in vain and are not counted.

    Args:
        rgb_features, ir_features: [N, D] and [M, D]; numpy or torch, on any device.
        rgb_ids, ir_ids: integers [N] and [M].
        re_rank: distances of probes to the gallery in place of cosine's.

    Returns:
        of `rgb2ir` (RGB probes, infrared gallery) and `ir2rgb` the scores of this one trial.

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or when no probe has a match.
    """
    rgb, ir = checked_features(rgb_features, "rgb_features"), checked_features(ir_features, "ir_features")
    results = both_directions(rgb, to_numpy(rgb_ids), ir, to_numpy(ir_ids), re_rank)
    return dict(zip(PLAIN_DIRECTIONS, results, strict=True))


def both_directions(
    left: NDArray[np.float32],
    left_ids: NDArray[np.integer],
    right: NDArray[np.float32],
    right_ids: NDArray[np.integer],
    re_rank: ReRank | None = None,
) -> tuple[ProtocolScores, ProtocolScores]:
    """Return the scores of searching the right rows for the left ones, and the other way round.

    Raises ValueError where either side is empty.
    """
    if not len(left) or not len(right):
        raise ValueError(
            f"there are no probes: {len(left)} pictures in one modality, {len(right)} in the other, one needed in each"
        )
    if re_rank is not None:
        return (
            _scored(re_rank(left, right), left_ids, right_ids),
            _scored(re_rank(right, left), right_ids, left_ids),
        )
    distances = cosine_distances(left, right)
    return (
        _scored(distances, left_ids, right_ids),
        _scored(np.ascontiguousarray(distances.T), right_ids, left_ids),
    )


def _scored(
    distances: NDArray[np.float32], probe_ids: NDArray[np.integer], gallery_ids: NDArray[np.integer]
) -> ProtocolScores:
    scores = retrieval_scores(distances, probe_ids, gallery_ids, cmc_by="image")
    return over_trials([scores], len(probe_ids), len(gallery_ids), chance_rank1(probe_ids, gallery_ids))
