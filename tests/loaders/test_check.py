"""`python -m loaders.check`: what it counts, what it finds, and when it fails."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.check.__main__ import main
from loaders.check.files import Finding, inspect
from loaders.config import SyntheticSettings
from loaders.synthetic import make
from loaders.sysu_mm01 import read


def picture(path: Path, size: tuple[int, int] = (64, 128), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(path)
    return path


def damaged(content: bytes, seed: int = 0) -> bytes:
    """A file with 64 other bytes in its middle."""
    middle = len(content) // 2
    other = np.random.default_rng(seed).integers(0, 250, 64, dtype=np.uint8).tobytes()
    return content[:middle] + other + content[middle + 64 :]


def kinds(path: Path) -> list[str]:
    return [finding.kind for finding in inspect(str(path)).findings]


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_a_good_picture_has_no_findings(tmp_path: Path, suffix: str) -> None:
    found = inspect(str(picture(tmp_path / f"good.{suffix}")))
    assert found.findings == ()
    assert found.size == (64, 128)


def test_files_that_end_a_training_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    assert kinds(tmp_path / "gone.jpg") == ["unreadable"]
    assert kinds(tmp_path / "empty.jpg") == ["empty"]
    assert kinds(tmp_path / "text.jpg") == ["broken"]


@pytest.mark.parametrize(
    ("suffix", "kept", "kind"), [("jpg", -2, "truncated"), ("jpg", -2000, "truncated"), ("bmp", -200, "broken")]
)
def test_a_picture_that_was_cut_off_is_found(tmp_path: Path, suffix: str, kept: int, kind: str) -> None:
    path = picture(tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[:kept])
    assert kinds(path) == [kind]


@pytest.mark.parametrize("seed", range(5))
def test_damage_in_mid_stream_is_found_though_it_decodes(tmp_path: Path, seed: int) -> None:
    path = picture(tmp_path / "damaged.jpg", seed=seed)
    path.write_bytes(damaged(path.read_bytes(), seed))
    assert kinds(path) == ["damaged"]


def test_a_png_with_a_wrong_check_sum_is_found(tmp_path: Path) -> None:
    path = picture(tmp_path / "damaged.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert set(kinds(path)) <= {"damaged", "broken"} != set()
    assert kinds(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "set"
    make(str(root), SyntheticSettings(persons=16, pictures=2, seed=1))
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


def trained_on(root: Path) -> list[Path]:
    persons = (root / "exp" / "train_id.txt").read_text().split(",")
    return sorted(path for person in persons for path in root.glob(f"cam*/{int(person):04d}/*.jpg"))


def test_a_whole_set_is_counted_by_camera_and_can_be_trained_on(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(whole), "--strict"]) == 0
    printed = capsys.readouterr().out
    assert "layout of synthetic" in printed
    assert "6 (ir)" in printed
    assert "published" not in printed
    assert printed.strip().endswith("can be trained on")


def test_counts_stand_beside_the_published_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "synthetic.json").unlink()
    assert main([str(root)]) == 0
    printed = capsys.readouterr().out
    assert "layout of sysu-mm01" in printed
    row = next(line for line in printed.splitlines() if "train" in line and "rgb" in line and "(" not in line)
    dataset = read(str(root))
    pictures = [picture for picture in dataset.train if picture.modality == "rgb"]
    assert row.replace("│", " ").split() == [
        "train",
        "rgb",
        f"{len(dataset.train_persons)}",
        f"{len(pictures)}",
        "395",
        "22258",
    ]


def test_a_test_picture_that_cannot_be_decoded_fails_the_check_too(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(read(str(root)).test[0].path)
    broken.write_bytes(b"no picture")
    assert main([str(root)]) == 1
    assert f"1 test pictures cannot be decoded, the first is {broken}" in capsys.readouterr().err


def test_every_broken_file_is_named_also_where_the_set_cannot_be_opened(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, text, *_ = trained_on(root)
    empty.write_bytes(b"")
    text.write_bytes(b"no picture")
    assert main([str(root)]) == 1
    printed = capsys.readouterr()
    assert f"{empty}: 0 bytes" in printed.out
    assert str(text) in printed.out
    assert "cannot be trained on: 1 picture files are empty" in printed.err


def test_a_training_picture_that_cannot_be_decoded_fails_the_check_by_name(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = trained_on(root)[3]
    broken.write_bytes(b"no picture")
    assert main([str(root)]) == 1
    assert str(broken) in capsys.readouterr().err


def test_what_a_training_survives_is_listed_and_fails_only_when_asked_to(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third, *_ = trained_on(root)
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2] + content[len(content) // 2 + 400 :])
    third.write_bytes(first.read_bytes())
    assert main([str(root)]) == 0
    printed = capsys.readouterr().out
    assert f"{second}: Corrupt JPEG data" in printed
    assert f"{third}: the bytes of {first}" in printed
    assert main([str(root), "--strict"]) == 1


def test_pictures_of_another_size_than_all_others_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(40):
        odd = number == 7
        for modality in ("rgb", "ir"):
            path = tmp_path / modality / f"person{number % 4}" / f"{number}.bmp"
            picture(path, (32, 64) if odd and modality == "ir" else (64, 128), seed=number + 100 * (modality == "ir"))
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "layout of folder" in printed.replace("\n", " ")
    assert "mis-sized: 1 file" in printed
    assert "7.bmp: 32 x 64 pixels, others 64 x 128" in printed


def test_a_folder_without_a_known_layout_is_refused_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert "cam1 and exp" in capsys.readouterr().err


def test_findings_say_what_and_where() -> None:
    finding = inspect("/nowhere/a.jpg").findings[0]
    assert finding == Finding("unreadable", "/nowhere/a.jpg", "No such file or directory", fatal=True)


def test_a_picture_in_a_format_that_not_every_backend_decodes_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (32, 64)).save(tmp_path / "really_a_gif.jpg", format="GIF")
    assert kinds(tmp_path / "really_a_gif.jpg") == ["foreign"]
