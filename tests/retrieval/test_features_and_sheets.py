"""Features in the order of the pictures, the table as people read it, and sheets that are the same every time."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aligngan.features import extract_features
from aligngan.images import to_uint8, to_unit_range
from aligngan.protocols import evaluate_sysu_mm01
from aligngan.retrieval_config import EvaluationSettings
from aligngan.scores import score_dataset
from aligngan.sheets import GREEN, RED, ranked_sheet, to_png, translation_sheet
from aligngan.tables import scores_table, scores_text
from loaders.dataset import Dataset, Picture

PERSONS, PICTURES = 4, 3


def dataset() -> Dataset:
    pictures = [
        Picture(f"{camera}/{person}/{number}", person, camera, "ir" if camera in (3, 6) else "rgb", number)
        for camera in range(1, 7)
        for person in range(1, PERSONS + 1)
        for number in range(1, PICTURES + 1)
    ]
    permutations = [[np.tile(np.arange(1, PICTURES + 1), (10, 1)) for _ in range(PERSONS)] for _ in range(6)]
    return Dataset("synthetic", "nowhere", "sysu-mm01", (), tuple(pictures), None, permutations)


def grey_of(path: str) -> int:
    camera, person, number = map(int, path.split("/"))
    return camera * 35 + person * 6 + number


def read(paths: list[str]) -> Iterator[Tensor]:
    pictures = [torch.full((3, 4, 2), grey_of(path), dtype=torch.uint8) for path in paths]
    for first in range(0, len(pictures), 5):
        yield torch.stack(pictures[first : first + 5])


def test_features_come_in_the_order_of_the_pictures_and_networks_go_back_to_training() -> None:
    network = nn.Sequential(nn.Dropout(0.5))
    inner = network[0].eval()
    network.training = True

    def features(images: Tensor, modality: str) -> Tensor:
        assert not network.training
        return torch.stack([images[:, 0, 0, 0], torch.full((len(images),), float(modality == "ir"))], dim=1)

    pictures = dataset().test
    found = extract_features(features, pictures, read, networks=network)
    expected = [[grey_of(p.path) / 127.5 - 1, float(p.modality == "ir")] for p in pictures]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert network.training
    assert not inner.training


def test_flip_averaging_adds_the_mirrored_picture() -> None:
    def left_edge(images: Tensor, modality: str) -> Tensor:
        return images[:, 0, 0, :]

    def gradient(paths: list[str]) -> Iterator[Tensor]:
        yield torch.tensor([0, 255], dtype=torch.uint8).expand(len(paths), 3, 4, 2)

    found = extract_features(left_edge, dataset().test[:2], gradient, flip=True)
    torch.testing.assert_close(found, torch.zeros(2, 2))


def test_bytes_to_unit_range_and_back_is_the_same_picture() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert (to_unit_range(every).min(), to_unit_range(every).max()) == (-1, 1)
    assert torch.equal(to_uint8(to_unit_range(every)), every)


def test_scores_say_everything_about_themselves() -> None:
    data = dataset()
    features = np.eye(PERSONS)[[picture.person - 1 for picture in data.test]]
    scores = score_dataset(data, features, EvaluationSettings(), "aligngan", iteration=7)
    assert [(s["mode"], s["shots"]) for s in scores["searches"]] == [
        ("all", "single"), ("all", "multi"), ("indoor", "single"), ("indoor", "multi"),
    ]  # fmt: skip
    first = scores["searches"][0]
    assert first["mean"] == {"R1": 100, "R5": 100, "R10": 100, "R20": 100, "mAP": 100, "mINP": 100}
    assert len(first["per_trial"]["R1"]) == 10
    assert first["chance_R1"] == pytest.approx(100 / PERSONS)
    assert (first["probes"], first["gallery_rows"], scores["re_ranking"]) == (24, 16, "none")
    assert scores["iccs"]["ir2rgb"] == pytest.approx(1)
    text = scores_text(scores)
    assert max(map(len, text.splitlines())) <= 100
    for words in ("synthetic set", "all-search, single-shot", "chance", "25.00", "re-ranking: none"):
        assert words in text, words


def test_the_papers_rows_never_stand_beside_another_data_set() -> None:
    data = dataset()
    features = np.random.default_rng(0).standard_normal((len(data.test), 4))
    scores = score_dataset(data, features, EvaluationSettings(), "aligngan")
    with pytest.raises(ValueError, match="SYSU-MM01"):
        scores_table(scores, reference_rows=True)


def test_features_that_are_not_finite_are_refused() -> None:
    data = dataset()
    features = np.ones((len(data.test), 4))
    features[5, 2] = np.nan
    ids, cameras, numbers = np.array([(p.person, p.camera, p.number) for p in data.test]).T
    with pytest.raises(ValueError, match="5"):
        evaluate_sysu_mm01(features, ids, cameras, numbers, data.permutations)


def test_a_translation_sheet_shows_three_rows_and_is_the_same_every_time() -> None:
    rgb, fake_ir, ir = (torch.full((2, 3, 96, 48), grey, dtype=torch.uint8) for grey in (200, 120, 40))
    sheet = translation_sheet(rgb, fake_ir, ir, [4, 9])
    for grey in (200, 120, 40):
        assert (sheet == grey).all(axis=2).sum() >= 2 * 96 * 48
    assert to_png(sheet) == to_png(translation_sheet(rgb, fake_ir, ir, [4, 9]))
    with pytest.raises(ValueError, match="1 ids"):
        translation_sheet(rgb, fake_ir, ir, [4])


def test_right_matches_are_framed_green_and_wrong_ones_red() -> None:
    queries = torch.full((1, 3, 96, 48), 90, dtype=torch.uint8)
    ranked = torch.full((1, 2, 3, 96, 48), 160, dtype=torch.uint8)

    def framed(ids: list[int], colour: tuple[int, int, int]) -> bool:
        return bool((ranked_sheet(queries, [3], ranked, [ids]) == colour).all(axis=2).sum() > 500)

    assert framed([3, 5], GREEN)
    assert framed([3, 5], RED)
    assert not framed([3, 3], RED)
    assert not framed([5, 6], GREEN)
