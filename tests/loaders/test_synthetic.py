"""The synthetic set is a whole, repeatable set in the layout of SYSU-MM01 that has to be learned across modalities."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from loaders.catalog import open_dataset
from loaders.config import DataSettings, SyntheticSettings
from loaders.dataset import DatasetError
from loaders.synthetic import default_root, ensure, make
from loaders.synthetic.__main__ import main
from loaders.synthetic.materials import COLOURS, DYES, FIBRES, cloth
from loaders.synthetic.population import populate
from loaders.synthetic.streams import stream
from loaders.sysu_mm01 import read_persons

SMALL = SyntheticSettings(persons=8, pictures=2, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "set"
    make(str(root), SMALL)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def decode(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None, f"{path} is no picture"
    return picture


def pictures_of(root: Path, camera: int) -> list[np.ndarray]:
    return [decode(path) for path in sorted((root / f"cam{camera}").rglob("*.jpg"))]


def test_the_sysu_reader_reads_it(made):
    dataset = open_dataset(DataSettings(name="sysu-mm01", root=str(made)))
    population = populate(SMALL.persons, SMALL.seed)
    assert dataset.train_persons == tuple(sorted(population.train + population.val))
    counts: dict[tuple[int, int], list[int]] = {}
    for picture in dataset.train + dataset.test:
        counts.setdefault((picture.person, picture.camera), []).append(picture.number)
    assert counts == {(p, c): [1, 2] for p, cameras in population.cameras.items() for c in cameras}


def test_the_name_synthetic_makes_the_set_in_the_cache_folder_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = open_dataset(DataSettings(synthetic=SMALL))
    assert first.name == "synthetic"
    assert first.protocol == "sysu-mm01"
    assert Path(first.root) == default_root(SMALL) == tmp_path / "aligngan" / "synthetic-8x2-seed3-v1"
    changed = Path(first.train[0].path).stat().st_mtime_ns
    again = open_dataset(DataSettings(synthetic=SMALL))
    assert Path(again.train[0].path).stat().st_mtime_ns == changed


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    make(str(tmp_path / "again"), SMALL)
    assert files(tmp_path / "again") == files(made)


def test_another_seed_gives_other_people(made, tmp_path):
    make(str(tmp_path / "other"), SMALL.model_copy(update={"seed": 4}))
    ours, theirs = files(made), files(tmp_path / "other")
    shared = [name for name in ours.keys() & theirs.keys() if name.endswith(".jpg")]
    assert shared
    assert all(ours[name] != theirs[name] for name in shared)


@pytest.mark.parametrize("name", ["train_id", "val_id", "test_id", "available_id"])
def test_text_and_matlab_lists_agree(made, tmp_path, name):
    (tmp_path / f"{name}.mat").write_bytes((made / "exp" / f"{name}.mat").read_bytes())
    assert read_persons(tmp_path, name) == read_persons(made / "exp", name)


def test_half_the_persons_train_a_tenth_validate_and_the_rest_test():
    population = populate(96, 0)
    assert [len(part) for part in (population.train, population.val, population.test)] == [48, 10, 38]
    assert sorted(population.train + population.val + population.test) == list(range(1, 97))


@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_seen_in_both_modalities_but_not_by_every_camera(seed):
    population = populate(40, seed)
    for cameras in population.cameras.values():
        assert {1, 2, 4, 5} & set(cameras)
        assert {3, 6} & set(cameras)
    assert any(len(cameras) < 6 for cameras in population.cameras.values())
    assert sum({1, 2, 3, 6} <= set(population.cameras[person]) for person in population.test) >= 2


def test_the_gallery_draw_orders_the_existing_pictures_ten_times(made):
    dataset = open_dataset(DataSettings(name="sysu-mm01", root=str(made)))
    assert dataset.permutations is not None
    for camera in range(1, 7):
        for person in range(1, SMALL.persons + 1):
            folder = made / f"cam{camera}" / f"{person:04d}"
            numbers = sorted(int(path.stem) for path in folder.glob("*.jpg"))
            drawn = dataset.permutations[camera - 1][person - 1]
            assert drawn.shape == (10, len(numbers))
            assert all(sorted(row) == numbers for row in drawn.tolist())
    everybody = np.concatenate([drawn for column in dataset.permutations for drawn in column if drawn.size], axis=0)
    assert len(np.unique(everybody, axis=0)) == 2


def test_infrared_pictures_are_grey_and_colour_pictures_are_not(made):
    for camera in range(1, 7):
        spread = [np.ptp(picture.astype(int), axis=2).mean() for picture in pictures_of(made, camera)]
        assert max(spread) < 1 if camera in (3, 6) else min(spread) > 3


def test_crops_vary_in_size_like_detections(made):
    shapes = {picture.shape[:2] for camera in range(1, 7) for picture in pictures_of(made, camera)}
    assert len(shapes) > 30
    assert all(110 <= height <= 190 and 0.3 < width / height < 0.55 for height, width in shapes)


def test_one_colour_has_many_infrared_reflectances():
    rng = stream(0, 0)
    near = {dye: cloth(rng, "polyester", "black", dye) for dye in ("disperse", "carbon")}
    assert all(max(material.rgb) < 0.05 for material in near.values())
    assert near["disperse"].nir > 0.6
    assert near["carbon"].nir < 0.2


def test_cloth_in_a_transparent_dye_shows_its_fibre_in_infrared_whatever_the_colour():
    rng = stream(0, 0)
    for fibre in FIBRES:
        for dye in set(FIBRES[fibre].dyes) & {"reactive", "disperse"}:
            near = [cloth(rng, fibre, colour, dye).nir for colour in COLOURS]
            undyed = FIBRES[fibre].nir
            assert min(near) > undyed * (1 - DYES[dye].nir_absorption) * 0.75
            assert max(near) < undyed * 1.25


def test_an_interrupted_make_leaves_nothing_behind(tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(str(tmp_path / "set"), SMALL, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_make_is_not_taken_for_whole_and_is_cleared_away(made, tmp_path):
    kill = (
        "import os, sys; from loaders.config import SyntheticSettings; from loaders.synthetic import make\n"
        "make(sys.argv[1], SyntheticSettings(persons=8, pictures=2, seed=3), lambda done, total: os._exit(9))"
    )
    assert subprocess.run([sys.executable, "-c", kill, str(tmp_path / "set")], check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    assert not (tmp_path / "set").exists()
    ensure(SMALL, str(tmp_path / "set"))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert files(tmp_path / "set") == files(made)


def test_processes_that_start_together_end_with_one_whole_set(made, tmp_path):
    script = (
        "import sys; from loaders.config import SyntheticSettings; from loaders.synthetic import ensure\n"
        "print(ensure(SyntheticSettings(persons=8, pictures=2, seed=3), sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "set")]
    together = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in together] == [str(tmp_path / "set")] * 2
    assert [process.returncode for process in together] == [0, 0]
    assert files(tmp_path / "set") == files(made)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_without_locks_the_loser_takes_the_winners_set(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", no_locks)
    out = str(tmp_path / "set")
    rivals: list[str] = []

    def rival_is_faster(done: int, total: int) -> None:
        if not rivals:
            rivals.append(out)
            make(out, SMALL)

    assert ensure(SMALL, out, rival_is_faster) == out
    assert rivals
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_of_other_settings_is_not_passed_off(made):
    with pytest.raises(DatasetError, match=r"other settings: found .*'seed': 3.*wanted .*'seed': 5"):
        ensure(SMALL.model_copy(update={"seed": 5}), str(made))


def test_a_folder_with_something_in_it_is_refused_and_kept(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert main([str(tmp_path), "--persons", "8", "--pictures", "2"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_command_makes_a_set_and_says_what_it_holds(made, tmp_path, capsys):
    out = tmp_path / "people"
    assert main([str(out), "--persons", "8", "--pictures", "2", "--seed", "3"]) == 0
    assert files(out) == files(made)
    colour, infrared = (sum(len(pictures_of(out, camera)) for camera in kind) for kind in ((1, 2, 4, 5), (3, 6)))
    printed = capsys.readouterr().out
    assert f"8 persons (4 train, 1 val, 3 test), {colour} colour and {infrared} infrared pictures" in printed
    sheet = decode(out / "contact_sheet.png")
    assert str(out / "contact_sheet.png") in printed
    assert sheet.shape[0] > SMALL.persons * 100


def test_too_few_persons_are_refused_with_the_least_number(capsys):
    with pytest.raises(SystemExit):
        main(["anywhere", "--persons", "3"])
    assert "--persons 3: input should be greater than or equal to 8" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m loaders.synthetic people --persons 96" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "set"
    with pytest.raises(DatasetError, match=rf"{root}: .*none can be made there: .*; set data\.root to a folder"):
        ensure(SMALL, str(root))
