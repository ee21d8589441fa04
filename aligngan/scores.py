"""Scores of a data set with everything that says what they are: a tree of plain values for JSON."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from aligngan.features import FEATURE, FLIP_FEATURE
from aligngan.metrics import intra_class_similarity, to_numpy
from aligngan.protocols import ProtocolScores, evaluate_plain, evaluate_regdb
from aligngan.protocols.plain import PLAIN_DIRECTIONS
from aligngan.protocols.regdb import DIRECTIONS
from aligngan.protocols.result import ReRank
from aligngan.protocols.sysu_mm01 import evaluate_searches
from aligngan.reranking import RE_RANKING, re_ranked_distances
from aligngan.retrieval_config import EvaluationSettings
from aligngan.similarity import checked_features
from loaders.dataset import Dataset

SCORE_NAMES = ("R1", "R5", "R10", "R20", "mAP", "mINP")
DATA_SET_TITLES = {"sysu-mm01": "SYSU-MM01", "regdb": "RegDB", "synthetic": "synthetic set"}


def score_dataset(
    dataset: Dataset,
    features: ArrayLike | Tensor,
    settings: EvaluationSettings,
    method: str,
    checkpoint: str | None = None,
    checkpoint_digest: str | None = None,
    iteration: int | None = None,
    skipped: Sequence[str] = (),
) -> dict[str, Any]:
    """Score the test pictures of a data set on every search that the settings name.

    Args:
        dataset: its protocol decides who is compared with whom.
        features: [len(dataset.test), D], row i of `dataset.test[i]`, as `extract_features` gives.
        settings: modes and shots, gallery draw, and whether the features are averaged over flips.
        method, checkpoint, checkpoint_digest, iteration: where the features come from, kept as they are.
        skipped: paths of pictures that could not be read; their rows are left out, whatever they hold.

    Returns:
        plain values for JSON; scores in percent. `searches` is a list with one entry per mode and shots, or direction.

    Raises:
        ValueError: for features that are not finite or do not fit the test pictures, and where a skipped picture
            stands in SYSU-MM01's official gallery.
    """
    matrix = to_numpy(features)
    if len(matrix) != len(dataset.test):
        raise ValueError(f"features have {len(matrix)} rows, {dataset.name} has {len(dataset.test)} test pictures")
    if skipped:
        dataset, matrix = _without(dataset, matrix, set(skipped))
    matrix = checked_features(matrix)
    ids = np.array([picture.person for picture in dataset.test], dtype=np.int64)
    is_rgb = np.array([picture.modality == "rgb" for picture in dataset.test], dtype=bool)
    try:
        searches = _SEARCHES[dataset.protocol](dataset, matrix, ids, is_rgb, settings)
    except ValueError as error:
        if not skipped:
            raise
        raise ValueError(f"{error}\n{len(skipped)} pictures were skipped: {', '.join(skipped)}") from None
    return {
        "data_set": dataset.name,
        "protocol": dataset.protocol,
        "method": method,
        "iteration": iteration,
        "checkpoint": checkpoint,
        "checkpoint_digest": checkpoint_digest,
        "feature": FLIP_FEATURE if settings.flip else FEATURE,
        "similarity": "cosine",
        "re_ranking": "none" if settings.re_ranking == "none" else RE_RANKING,
        "test_persons": len(np.unique(ids)),
        "skipped_pictures": list(skipped),
        "unit": "percent",
        "searches": searches,
        "iccs": iccs(matrix, ids, is_rgb),
    }


def iccs(
    features: NDArray[np.floating], ids: NDArray[np.integer], is_rgb: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Return the mean intra-class cosine similarity (Table 1) of the four query-gallery pairings, in [-1, 1].

    Args:
        features: [N, D].
        ids, is_rgb: [N].
    """
    rgb, ir = (features[is_rgb], ids[is_rgb]), (features[~is_rgb], ids[~is_rgb])
    return {
        "rgb2rgb": intra_class_similarity(*rgb),
        "ir2ir": intra_class_similarity(*ir),
        "ir2rgb": intra_class_similarity(*ir, *rgb),
        "rgb2ir": intra_class_similarity(*rgb, *ir),
    }


