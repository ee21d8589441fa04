"""Searching with one's own pictures: what is found, what is marked, what is said of pictures that are broken."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aligngan.features import FEATURE
from aligngan.index import GalleryIndex, UnusableIndex, load_index
from aligngan.model import load_model
from aligngan.picture_files import look_at, modality_by_colour, person_of, say_modalities
from aligngan.search import main
from aligngan.search_run import PAGE, SHEET, TABLE
from aligngan.sheets import GREEN, GREY, RED
from aligngan.similarity import nearest
from tests.retrieval.small_run import write_picture, write_run

PERSONS = ("7", "08", "anna")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("search") / "run")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    for number, person in enumerate(PERSONS):
        for picture in range(2):
            write_picture(folder / "rgb" / person / f"{picture}.jpg", 10 * number + picture)
        write_picture(folder / "ir" / person / "0.png", 10 * number + 5, grey=True)
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def index_of(features: np.ndarray, names: list[str] | None = None) -> GalleryIndex:
    count = len(features)
    names = names or [f"{row}.jpg" for row in range(count)]
    return GalleryIndex(features, "/g", names, ["rgb"] * count, [None] * count, "aligngan", "d", FEATURE, 0)


def colours(path: Path) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(np.array(Image.open(path)).reshape(-1, 3), axis=0)}


def test_a_search_writes_a_sheet_a_page_and_a_table_with_right_and_wrong_marked(
    run: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = gallery / "ir" / "08" / "0.png"
    status = main(
        [str(run), "--query", str(query), "--gallery", str(gallery), "--among", "rgb", "--out", str(tmp_path)]
    )
    assert status == 0
    said = capsys.readouterr().out
    assert "3 infrared (by folder name), 6 visible (by folder name)" in said
    assert "searched 6 pictures for 1 queries" in said
    rows = rows_of(tmp_path)
    model = load_model(run, "cpu")
    paths = sorted(gallery.glob("rgb/*/*.jpg"))
    order, similarities = nearest(model.embed([query], "ir"), model.embed(paths, "rgb"), 10)
    assert [row["picture"] for row in rows] == [paths[i].relative_to(gallery).as_posix() for i in order[0]]
    assert [float(row["similarity"]) for row in rows] == pytest.approx(similarities[0].tolist(), abs=1e-4)
    assert {row["picture"]: row["match"] for row in rows} == {
        path.relative_to(gallery).as_posix(): "right" if path.parent.name == "08" else "wrong" for path in paths
    }
    assert {GREEN, RED} <= colours(tmp_path / SHEET)
    page = (tmp_path / PAGE).read_text()
    assert page.count("data:image/png;base64,") == 1 + len(rows)
    assert "http" not in page
    assert page.count('class="right"') == 2
    assert page.count('class="wrong"') == 4


def test_without_persons_nothing_is_marked_and_modalities_are_guessed_and_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_picture(tmp_path / "loose" / f"{number}.jpg", number)
    query = write_picture(tmp_path / "<b>query.jpg", 9, grey=True)
    out = tmp_path / "out"
    assert main([str(run), "--query", str(query), "--gallery", str(tmp_path / "loose"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "gallery: 3 visible (guessed by colour)" in said
    assert "queries: 1 infrared (guessed by colour)" in said
    assert {row["match"] for row in rows_of(out)} == {""}
    assert GREY in colours(out / SHEET)
    assert not {GREEN, RED} & colours(out / SHEET)
    assert "<b>query" not in (out / PAGE).read_text()


def test_an_index_finds_what_the_folder_finds_and_belongs_to_its_checkpoint(
    run: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query, index = str(gallery / "ir" / "7" / "0.png"), str(tmp_path / "index")
    first = [str(run), "--query", query, "--gallery", str(gallery), "--out", str(tmp_path / "a")]
    assert main([*first, "--save-index", index]) == 0
    assert main([str(run), "--query", query, "--gallery", index, "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a" / TABLE).read_bytes() == (tmp_path / "b" / TABLE).read_bytes()
    assert (tmp_path / "a" / SHEET).read_bytes() == (tmp_path / "b" / SHEET).read_bytes()
    # The query is one of the gallery's pictures and is not its own match.
    assert len(rows_of(tmp_path / "b")) == 8
    other = str(write_run(tmp_path / "other", "aligngan", "train.seed=5"))
    capsys.readouterr()
    assert main([other, "--query", query, "--gallery", index, "--out", str(tmp_path / "c")]) == 2
    assert "made with another checkpoint" in capsys.readouterr().err
    assert main([str(run), "--query", query, "--gallery", index, "--flip", "--out", str(tmp_path / "c")]) == 2
    assert "or change --flip" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_damaged_index_is_refused_and_one_that_is_written_again_stays_whole(
    run: Path, gallery: Path, tmp_path: Path
) -> None:
    model, place = load_model(run, "cpu"), tmp_path / "index"
    index = index_of(np.eye(3, 8, dtype=np.float32))
    index = GalleryIndex(**{**vars(index), "digest": model.digest})
    index.save(str(place))
    assert load_index(str(place), model).search(np.eye(1, 8, dtype=np.float32), 1)[0].tolist() == [[0]]
    GalleryIndex(**{**vars(index), "features": -index.features}).save(str(place))
    assert len(list(place.iterdir())) == 2
    np.testing.assert_array_equal(load_index(str(place), model).features, -index.features)
    features = next(place.glob("*.npy"))
    features.write_bytes(features.read_bytes()[:-8])
    with pytest.raises(UnusableIndex, match="cannot be read"):
        load_index(str(place), model)
    about = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(UnusableIndex, match="newer version"):
        load_index(str(place), model)
    with pytest.raises(UnusableIndex, match="not an index"):
        index.save(str(gallery))


def test_broken_pictures_are_named_skipped_and_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "gallery"
    write_picture(gallery / "a.jpg", 1)
    (gallery / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (gallery / "rgb").mkdir()
    (gallery / "rgb" / "empty.jpg").write_bytes(b"")
    query = str(write_picture(tmp_path / "q.png", 2))
    out = str(tmp_path / "out")
    assert main([str(run), "--query", query, str(gallery / "cut.jpg"), "--gallery", str(gallery), "--out", out]) == 0
    said = capsys.readouterr().err
    assert "cut.jpg" in said
    assert "empty.jpg" in said
    assert "2 of 3 gallery pictures are broken and were skipped" in said
    assert "1 of 2 query pictures are broken and were skipped" in said
    assert [row["picture"] for row in rows_of(tmp_path / "out")] == ["a.jpg"]
    (gallery / "a.jpg").unlink()
    assert main([str(run), "--query", query, "--gallery", str(gallery), "--out", out]) == 1
    assert "the gallery is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "gallery", "words"),
    [
        ("nobody.jpg", "pictures", "nobody.jpg: no such picture"),
        ("pictures/a.png", "nowhere", "nowhere is missing"),
        ("pictures/a.png", "bare", "bare holds no picture"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_starts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], query: str, gallery: str, words: str
) -> None:
    write_picture(tmp_path / "pictures" / "a.png", 1)
    (tmp_path / "bare").mkdir()
    arguments = [str(run), "--query", str(tmp_path / query), "--gallery", str(tmp_path / gallery)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_most_similar_come_first_equal_ones_in_order_and_left_out_ones_never() -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((500, 6)).astype(np.float32)
    features[[10, 20, 30]] = features[5]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    queries = features[[5, 100]]
    rows, values = index_of(features).search(queries, 4)
    assert rows[0].tolist() == [5, 10, 20, 30]
    expected, similarities = nearest(queries, features, 4)
    assert set(rows[1]) == set(expected[1])
    np.testing.assert_allclose(values, similarities, atol=1e-6)
    rows, _ = index_of(features).search(queries, 3, left_out=[[5], [100]])
    assert rows[0].tolist() == [10, 20, 30]
    assert 100 not in rows[1]
    rows, _ = index_of(features[:2]).search(queries, 10, left_out=[[0], []])
    assert rows.shape == (2, 1)


def test_folders_tell_modality_and_person(tmp_path: Path) -> None:
    places = {
        "cam3/0012/0001.jpg": ("ir", "12"),
        "data/Thermal/7/a.bmp": ("ir", "7"),
        "visible/anna/a.png": ("rgb", "anna"),
        "rgb/a.png": ("rgb", None),
    }
    for name, (modality, person) in places.items():
        [found] = look_at([str(write_picture(tmp_path / name, 1))])
        assert (found.modality, found.person) == (modality, person), name
    given = look_at([str(tmp_path / "rgb" / "a.png")], "ir")
    assert say_modalities(given) == "1 infrared (as given)"


def test_grey_pictures_are_taken_for_infrared_even_after_jpeg(tmp_path: Path) -> None:
    assert modality_by_colour(str(write_picture(tmp_path / "grey.jpg", 3, grey=True, size=(64, 32)))) == "ir"
    assert modality_by_colour(str(write_picture(tmp_path / "colour.jpg", 3, size=(64, 32)))) == "rgb"
    assert person_of(str(tmp_path / "grey.jpg")) is None
