"""Pictures translated to files: names, folders and sizes kept, nothing overwritten unasked."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from aligngan.model import load_model
from aligngan.translate import main
from tests.retrieval.small_run import write_picture, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("translate") / "run")


def picture(path: Path) -> np.ndarray:
    content = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert content is not None, path
    return content


def test_a_folder_keeps_names_folders_and_sizes_and_goes_both_ways(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("rgb/1/a.png", "rgb/2/b.PNG", "ir/1/c.bmp", "d.png")
    for number, name in enumerate(names):
        write_picture(tmp_path / "in" / name, number, size=(40, 20))
    (tmp_path / "in" / "rgb" / "1" / "broken.png").write_bytes(b"no picture")
    assert main([str(run), str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == set(names)
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "1 of 5 given pictures are broken" in said.err
    assert "4 pictures translated" in said.out
    assert all(picture(tmp_path / "out" / name).shape == (40, 20, 3) for name in names)


def test_a_file_holds_what_the_model_gives(run: Path, tmp_path: Path) -> None:
    source = write_picture(tmp_path / "a.png", 1, size=(40, 20))
    arguments = [str(run), str(source), str(tmp_path / "out"), "--network-size"]
    assert main(arguments) == 0
    model = load_model(run, "cpu")
    expected = model.translate([source], "ir")[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(picture(tmp_path / "out" / "a.png"), expected)
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite", "--modality", "ir"]) == 0
    expected = model.translate([source], "rgb")[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(picture(tmp_path / "out" / "a.png"), expected)


def test_originals_are_never_written_to(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_picture(tmp_path / "in" / "a.png", 1)
    before = source.read_bytes()
    write_picture(tmp_path / "in" / "b.png", 2)
    for pictures, out in ((source, source.parent), (source.parent, source.parent), (source.parent, source / "..")):
        assert main([str(run), str(pictures), str(out), "--overwrite"]) == 2
    assert main([str(run), str(source.parent), str(source.parent / "fake")]) == 2
    assert "translated again" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_method_without_translators_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = write_run(tmp_path / "run", "baseline")
    source = write_picture(tmp_path / "a.png", 1)
    assert main([str(baseline), str(source), str(tmp_path / "out")]) == 2
    assert "no translators" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