def join_trials(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one tree for the models of several RegDB trials: means and deviations are over all of them.

    `checkpoint` and `checkpoint_digest` become lists, `iccs` the mean.

    Raises:
        ValueError: when the trials are not different trials of RegDB evaluated alike.
    """
    if not trials:
        raise ValueError("there are no trials to join")
    alike = ("data_set", "protocol", "method", "feature", "re_ranking")
    first = trials[0]
    for scores in trials:
        if scores["protocol"] != "regdb" or any(scores[key] != first[key] for key in alike):
            raise ValueError(f"only trials of RegDB with the same {', '.join(alike)} can be joined")
    numbers = [number for scores in trials for number in scores["searches"][0]["trials"]]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"each RegDB trial counts once, found trials {numbers}")
    searches = []
    for same in zip(*(scores["searches"] for scores in trials), strict=True):
        per_trial = {name: [value for search in same for value in search["per_trial"][name]] for name in SCORE_NAMES}
        searches.append({**same[0], "trials": numbers, **_summary(per_trial)})
    pairings = {}
    for name in first["iccs"]:
        values = [scores["iccs"][name] for scores in trials]
        pairings[name] = None if None in values else float(np.mean(values))
    lists = {key: [scores[key] for scores in trials] for key in ("checkpoint", "checkpoint_digest")}
    skipped = [path for scores in trials for path in scores["skipped_pictures"]]
    return {**first, **lists, "skipped_pictures": skipped, "searches": searches, "iccs": pairings}


def _without(dataset: Dataset, features: NDArray, skipped: set[str]) -> tuple[Dataset, NDArray]:
    kept = [row for row, picture in enumerate(dataset.test) if picture.path not in skipped]
    return replace(dataset, test=tuple(dataset.test[row] for row in kept)), features[kept]


def _sysu_mm01_searches(
    dataset: Dataset,
    features: NDArray[np.float32],
    ids: NDArray[np.integer],
    is_rgb: NDArray[np.bool_],
    settings: EvaluationSettings,
) -> list[dict[str, Any]]:
    cameras, numbers = np.array([(p.camera, p.number) for p in dataset.test], dtype=np.int64).reshape(-1, 2).T
    wanted = [(mode, shots) for mode in settings.modes for shots in settings.shots]
    results = evaluate_searches(
        *(features, ids, cameras, numbers, dataset.permutations, wanted),
        gallery_draw=settings.gallery_draw,
        re_rank=_re_rank(settings),
    )
    return [
        {"mode": mode, "shots": shots, "gallery_draw": settings.gallery_draw, **_search(result)}
        for (mode, shots), result in results.items()
    ]


def _regdb_searches(
    dataset: Dataset,
    features: NDArray[np.float32],
    ids: NDArray[np.integer],
    is_rgb: NDArray[np.bool_],
    settings: EvaluationSettings,
) -> list[dict[str, Any]]:
    visible, thermal = (features[is_rgb], ids[is_rgb]), (features[~is_rgb], ids[~is_rgb])
    results = evaluate_regdb(*visible, *thermal, re_rank=_re_rank(settings))
    return [
        {"direction": direction, "gallery_draw": "whole list", **_search(results[direction]), "trials": [dataset.trial]}
        for direction in DIRECTIONS
    ]


def _plain_searches(
    dataset: Dataset,
    features: NDArray[np.float32],
    ids: NDArray[np.integer],
    is_rgb: NDArray[np.bool_],
    settings: EvaluationSettings,
) -> list[dict[str, Any]]:
    rgb, ir = (features[is_rgb], ids[is_rgb]), (features[~is_rgb], ids[~is_rgb])
    results = evaluate_plain(*rgb, *ir, re_rank=_re_rank(settings))
    return [
        {
            "direction": direction,
            "gallery_draw": "all pictures",
            **_search(results[direction]),
            "trials": [dataset.trial],
        }
        for direction in PLAIN_DIRECTIONS
    ]


_SEARCHES = {"sysu-mm01": _sysu_mm01_searches, "regdb": _regdb_searches, "plain": _plain_searches}


def _re_rank(settings: EvaluationSettings) -> ReRank | None:
    return None if settings.re_ranking == "none" else re_ranked_distances


def _search(result: ProtocolScores) -> dict[str, Any]:
    values = {f"R{k}": result.rank(k) for k in (1, 5, 10, 20)} | {"mAP": result.mean_ap, "mINP": result.mean_inp}
    return {
        "probes": result.probes_in_all,
        "probes_counted": result.probes,
        "gallery_rows": result.gallery_rows,
        "chance_R1": 100 * result.chance_rank1,
        "trials": list(range(1, result.trials + 1)),
        **_summary({name: (100 * values[name]).tolist() for name in SCORE_NAMES}),
    }


def _summary(per_trial: dict[str, list[float]]) -> dict[str, Any]:
    """Mean and sample standard deviation over trials; a single trial has no deviation."""
    return {
        "mean": {name: float(np.mean(values)) for name, values in per_trial.items()},
        "standard_deviation": {
            name: float(np.std(values, ddof=1)) if len(values) > 1 else None for name, values in per_trial.items()
        },
        "per_trial": per_trial,
    }
