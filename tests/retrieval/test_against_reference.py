"""Scores against the official functions' own results, and against the rules written out one probe at a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from numpy.typing import NDArray

from aligngan.metrics import chance_rank1, retrieval_scores
from aligngan.protocols import evaluate_regdb, evaluate_sysu_mm01

CASES = json.loads((Path(__file__).parent / "data" / "tiny_cases.json").read_text(encoding="utf-8"))
SHARED = Path(__file__).parents[3] / "shared" / "data"
PLACE = {1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 6}


def one_by_one(
    distances: NDArray[np.floating],
    probe_ids: NDArray[np.integer],
    gallery_ids: NDArray[np.integer],
    probe_places: NDArray[np.integer],
    gallery_places: NDArray[np.integer],
) -> tuple[list[float], float, float, int]:
    """CMC by distinct person, mAP, mINP and the number of counted probes, with plain loops."""
    ranks: list[int] = []
    precisions: list[float] = []
    penalties: list[float] = []
    for probe, person in enumerate(probe_ids):
        kept = [row for row in range(len(gallery_ids)) if gallery_places[row] != probe_places[probe]]
        ordered = [int(gallery_ids[row]) for row in sorted(kept, key=lambda row: distances[probe, row])]
        hits = [position for position, found in enumerate(ordered, 1) if found == person]
        if not hits:
            continue
        ranks.append(list(dict.fromkeys(ordered)).index(int(person)) + 1)
        precisions.append(float(np.mean([number / position for number, position in enumerate(hits, 1)])))
        penalties.append(len(hits) / hits[-1])
    persons = len(set(gallery_ids.tolist()))
    cmc = [float(np.mean([rank <= k for rank in ranks])) for k in range(1, persons + 1)]
    return cmc, float(np.mean(precisions)), float(np.mean(penalties)), len(ranks)


@pytest.mark.parametrize("kind", [np.array, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_scores_are_those_of_the_official_functions(case: dict[str, Any], kind: Any) -> None:
    # The official functions drop camera 2 for probes of camera 3, whatever the person.
    scores = retrieval_scores(
        kind(case["dist"]),
        kind(case["probe_ids"]),
        kind(case["gallery_ids"]),
        kind([PLACE[camera] for camera in case["probe_locations"]]),
        kind([PLACE[camera] for camera in case["gallery_locations"]]),
    )
    length = len(case["expected_cmc"])
    assert scores.cmc.dtype == np.float64
    np.testing.assert_allclose(scores.cmc[:length], case["expected_cmc"], rtol=0, atol=1e-12)
    assert scores.mean_ap == pytest.approx(case["expected_map"], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_the_rules_one_probe_at_a_time(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probes, gallery, persons = generator.integers(5, 30), generator.integers(20, 60), generator.integers(2, 12)
    # One decimal, so that there are many ties.
    distances = generator.random((probes, gallery)).round(1)
    ids = generator.integers(0, persons, probes), generator.integers(0, persons, gallery)
    places = generator.integers(1, 4, probes), generator.integers(1, 4, gallery)
    cmc, mean_ap, mean_inp, counted = one_by_one(distances, *ids, *places)
    found = retrieval_scores(distances, *ids, *places)
    np.testing.assert_allclose(found.cmc[: len(cmc)], cmc, atol=1e-12)
    assert (found.mean_ap, found.mean_inp, found.probes) == (pytest.approx(mean_ap), pytest.approx(mean_inp), counted)


def test_per_image_rank_counts_every_row() -> None:
    distances, gallery = np.array([[0.1, 0.2, 0.3, 0.4]]), [7, 7, 8, 5]
    assert retrieval_scores(distances, [8], gallery).cmc.tolist() == [0, 1, 1]
    assert retrieval_scores(distances, [8], gallery, cmc_by="image").cmc.tolist() == [0, 0, 1, 1]


def test_bad_input_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match="NaN"):
        retrieval_scores([[np.nan, 1.0]], [1], [1, 2])
    with pytest.raises(ValueError, match="gallery_ids"):
        retrieval_scores([[0.0, 1.0]], [1], [1, 2, 3])


def test_chance_is_what_random_rankings_score() -> None:
    generator = np.random.default_rng(0)
    probe_ids, gallery_ids = generator.integers(0, 6, 40), generator.integers(0, 6, 25)
    rank1 = [retrieval_scores(generator.random((40, 25)), probe_ids, gallery_ids).cmc[0] for _ in range(400)]
    assert chance_rank1(probe_ids, gallery_ids) == pytest.approx(np.mean(rank1), abs=0.01)


def published() -> tuple[Any, list[tuple[int, int, int]]]:
    """The published permutations, and (person, camera, number) of every test picture that they speak of."""
    if not (SHARED / "rand_perm_cam.mat").exists():
        pytest.skip(f"the published permutations are not in {SHARED}")
    cells = scipy.io.loadmat(SHARED / "rand_perm_cam.mat")["rand_perm_cam"]
    test_ids = scipy.io.loadmat(SHARED / "test_id.mat")["id"].ravel()
    rows = []
    for camera in range(1, 7):
        persons = cells[camera - 1, 0]
        for person in test_ids:
            count = persons[person - 1, 0].shape[1] if person <= len(persons) else 0
            rows += [(int(person), camera, number) for number in range(1, count + 1)]
    return cells, rows


@pytest.mark.parametrize(
    ("mode", "shots", "gallery", "counted"),
    [
        ("all", "single", 301, 3803),
        ("all", "multi", 3010, 3803),
        ("indoor", "single", 112, 2208),
        ("indoor", "multi", 1120, 2208),
    ],
)
def test_galleries_and_probes_have_the_published_numbers(mode: Any, shots: Any, gallery: int, counted: int) -> None:
    permutations, rows = published()
    ids, cameras, numbers = np.array(rows).T
    features = np.random.default_rng(0).standard_normal((len(rows), 8)).astype(np.float32)
    scores = evaluate_sysu_mm01(features, ids, cameras, numbers, permutations, mode, shots)
    assert (scores.gallery_rows, scores.probes_in_all, scores.probes) == (gallery, 3803, counted)
    assert scores.cmc.shape[0] == len(scores.mean_ap) == 10


def test_a_trial_of_sysu_mm01_is_the_rules_one_probe_at_a_time() -> None:
    """Few persons in all six cameras; the gallery drawn by hand from the permutations."""
    generator = np.random.default_rng(3)
    persons, pictures = 5, 4
    cells = [
        [np.stack([generator.permutation(pictures) + 1 for _ in range(10)]) for _ in range(persons)] for _ in range(6)
    ]
    rows = [(p, c, n) for c in range(1, 7) for p in range(1, persons + 1) for n in range(1, pictures + 1)]
    ids, cameras, numbers = np.array(rows).T
    features = generator.standard_normal((len(rows), 6))
    scores = evaluate_sysu_mm01(torch.from_numpy(features), ids, cameras, numbers, cells, "all", "single")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    probes = np.flatnonzero(np.isin(cameras, (3, 6)))
    for trial in (0, 9):
        drawn = [(p, c, int(cells[c - 1][p - 1][trial, 0])) for c in (1, 2, 4, 5) for p in range(1, persons + 1)]
        gallery = np.array([rows.index(row) for row in drawn])
        places = np.array([PLACE[camera] for camera in cameras])
        cmc, mean_ap, mean_inp, counted = one_by_one(
            -unit[probes] @ unit[gallery].T, ids[probes], ids[gallery], places[probes], places[gallery]
        )
        np.testing.assert_allclose(scores.cmc[trial], cmc, atol=1e-6)
        assert scores.mean_ap[trial] == pytest.approx(mean_ap, abs=1e-6)
        assert scores.mean_inp[trial] == pytest.approx(mean_inp, abs=1e-6)
        assert scores.probes == counted


def test_regdb_directions_swap_probes_and_gallery() -> None:
    visible, thermal = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.1], [0.9, 0.0], [0.1, 1.0]])
    scores = evaluate_regdb(visible, [1, 2], thermal, [2, 1, 2])
    assert (scores["visible2thermal"].gallery_rows, scores["visible2thermal"].probes) == (3, 2)
    assert (scores["thermal2visible"].gallery_rows, scores["thermal2visible"].probes) == (2, 3)
    assert scores["thermal2visible"].cmc[0, 0] == pytest.approx(2 / 3)


def test_an_image_beyond_its_permutation_is_named() -> None:
    cells = [[np.ones((10, 1), dtype=int)] for _ in range(6)]
    with pytest.raises(ValueError, match="image number 2 of person 1 in camera 1"):
        evaluate_sysu_mm01(np.eye(2), [1, 1], [1, 3], [2, 1], cells)


def test_a_probe_without_a_match_is_not_counted_and_without_any_there_is_no_score() -> None:
    assert retrieval_scores([[0.0, 1.0], [0.0, 1.0]], [1, 9], [1, 2]).probes == 1
    with pytest.raises(ValueError, match="match"):
        retrieval_scores([[0.0, 1.0]], [9], [1, 2])
