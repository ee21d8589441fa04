"""Pictures show what was measured: gaps stay gaps, rankings are the protocol's, projections repeat."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from aligngan.metrics import retrieval_scores
from aligngan.protocols.sysu_mm01 import sysu_places
from aligngan.reporting.curves import gradient_curves, judgement_curves, loss_curves, points_of, score_curves
from aligngan.reporting.exhibits import PROJECTED_PERSONS, Choice, choose
from aligngan.reporting.groups import Group, Variant
from aligngan.reporting.projection import project
from aligngan.reporting.ranked_lists import best_and_worst, rank_gallery
from aligngan.reporting.runs import Run
from aligngan.retrieval_config import EvaluationSettings
from cluster.folder import RunFolder
from loaders.dataset import Dataset
from loaders.sysu_mm01 import read
from tests.method.small import batch, small_config, small_method
from tests.reporting.fabricated import small_run_config, train_records

REPORTED = (loss_curves, judgement_curves)

Features = NDArray[np.float32]


@pytest.fixture(scope="module")
def dataset(small_synthetic: list[str]) -> Dataset:
    return read(small_synthetic[0].partition("=")[2], name="synthetic")


def group(*methods: str) -> Group:
    variants = []
    for method in methods:
        config = small_run_config(method, 0, [])
        run = Run(method, RunFolder("/nowhere"), config, train_records(config), None, None, None, ())
        variants.append(Variant(method, method, (run,)))
    return Group("set", "Set", "synthetic", tuple(variants))


def drawn_features(choice: Choice) -> tuple[Features, Features]:
    """Features of queries and gallery, drawn at random, a little nearer to those of the same person."""
    generator = np.random.default_rng(0)
    centres = {picture.person: generator.normal(size=12) for picture in choice.queries}
    queries, gallery = (
        np.stack([centres[picture.person] + 1.5 * generator.normal(size=12) for picture in pictures])
        for pictures in (choice.queries, choice.gallery)
    )
    return queries.astype(np.float32), gallery.astype(np.float32)


def test_a_stage_without_a_loss_leaves_a_gap_in_its_curve() -> None:
    run = group("aligngan").variants[0].runs[0]
    iterations, values = points_of(run, "train", "gan_feat")
    assert iterations == [5, 10, 15, 20]
    assert [math.isnan(value) for value in values] == [True, True, False, False]


@pytest.mark.parametrize("method", ["aligngan", "aligngan-minus"])
def test_every_value_that_a_phase_reports_has_a_curve(method: str) -> None:
    config = small_config(method, "stages.feature_warmup=1", "stages.pixel_warmup=1", "loss.lambda_identity_mapping=1")
    record: dict[str, float | str] = {"kind": "train", "iteration": 1}
    for phase in small_method(config).phases:
        record |= dict.fromkeys(phase(*batch())[1], 1.0)
    run = replace(group(method).variants[0].runs[0], records=[record])
    curves = [draw(Group("set", "Set", "synthetic", (Variant(method, method, (run,)),))) for draw in REPORTED]
    drawn = " ".join(picture.alt for picture in curves if picture is not None).replace(",", "").split()
    assert set(record) - {"kind", "iteration"} <= set(drawn)


def test_curves_are_of_what_the_runs_reported() -> None:
    curves = [draw(group("baseline", "aligngan")) for draw in (score_curves, loss_curves, judgement_curves)]
    named = ("all-single R1, all-single mAP", "cls_feat, gan_feat", "d_joint_accuracy_real")
    for picture, names in zip(curves, named, strict=True):
        assert picture is not None
        assert f"Curves of {names} over the iterations" in picture.alt
    assert judgement_curves(group("baseline")) is None
    assert gradient_curves(group("baseline")) is not None


def test_rankings_are_the_protocols(dataset: Dataset) -> None:
    choice = choose(dataset, EvaluationSettings())
    queries, gallery = drawn_features(choice)
    ranking = rank_gallery(choice, queries, gallery)
    similarities = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    ).T
    probes, rows = (
        (
            np.array([picture.person for picture in pictures]),
            sysu_places(np.array([picture.camera for picture in pictures])),
        )
        for pictures in (choice.queries, choice.gallery)
    )
    scores = retrieval_scores(-similarities, probes[0], rows[0], probes[1], rows[1])
    assert len(ranking.queries) == scores.probes
    assert ranking.precision.mean() == pytest.approx(scores.mean_ap, abs=1e-6)
    assert ranking.hits[:, 0].mean() == pytest.approx(scores.cmc[0], abs=1e-6)


def test_the_best_and_the_worst_queries_are_of_different_persons(dataset: Dataset) -> None:
    choice = choose(dataset, EvaluationSettings())
    ranking = rank_gallery(choice, *drawn_features(choice))
    best, worst = best_and_worst(ranking, choice)
    for rows in (best, worst):
        persons = [choice.queries[ranking.queries[row]].person for row in rows]
        assert len(set(persons)) == len(persons) > 1
    assert ranking.precision[best[0]] == ranking.precision.max()
    assert ranking.precision[worst[0]] == ranking.precision.min()
    assert list(ranking.precision[best]) == sorted(ranking.precision[best], reverse=True)


def test_the_gallery_is_the_first_trials(dataset: Dataset) -> None:
    choice = choose(dataset, EvaluationSettings())
    assert dataset.permutations is not None
    for picture in choice.gallery:
        assert picture.modality == "rgb"
        assert picture.number == dataset.permutations[picture.camera - 1][picture.person - 1][0, 0]
    assert all(picture.modality == "ir" for picture in choice.queries)


def test_projected_persons_are_seen_in_both_modalities_and_training_ones_were_trained_on(dataset: Dataset) -> None:
    choice = choose(dataset, EvaluationSettings())
    trained = {picture.person for picture in dataset.train}
    for pictures, is_trained in ((choice.projected_train, True), (choice.projected_test, False)):
        seen = {(picture.person, picture.modality) for picture in pictures}
        persons = {person for person, _ in seen}
        assert seen == {(person, modality) for person in persons for modality in ("rgb", "ir")}
        assert len(persons) <= PROJECTED_PERSONS
        assert (persons <= trained) == is_trained


def test_a_projection_repeats_and_keeps_neighbours_together() -> None:
    generator = np.random.default_rng(0)
    centres = np.eye(8)[[0, 1]].repeat(12, axis=0)
    features = (centres + 0.05 * generator.normal(size=(24, 8))).astype(np.float32)
    points = project(features)
    assert np.array_equal(points, project(features.copy()))
    apart = np.linalg.norm(points[:12].mean(0) - points[12:].mean(0))
    assert apart > 2 * max(points[:12].std(0).max(), points[12:].std(0).max())
    with pytest.raises(ValueError, match="at least 4"):
        project(features[:3])
