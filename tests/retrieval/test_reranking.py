"""Re-ranking against its definition written out set by set."""

import numpy as np
import pytest
from numpy.typing import NDArray

from aligngan.metrics import retrieval_scores, unit_rows
from aligngan.reranking import re_ranked_distances
from aligngan.similarity import cosine_distances


def slowly(probes: NDArray, gallery: NDArray, k1: int, k2: int, weight: float) -> NDArray:
    """Zhong et al., sections 3.2 to 3.5, one row at a time."""
    rows = unit_rows(np.concatenate([probes, gallery]).astype(np.float64))
    count = len(rows)
    squared = np.square(rows[:, None] - rows[None]).sum(-1)
    scaled = squared / squared.max(axis=1, keepdims=True)
    order = [np.argsort(line, kind="stable").tolist() for line in scaled]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    memberships = np.zeros((count, count))
    for i in range(count):
        members = reciprocal(i, k1)
        grown = set(members)
        for candidate in members:
            smaller = reciprocal(candidate, round(k1 / 2))
            if len(smaller & members) > 2 / 3 * len(smaller):
                grown |= smaller
        for j in grown:
            memberships[i, j] = np.exp(-scaled[i, j])
        memberships[i] /= memberships[i].sum()
    averaged = np.array([memberships[order[i][:k2]].mean(axis=0) for i in range(count)])
    first = len(probes)
    result = np.zeros((first, len(gallery)))
    for p in range(first):
        for g in range(len(gallery)):
            both = np.stack([averaged[p], averaged[first + g]])
            jaccard = 1 - both.min(axis=0).sum() / both.max(axis=0).sum()
            result[p, g] = (1 - weight) * jaccard + weight * scaled[p, first + g]
    return result


def persons(seed: int, probes: int, gallery: int, spread: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((6, 8))
    ids = generator.integers(0, 6, probes), generator.integers(0, 6, gallery)
    features = [
        (centres[labels] + spread * generator.standard_normal((len(labels), 8))).astype(np.float32) for labels in ids
    ]
    return features[0], features[1], ids[0], ids[1]


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 3, 0.0), (4, 1, 0.5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_distances_are_those_of_the_definition(seed: int, k1: int, k2: int, weight: float) -> None:
    probes, gallery, *_ = persons(seed, 17, 40, 0.8)
    found = re_ranked_distances(probes, gallery, k1, k2, weight)
    np.testing.assert_allclose(found, slowly(probes, gallery, k1, k2, weight), atol=2e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probes, gallery, *_ = persons(2, 30, 50, 0.8)
    whole = re_ranked_distances(probes, gallery)
    monkeypatch.setattr("aligngan.reranking._BLOCK", 300)
    np.testing.assert_allclose(re_ranked_distances(probes, gallery), whole, atol=1e-6)


def test_fewer_pictures_than_neighbours_and_equal_pictures_are_ranked_too() -> None:
    found = re_ranked_distances(np.ones((1, 4), np.float32), np.ones((2, 4), np.float32))
    assert found.shape == (1, 2)
    assert np.isfinite(found).all()


def test_neighbours_help_where_persons_form_clusters() -> None:
    probes, gallery, probe_ids, gallery_ids = persons(3, 60, 120, 0.9)
    plain = retrieval_scores(cosine_distances(probes, gallery), probe_ids, gallery_ids).mean_ap
    assert retrieval_scores(re_ranked_distances(probes, gallery), probe_ids, gallery_ids).mean_ap > plain + 0.02
