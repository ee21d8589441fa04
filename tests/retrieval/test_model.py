"""A checkpoint as people use it from Python, and what is said of those that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aligngan.images import to_uint8, to_unit_range
from aligngan.model import ModelError, load_model
from aligngan.training.state import FORMAT, TrainingState
from cluster.checkpoints import checkpoint_digest, checkpoint_name, load_checkpoint
from cluster.errors import DamagedCheckpoint
from cluster.folder import RunFolder
from loaders.backends.requests import PictureError
from tests.method.small import small_config
from tests.retrieval.small_run import ITERATION, PERSONS, write_picture, write_run, write_state


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [write_picture(folder / f"{number}.png", number) for number in range(5)]


def test_pictures_become_one_unit_row_each_in_order_whatever_the_batches(run: Path, pictures: list[Path]) -> None:
    model = load_model(run, "cpu")
    features = model.embed(pictures, "ir")
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(features, model.embed(pictures, "ir", batch_size=2), atol=1e-5)
    np.testing.assert_allclose(features[::-1], model.embed(pictures[::-1], "ir"), atol=1e-5)
    assert np.abs(features - model.embed(pictures, "rgb")).max() > 1e-4
    assert np.abs(features - model.embed(pictures, "ir", flip=True)).max() > 1e-5
    assert model.embed([], "ir").shape[0] == 0


def test_features_are_those_that_the_training_computes(run: Path, pictures: list[Path]) -> None:
    state = TrainingState(small_config(), PERSONS, torch.device("cpu"))
    state.method.networks.eval()
    model = load_model(run, "cpu")
    read = torch.cat(list(model.inference.read([str(path) for path in pictures])))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(state.method.features(to_unit_range(read), "rgb"))
        fake = to_uint8(state.method.translate(to_unit_range(read), "ir"))
    np.testing.assert_allclose(model.embed(pictures, "rgb"), expected.numpy(), atol=1e-5)
    assert np.abs(model.translate(pictures, "ir").astype(int) - fake.numpy()).max() <= 1


def test_a_model_says_what_it_is(run: Path) -> None:
    model = load_model(run, "cpu")
    name = checkpoint_name(ITERATION)
    assert (model.method_name, model.identities, model.iteration) == ("aligngan", PERSONS, ITERATION)
    assert model.config.data.image_size == (16, 16)
    assert model.digest == checkpoint_digest(RunFolder(str(run)), name)
    assert model.checkpoint == str(run / name)
    assert not model.method.networks.training


def test_a_checkpoints_own_folder_and_a_uri_name_the_same_model(run: Path) -> None:
    digest = load_model(run, "cpu").digest
    for source in (run / checkpoint_name(ITERATION), f"file://{run}", f"file://{run}/{checkpoint_name(ITERATION)}"):
        assert load_model(source, "cpu").digest == digest


def test_the_newest_whole_checkpoint_of_a_run_is_taken(tmp_path: Path) -> None:
    write_run(tmp_path)
    newer = load_checkpoint(RunFolder(str(tmp_path)), checkpoint_name(ITERATION)) | {"iteration": 9}
    write_state(tmp_path, newer, 9)
    assert load_model(tmp_path, "cpu").iteration == 9
    damaged = tmp_path / checkpoint_name(9)
    (damaged / "state.pt").write_bytes(b"cut off")
    assert load_model(tmp_path, "cpu").iteration == ITERATION
    with pytest.raises(DamagedCheckpoint, match="not what was written"):
        load_model(damaged, "cpu")
    (tmp_path / checkpoint_name(ITERATION) / "manifest.json").unlink()
    with pytest.raises(DamagedCheckpoint, match="every checkpoint"):
        load_model(tmp_path, "cpu")


def test_moving_averages_stand_in_for_the_networks(tmp_path: Path, pictures: list[Path]) -> None:
    state = TrainingState(small_config("aligngan", "train.ema_decay=0.9"), PERSONS, torch.device("cpu"))
    assert state.averages is not None
    state.averages.update()
    with torch.no_grad():
        for parameter in state.method.networks["feature_generator"].parameters():
            parameter.zero_()
    write_state(tmp_path, state.state_dict(), 1)
    assert np.isfinite(features := load_model(tmp_path, "cpu").embed(pictures, "ir")).all()
    assert np.abs(features).max() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": FORMAT + 1}, "install"),
        ({"method": "baseline"}, "method baseline"),
        ({"config": "method: teleport\n"}, "another version"),
        ({"networks": {"classifier.classifier.weight": torch.zeros(5, 8)}}, "do not fit"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(run: Path, tmp_path: Path, change: dict, words: str) -> None:
    state = load_checkpoint(RunFolder(str(run)), checkpoint_name(ITERATION))
    write_state(tmp_path, state | change, ITERATION)
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path, "cpu")


def test_a_state_of_another_program_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path, {"model": torch.zeros(2)}, 1)
    with pytest.raises(ModelError, match="not a checkpoint of an AlignGAN training"):
        load_model(tmp_path, "cpu")


@pytest.mark.parametrize("source", ["nowhere", "nowhere/step_000000001", "ftp://host/run"])
def test_what_is_not_there_is_named(tmp_path: Path, source: str) -> None:
    place = source if "://" in source else str(tmp_path / source)
    with pytest.raises(ModelError, match=r"nowhere|ftp://host/run"):
        load_model(place, "cpu")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no checkpoint"):
        load_model(tmp_path, "cpu")


def test_a_method_without_translators_says_so(tmp_path: Path, pictures: list[Path]) -> None:
    with pytest.raises(ModelError, match="method baseline, which has no translators"):
        load_model(write_run(tmp_path, "baseline"), "cpu").translate(pictures, "ir")


def test_a_broken_picture_is_an_error_or_named_and_left_nan(run: Path, pictures: list[Path], tmp_path: Path) -> None:
    model = load_model(run, "cpu")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = [pictures[0], broken, *pictures[1:], tmp_path / "missing.png"]
    with pytest.raises(PictureError, match=r"broken\.png"):
        model.embed(paths, "ir")
    named: list[str] = []
    seen: list[int] = []
    features = model.embed(
        paths, "ir", batch_size=3, on_broken=lambda path, _: named.append(path), on_pictures=seen.append
    )
    assert named == [str(broken), str(tmp_path / "missing.png")]
    assert sum(seen) == len(paths)
    assert np.isnan(features[[1, 6]]).all()
    np.testing.assert_allclose(features[[0, 2, 3, 4, 5]], model.embed(pictures, "ir"), atol=1e-5)
    named.clear()
    translated = np.concatenate(
        list(model.translations(paths, "ir", batch_size=3, on_broken=lambda path, _: named.append(path)))
    )
    assert len(named) == 2
    assert not translated[[1, 6]].any()
    assert np.abs(translated[[0, 2, 3, 4, 5]].astype(int) - model.translate(pictures, "ir")).max() <= 1
