"""People's own pictures as a data set."""

from pathlib import Path

import pytest
from PIL import Image

from loaders.catalog import open_dataset
from loaders.config import DataSettings
from loaders.dataset import Dataset, DatasetError

PERSONS = ["anna", "b 2", "Carl", "d", "e", "f"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for modality, suffixes in (("rgb", [".jpg", ".PNG", ".bmp"]), ("ir", [".jpeg", ".bmp"])):
        for person in PERSONS:
            folder = tmp_path / modality / person
            folder.mkdir(parents=True)
            for number, suffix in enumerate(suffixes):
                Image.new("RGB", (8, 16)).save(folder / f"{number}{suffix}")
            (folder / "notes.txt").write_text("not a picture")
    return tmp_path


def opened(root: Path, **settings: float) -> Dataset:
    return open_dataset(DataSettings(name="folder", root=str(root), **settings))  # type: ignore[arg-type]


def persons(dataset: Dataset) -> tuple[set[int], set[int]]:
    return {picture.person for picture in dataset.train}, {picture.person for picture in dataset.test}


def test_every_picture_is_trained_or_tested_on_and_no_person_both(root: Path) -> None:
    dataset = opened(root)
    train, test = persons(dataset)
    assert (len(train), len(test)) == (3, 3)
    assert not train & test
    found = [picture for picture in (*dataset.train, *dataset.test)]
    assert len({picture.path for picture in found}) == len(found) == 6 * 5
    for picture in found:
        assert (picture.camera, picture.modality) in ((1, "rgb"), (2, "ir"))
        assert f"/{picture.modality}/{sorted(PERSONS)[picture.person - 1]}/" in picture.path
    assert [picture.number for picture in dataset.train if picture.modality == "rgb"] == [1, 2, 3] * 3


def test_the_draw_is_the_same_every_time_and_another_for_another_trial(root: Path) -> None:
    assert opened(root) == opened(root)
    assert len({tuple(sorted(persons(opened(root, trial=trial))[1])) for trial in range(1, 11)}) > 3
    assert len(persons(opened(root, test_share=0.2))[1]) == 1


def test_a_list_of_test_persons_takes_the_place_of_the_draw(root: Path) -> None:
    (root / "test_persons.txt").write_text("anna\nb 2\n")
    names = sorted(PERSONS)
    assert persons(opened(root))[1] == {names.index("anna") + 1, names.index("b 2") + 1}
    (root / "test_persons.txt").write_text("nobody\n")
    with pytest.raises(DatasetError, match=r"test_persons.txt: nobody"):
        opened(root)


def test_a_person_seen_in_one_modality_is_left_out_and_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for picture in (root / "ir" / "anna").iterdir():
        picture.unlink()
    dataset = opened(root)
    assert "anna" in caplog.text
    assert not any("anna" in picture.path for picture in (*dataset.train, *dataset.test))


def test_a_folder_of_another_layout_is_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"rgb/<person>/\* and ir/<person>/\*"):
        opened(tmp_path)
