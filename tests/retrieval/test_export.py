"""Exported files give what the model gives, for any number of pictures, or are not kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aligngan.export import main
from aligngan.export_formats import ABOUT, FORMATS, ONNX_PACKAGES
from aligngan.model import load_model
from tests.retrieval.small_run import ITERATION, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("export") / "run")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_gives_the_models_features_for_any_number_of_pictures(run: Path, tmp_path: Path, name: str) -> None:
    if name == "onnx":
        for package in ONNX_PACKAGES:
            pytest.importorskip(package)
    assert main([str(run), "--format", name, "--out", str(tmp_path)]) == 0
    model = load_model(run, "cpu")
    pictures = np.random.default_rng(0).integers(0, 256, (7, 3, 16, 16), dtype=np.uint8)
    images = torch.from_numpy(pictures).float() / 127.5 - 1
    assert len(list(tmp_path.iterdir())) == 2
    for modality in ("rgb", "ir"):
        path = tmp_path / f"aligngan-{ITERATION:09d}-{modality}{FORMATS[name].suffix}"
        with torch.no_grad():
            expected = torch.nn.functional.normalize(model.method.features(images, modality))
        found = FORMATS[name].run(path)(pictures)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)


def test_a_file_says_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    assert main([str(run), "--format", "torchscript", "--modality", "ir", "--out", str(tmp_path)]) == 0
    [path] = tmp_path.iterdir()
    extra = {ABOUT: ""}
    torch.jit.load(str(path), _extra_files=extra)
    about = json.loads(extra[ABOUT])
    assert about["checkpoint_digest"] == load_model(run, "cpu").digest
    assert (about["method"], about["modality"]) == ("aligngan", "ir")


def test_a_file_that_differs_from_the_model_is_not_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FORMATS["torchscript"].run

    def wrong(path: Path):  # type: ignore[no-untyped-def]
        run_right = right(path)
        return lambda pictures: run_right(pictures) + 1e-3

    changed = {**vars(FORMATS["torchscript"]), "run": wrong}
    monkeypatch.setitem(FORMATS, "torchscript", type(FORMATS["torchscript"])(**changed))
    assert main([str(run), "--format", "torchscript", "--out", str(tmp_path)]) == 1
    assert "not kept" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_packages_that_are_missing_are_named_before_anything_starts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {**vars(FORMATS["onnx"]), "packages": ("no_such_package",)}
    monkeypatch.setitem(FORMATS, "onnx", type(FORMATS["onnx"])(**changed))
    assert main([str(run), "--format", "onnx", "--out", str(tmp_path / "out")]) == 2
    assert "pip install no_such_package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
