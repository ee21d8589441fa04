"""Evaluating a checkpoint: what may be set, what is left out and said, and the same scores from all workers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aligngan.config import ConfigError
from aligngan.evaluate import main
from aligngan.evaluation_config import evaluation_config, is_override
from aligngan.evaluation_run import default_folder
from aligngan.features import FEATURE, FLIP_FEATURE, extract_features
from aligngan.inference import ReadPastBroken
from aligngan.model import load_model
from aligngan.reranking import RE_RANKING
from aligngan.retrieval_config import EvaluationSettings
from aligngan.scores import join_trials, score_dataset
from aligngan.tables import comparable, scores_text
from loaders.catalog import open_dataset
from loaders.config import SyntheticSettings
from loaders.dataset import Dataset, Picture
from loaders.synthetic import make
from tests.method.small import small_config
from tests.retrieval.small_run import write_run


def plain_set(persons: int = 3, pictures: int = 2) -> Dataset:
    test = tuple(
        Picture(f"{modality}/{person}/{number}", person, camera, modality, number)  # type: ignore[arg-type]
        for camera, modality in ((1, "rgb"), (2, "ir"))
        for person in range(1, persons + 1)
        for number in range(1, pictures + 1)
    )
    return Dataset("folder", "nowhere", "plain", (), test, 4, None)


def regdb_set(persons: int, pictures: int, trial: int) -> Dataset:
    return replace(plain_set(persons, pictures), name="regdb", protocol="regdb", trial=trial)


def by_person(dataset: Dataset) -> np.ndarray:
    return np.eye(9)[[picture.person for picture in dataset.test]]


def test_a_folder_of_ones_own_is_scored_in_both_directions() -> None:
    data = plain_set()
    features = by_person(data)
    # The first infrared picture, of person 1, looks like person 2 and comes before that person's own.
    features[6] = features[8]
    scores = score_dataset(data, features, EvaluationSettings(), "aligngan")
    assert [search["direction"] for search in scores["searches"]] == ["rgb2ir", "ir2rgb"]
    assert [search["trials"] for search in scores["searches"]] == [[4], [4]]
    assert scores["searches"][0]["mean"]["R1"] == pytest.approx(100 * 4 / 6)
    assert scores["searches"][1]["mean"]["R1"] == pytest.approx(100 * 5 / 6)
    assert "rgb2ir" in scores_text(scores)


def test_skipped_pictures_are_left_out_named_and_counted() -> None:
    data = plain_set()
    features = by_person(data)
    features[3] = np.nan
    path = data.test[3].path
    scores = score_dataset(data, features, EvaluationSettings(), "aligngan", skipped=[path])
    assert scores["skipped_pictures"] == [path]
    assert scores["searches"][0]["probes"] == 5
    assert scores["searches"][1]["gallery_rows"] == 5
    assert "1 broken pictures were skipped" in scores_text(scores)


def test_a_broken_picture_of_the_official_gallery_ends_the_evaluation_with_its_name() -> None:
    pictures = tuple(
        Picture(f"{camera}/{person}", person, camera, "ir" if camera in (3, 6) else "rgb", 1)
        for camera in range(1, 7)
        for person in (1, 2)
    )
    permutations = [[np.ones((10, 1), int)] * 2] * 6
    data = Dataset("sysu-mm01", "nowhere", "sysu-mm01", (), pictures, None, permutations)
    with pytest.raises(ValueError, match="1 pictures were skipped: 1/2"):
        score_dataset(data, by_person(data), EvaluationSettings(), "aligngan", skipped=["1/2"])


def test_re_ranking_and_flips_are_never_silent() -> None:
    data = plain_set()
    features = by_person(data) + 0.1
    for settings, words in (
        (EvaluationSettings(), ("re-ranking: none", "feature: V(x);")),
        (EvaluationSettings(re_ranking="k-reciprocal"), ("aligngan, re-ranked", RE_RANKING)),
        (EvaluationSettings(flip=True), ("aligngan, flip", "flip x")),
    ):
        scores = score_dataset(data, features, settings, "aligngan")
        assert all(word in " ".join(scores_text(scores).split()) for word in words), words
    assert scores["feature"] == FLIP_FEATURE


def test_the_papers_rows_stand_beside_the_whole_published_set_only() -> None:
    whole = regdb_set(206, 10, 1)
    features = np.random.default_rng(0).standard_normal((len(whole.test), 8))
    scores = score_dataset(whole, features, EvaluationSettings(), "aligngan")
    assert comparable(scores)
    assert "paper: AlignGAN" in scores_text(scores, reference_rows=True)
    part = score_dataset(whole, features, EvaluationSettings(), "aligngan", skipped=[whole.test[0].path])
    assert not comparable(part)


def test_trials_of_regdb_are_joined_with_what_each_skipped() -> None:
    trials = []
    for trial in (1, 2):
        data = regdb_set(3, 2, trial)
        skipped = [data.test[trial].path]
        trials.append(score_dataset(data, by_person(data), EvaluationSettings(), "aligngan", "c", "d", 1, skipped))
    joined = join_trials(trials)
    assert joined["searches"][0]["trials"] == [1, 2]
    assert joined["skipped_pictures"] == ["rgb/1/2", "rgb/2/1"]


def test_only_what_does_not_belong_to_the_checkpoint_may_be_set(tmp_path: Path) -> None:
    trained = small_config()
    changed = evaluation_config(trained, ["evaluation.flip=true", "run.workers=1", "data.threads=3"], None)
    assert (changed.evaluation.flip, changed.run.workers, changed.data.threads) == (True, 1, 3)
    assert changed.backbone == trained.backbone
    for key in ("backbone.name=resnet50", "data.image_size=[32,32]", "method=baseline"):
        with pytest.raises(ConfigError, match="given by the checkpoint"):
            evaluation_config(trained, [key], None)
    with pytest.raises(ConfigError, match="no such folder"):
        evaluation_config(trained, [], str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("folders", "name"), [(("exp", "cam1"), "sysu-mm01"), (("idx",), "regdb"), (("rgb", "ir"), "folder")]
)
def test_the_layout_says_which_data_set_it_is(tmp_path: Path, folders: tuple[str, ...], name: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    config = evaluation_config(small_config(), [], str(tmp_path))
    assert (config.data.name, config.data.root) == (name, str(tmp_path))


def test_a_split_whose_test_persons_were_trained_on_is_refused(tmp_path: Path) -> None:
    trained = small_config("aligngan", "data.name=regdb", f"data.root={tmp_path}", "data.trial=3")
    assert evaluation_config(trained, [], None).data.trial == 3
    with pytest.raises(ConfigError, match="training persons"):
        evaluation_config(trained, ["data.trial=4"], None)


@pytest.mark.parametrize(("text", "is_one"), [("data.trial=3", True), ("runs/a", False), ("s3://b/r?region=x", False)])
def test_paths_and_keys_are_told_apart(text: str, is_one: bool) -> None:
    assert is_override(text) == is_one


def test_what_cannot_be_evaluated_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(write_run(tmp_path / "run"))
    for arguments, words in (
        ([str(tmp_path / "nowhere")], "no such folder"),
        ([run, "--data", str(tmp_path / "nowhere")], "no such folder"),
        ([run, run, "--out", str(tmp_path / "out")], "RegDB"),
        (["data.trial=1"], "give a run folder"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


def test_other_settings_have_another_folder(tmp_path: Path) -> None:
    model = load_model(write_run(tmp_path / "run"), "cpu")
    settings: tuple[list[str], ...] = ([], ["evaluation.flip=true"], ["evaluation.re_ranking=k-reciprocal"])
    places = [default_folder(model, evaluation_config(model.config, chosen, None)) for chosen in settings]
    assert places[0] == str(tmp_path / "run" / "evaluated" / "step_000000007-synthetic")
    assert len(set(places)) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_workers_score_like_one_process_and_go_on_past_a_broken_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = SyntheticSettings(persons=16, pictures=2, seed=1)
    make(str(tmp_path / "set"), settings)
    keys = [f"data.synthetic.{key}={value}" for key, value in settings.model_dump().items()]
    run = write_run(tmp_path / "run", "aligngan", f"data.root={tmp_path / 'set'}", *keys)
    config = load_model(run, "cpu").config
    data = open_dataset(config.data)
    broken = next(picture.path for picture in data.test if picture.camera == 3)
    Path(broken).write_bytes(b"no picture")
    out = tmp_path / "out"
    assert main([str(run), "--workers", "2", "--flip", "--re-rank", "--out", str(out)]) == 0
    scores = json.loads((out / "scores.json").read_text())
    model = load_model(run, "cpu")
    read = ReadPastBroken(model.inference.read, config.data.image_size)
    features = extract_features(
        model.inference.features, data.test, read, model.method.networks, torch.device("cpu"), flip=True
    )
    expected = score_dataset(
        *(data, features, EvaluationSettings(flip=True, re_ranking="k-reciprocal"), "aligngan"),
        *(model.checkpoint, model.digest, model.iteration, [broken]),
    )
    assert scores["skipped_pictures"] == expected["skipped_pictures"] == [broken]
    for found, wanted in zip(scores.pop("searches"), expected.pop("searches"), strict=True):
        assert found["mean"] == pytest.approx(wanted["mean"], abs=0.5)
        assert found["probes"] == wanted["probes"]
    assert scores.pop("iccs") == pytest.approx(expected.pop("iccs"), abs=1e-4)
    assert scores == expected
    assert scores["feature"] != FEATURE
    said = capfd.readouterr()
    assert Path(broken).name in said.err
    assert "aligngan, flip, re-ranked" in " ".join(said.out.split())
    assert {path.name for path in out.iterdir()} == {"scores.json", "table.txt"}
