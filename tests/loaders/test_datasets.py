"""Published layouts are read as published, and what is missing is named together with its remedy."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from loaders.catalog import open_dataset
from loaders.config import DataSettings, SyntheticSettings
from loaders.dataset import Dataset, DatasetError
from loaders.synthetic import make
from loaders.sysu_mm01 import read_permutations, read_persons

PUBLISHED = Path(__file__).parents[3] / "shared" / "data"
SEEN = {1: {1: 3, 2: 2, 4: 3, 5: 2}, 2: {5: 2}, 3: {1: 2, 5: 1}, 4: {5: 4}, 5: {1: 2}, 6: {1: 2, 4: 2, 5: 2}}
"""Pictures by camera and person. 1, 2 and 6 train, 4 validates, 5 and 7 test; no camera saw 6 and 7, no infrared 2."""


def published(name: str) -> Path:
    path = PUBLISHED / name
    if not path.is_file():
        pytest.skip(f"{name} of SYSU-MM01 has no licence to be kept in the project and is not beside this checkout")
    return path


@pytest.fixture
def sysu(tmp_path: Path) -> Path:
    root = tmp_path / "sysu"
    cells = np.empty((6, 1), object)
    for camera, persons in SEEN.items():
        # Published lists differ in length: they end with the last person that the camera saw.
        cells[camera - 1, 0] = column = np.empty((max(persons), 1), object)
        (root / f"cam{camera}").mkdir(parents=True)
        for person in range(1, max(persons) + 1):
            count = persons.get(person, 0)
            rows = [np.roll(np.arange(1, count + 1), trial) for trial in range(10)]
            column[person - 1, 0] = np.array(rows, np.uint8).reshape(10, count)
            for number in range(count, 0, -1):
                picture = root / f"cam{camera}" / f"{person:04d}" / f"{number:04d}.jpg"
                picture.parent.mkdir(exist_ok=True)
                picture.write_bytes(b"jpeg")
    (root / "exp").mkdir()
    for name, listed in {"train": "1,2,6", "val": "4", "test": "5,7"}.items():
        (root / "exp" / f"{name}_id.txt").write_text(listed + "\n")
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    return root


def open_sysu(root: Path) -> Dataset:
    return open_dataset(DataSettings(name="sysu-mm01", root=str(root)))


def test_sysu_trains_on_train_and_val_persons(sysu):
    dataset = open_sysu(sysu)
    assert dataset.train_persons == (1, 4)
    assert {picture.person for picture in dataset.test} == {5}
    assert (dataset.name, dataset.protocol, dataset.trial) == ("sysu-mm01", "sysu-mm01", None)


def test_sysu_numbers_are_those_of_the_file_names_in_ascending_order(sysu):
    (sysu / "cam1" / "0001" / "0002.jpg").unlink()
    (sysu / "cam1" / "0001" / "Thumbs.db").write_bytes(b"no picture")
    found = [p for p in open_sysu(sysu).train if (p.camera, p.person) == (1, 1)]
    assert [(p.number, Path(p.path).name) for p in found] == [(1, "0001.jpg"), (3, "0003.jpg")]


def test_sysu_cameras_3_and_6_are_infrared(sysu):
    dataset = open_sysu(sysu)
    pictures = dataset.train + dataset.test
    assert {p.camera for p in pictures if p.modality == "ir"} == {3, 6}
    assert {p.camera for p in pictures if p.modality == "rgb"} == {1, 2, 4, 5}


def test_sysu_person_of_one_modality_is_left_out_of_training_and_named(sysu, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = open_sysu(sysu)
    assert 2 not in dataset.train_persons
    assert "persons 2" in caplog.text


def test_sysu_without_any_paired_training_person_is_an_error(sysu):
    for name in ("train", "val"):
        (sysu / "exp" / f"{name}_id.txt").write_text("2")
    with pytest.raises(DatasetError, match=r"no training person .* IR camera"):
        open_sysu(sysu)


def test_sysu_permutations_reach_every_test_person_also_beyond_the_shortest_list(sysu):
    permutations = open_sysu(sysu).permutations
    assert permutations is not None
    assert permutations[0][4].tolist()[:3] == [[1, 2], [2, 1], [1, 2]]
    assert [len(column) for column in permutations] == [5] * 6
    assert permutations[4][4].shape == (10, 0)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("cam4", r"cam4.*unpack"),
        ("exp/val_id.txt", r"val_id\.txt.*copy"),
        ("exp/rand_perm_cam.mat", r"rand_perm_cam\.mat.*copy"),
        ("cam2/0005/0001.jpg", r"cam2/0005 lacks pictures 1 .*unpack"),
    ],
)
def test_sysu_says_what_is_missing_and_what_to_do(sysu, missing, says):
    path = sysu / missing
    path.rename(sysu / "elsewhere")
    with pytest.raises(DatasetError, match=says):
        open_sysu(sysu)


def test_sysu_names_an_empty_picture_file(sysu):
    (sysu / "cam3" / "0005" / "0001.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"cam3/0005/0001\.jpg"):
        open_sysu(sysu)


def test_sysu_refuses_a_person_who_trains_and_tests(sysu):
    (sysu / "exp" / "test_id.txt").write_text("4,5")
    with pytest.raises(DatasetError, match=r"persons 4 "):
        open_sysu(sysu)


def test_sysu_lists_are_read_from_matlab_files_where_there_is_no_text(sysu):
    (sysu / "exp" / "val_id.txt").unlink()
    savemat(sysu / "exp" / "val_id.mat", {"id": np.array([[4]], np.uint16)})
    assert open_sysu(sysu).train_persons == (1, 4)


def test_sysu_broken_list_names_the_word(sysu):
    (sysu / "exp" / "train_id.txt").write_text("1,two")
    with pytest.raises(DatasetError, match=r"'two' is no person number"):
        open_sysu(sysu)


def test_published_person_lists_are_read():
    published("train_id.mat")
    assert len(read_persons(PUBLISHED, "train_id")) == 296
    assert len(read_persons(PUBLISHED, "test_id")) == 96


def test_published_gallery_draw_has_the_published_sizes():
    permutations = read_permutations(str(published("rand_perm_cam.mat")))
    test_persons = read_persons(PUBLISHED, "test_id")
    present = {c: [p for p in test_persons if permutations[c - 1][p - 1].size] for c in range(1, 7)}
    assert sum(len(present[camera]) for camera in (1, 2, 4, 5)) == 301
    assert sum(len(present[camera]) for camera in (1, 2)) == 112
    assert sum(permutations[camera - 1][p - 1].shape[1] for camera in (3, 6) for p in present[camera]) == 3803
    for camera, persons in present.items():
        for person in persons:
            drawn = permutations[camera - 1][person - 1]
            assert (np.sort(drawn, axis=1) == np.arange(1, drawn.shape[1] + 1)).all()


def test_a_set_without_a_root_says_which_setting_is_missing():
    with pytest.raises(DatasetError, match=r"data\.root"):
        open_dataset(DataSettings(name="sysu-mm01"))


@pytest.mark.parametrize("name", ["sysu-mm01", "regdb"])
def test_a_root_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere.*data\.root"):
        open_dataset(DataSettings(name=name, root=str(tmp_path / "nowhere")))


@pytest.fixture
def regdb(tmp_path: Path) -> Path:
    root = tmp_path / "regdb"
    (root / "idx").mkdir(parents=True)
    for trial in (1, 2):
        for half in ("train", "test"):
            for spectrum in ("visible", "thermal"):
                lines = []
                for label in range(2):
                    for image in range(2):
                        person = label + (2 if (half == "test") == (trial == 1) else 0)
                        name = f"{spectrum.title()}/{person}/a picture_{image}.bmp"
                        (root / name).parent.mkdir(parents=True, exist_ok=True)
                        (root / name).write_bytes(b"bmp")
                        lines.append(f"{name} {label}")
                (root / "idx" / f"{half}_{spectrum}_{trial}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_regdb_reads_the_lists_of_the_chosen_trial(regdb):
    first, second = (open_dataset(DataSettings(name="regdb", root=str(regdb), trial=trial)) for trial in (1, 2))
    assert first.train_persons == (0, 1)
    assert [p.path for p in first.train] == [p.path for p in second.test]
    assert (first.trial, second.trial, first.protocol, first.permutations) == (1, 2, "regdb", None)


def test_regdb_camera_1_is_visible_and_camera_2_thermal(regdb):
    dataset = open_dataset(DataSettings(name="regdb", root=str(regdb)))
    for picture in dataset.train + dataset.test:
        assert ("Visible" in picture.path) == (picture.camera == 1) == (picture.modality == "rgb")
    assert [p.number for p in dataset.train[:4]] == [1, 2, 1, 2]


def test_regdb_names_the_missing_list_and_the_missing_picture(regdb):
    (regdb / "Thermal/3/a picture_1.bmp").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 4 pictures of .*test_thermal_1\.txt.*Thermal/3/a picture_1\.bmp"):
        open_dataset(DataSettings(name="regdb", root=str(regdb)))
    with pytest.raises(DatasetError, match=r"train_visible_7\.txt.*copy the idx folder"):
        open_dataset(DataSettings(name="regdb", root=str(regdb), trial=7))


def test_regdb_names_the_line_that_is_no_entry(regdb):
    (regdb / "idx" / "train_visible_1.txt").write_text("Visible/0/a.bmp\n")
    with pytest.raises(DatasetError, match=r"line 1: found 'Visible/0/a\.bmp'"):
        open_dataset(DataSettings(name="regdb", root=str(regdb)))


@pytest.mark.parametrize("kept", [".txt", ".mat"])
def test_sysu_reads_every_list_in_either_of_its_forms(kept, tmp_path):
    make(str(tmp_path / "set"), SyntheticSettings(persons=10, pictures=2))
    whole = open_sysu(tmp_path / "set")
    lists = {
        name: read_persons(tmp_path / "set" / "exp", name) for name in ("train_id", "val_id", "test_id", "available_id")
    }
    for path in (tmp_path / "set" / "exp").glob("*_id.*"):
        if path.suffix != kept:
            path.unlink()
    again = open_sysu(tmp_path / "set")
    assert (again.train, again.test) == (whole.train, whole.test)
    assert lists == {name: read_persons(tmp_path / "set" / "exp", name) for name in lists}
    assert lists["available_id"] == tuple(sorted(lists["train_id"] + lists["val_id"] + lists["test_id"]))


def test_readers_say_how_long_files_are_and_when_they_were_changed(sysu):
    for picture in open_sysu(sysu).train:
        assert picture.size == Path(picture.path).stat().st_size > 0
        assert picture.changed >= Path(picture.path).stat().st_mtime_ns
