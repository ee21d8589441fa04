"""Every backend turns a file into the same pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from loaders.backends.dali import DaliStream
from loaders.backends.requests import ERASED, PictureError, Request, Source
from loaders.backends.threads import ThreadStream

SIZE = (64, 32)
BACKENDS = ["threads", "dali-cpu"]
FORMATS = {
    "rgb.jpg": {"format": "JPEG", "quality": 92},
    "rgb_full_chroma.jpg": {"format": "JPEG", "quality": 92, "subsampling": 0},
    "progressive.jpg": {"format": "JPEG", "progressive": True},
    "grey.jpg": {"format": "JPEG", "grey": True},
    "turned.jpg": {"format": "JPEG", "orientation": 6},
    "rgb.png": {"format": "PNG"},
    "grey.png": {"format": "PNG", "grey": True},
    "rgb.bmp": {"format": "BMP"},
    "grey.bmp": {"format": "BMP", "grey": True},
}
SIZES = {"larger": (150, 97), "twice": (128, 64), "smaller": (40, 19), "equal": SIZE, "wider": (37, 111)}


def noisy_picture(height: int, width: int) -> Image.Image:
    """Waves under strong noise: what filters disagree on."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 70 * np.sin(x / 7 + y / 11), 128 + 70 * np.cos(x / 5), 128 + 70 * np.sin(y / 3)], axis=-1)
    noise = np.random.default_rng(height * width).normal(0, 20, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


def write(
    path: Path, size: tuple[int, int], format: str, grey: bool = False, orientation: int = 0, **options: int
) -> str:
    picture = noisy_picture(*size)
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif  # type: ignore[assignment]
    (picture.convert("L") if grey else picture).save(path, format=format, **options)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """One file of every format in every size, by their names."""
    folder = tmp_path_factory.mktemp("pictures")
    return {
        (kind, name): write(folder / f"{kind}_{name}", SIZES[kind], **FORMATS[name])  # type: ignore[arg-type]
        for kind in SIZES
        for name in FORMATS
    }


def once(request: Request) -> Source:
    return lambda number: request if number == 0 else None


def load(backend: str, request: Request, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """The pictures of one request, int32 [N, 3, H, W]."""
    if backend == "threads":
        stream: ThreadStream | DaliStream = ThreadStream(once(request), size, threads=2, prefetch=1)
    else:
        stream = DaliStream(once(request), len(request.paths), size, threads=2, prefetch=1, device="cpu")
    (pictures,) = stream
    stream.close()
    return pictures.int()


def pillow(path: str, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """int32 [3, H, W], as Pillow decodes and resizes; orientation is not applied."""
    picture = Image.open(path).convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).int()


def largest_difference(left: torch.Tensor, right: torch.Tensor) -> int:
    return int((left - right).abs().max())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", SIZES)
def test_pixels_are_pillows_within_a_grey_level(backend: str, kind: str, files: dict[tuple[str, str], str]) -> None:
    paths = [files[kind, name] for name in FORMATS]
    pictures = load(backend, Request.unchanged(paths))
    assert pictures.shape == (len(paths), 3, *SIZE)
    expected = torch.stack([pillow(path) for path in paths])
    if backend == "threads":
        assert largest_difference(pictures, expected) <= 1
    else:
        # Where it shrinks, DALI repeats the outermost pixels for the part of the filter that lies outside the
        # picture; Pillow leaves that part out. This shows in the outermost row and column, and there only.
        # Inside, DALI rounds once and Pillow twice, so a level either way of the exact value.
        inside = (..., slice(1, -1), slice(1, -1))
        assert largest_difference(pictures[inside], expected[inside]) <= 1
        assert largest_difference(pictures, expected) <= 8


def test_the_picture_used_here_tells_filters_apart(files: dict[tuple[str, str], str]) -> None:
    path = files["larger", "rgb.png"]
    plain = cv2.resize(cv2.imread(path, cv2.IMREAD_COLOR_RGB), (SIZE[1], SIZE[0]), interpolation=cv2.INTER_LINEAR)
    assert largest_difference(torch.from_numpy(plain).permute(2, 0, 1).int(), pillow(path)) > 10


@pytest.mark.parametrize("kind", SIZES)
def test_backends_agree_within_a_grey_level_after_every_change(kind: str, files: dict[tuple[str, str], str]) -> None:
    paths = [files[kind, name] for name in FORMATS] * 4
    for seed in range(3):
        draw = np.random.default_rng(seed)
        request = Request(
            paths,
            flip=draw.random(len(paths)) < 0.5,
            crop=draw.integers(-6, 7, (len(paths), 2)).astype(np.int32),
            erase=draw.integers(0, 16, (len(paths), 4)).astype(np.int32),
        )
        one, other = (load(backend, request) for backend in BACKENDS)
        difference = (one - other).abs().amax(dim=1)
        # The outermost rows and columns, which differ, may have been moved inwards by the crop.
        for i, (down, right) in enumerate(request.crop.tolist()):
            frame = torch.zeros(SIZE, dtype=torch.bool)
            rows = [row - down for row in (0, SIZE[0] - 1) if 0 <= row - down < SIZE[0]]
            columns = [column - right for column in (0, SIZE[1] - 1) if 0 <= column - right < SIZE[1]]
            columns = [SIZE[1] - 1 - column for column in columns] if request.flip[i] else columns
            frame[rows] = True
            frame[:, columns] = True
            assert int(difference[i][~frame].max()) <= 1
        assert int(difference.max()) <= 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_changes_are_made_in_the_order_crop_flip_erase(backend: str, files: dict[tuple[str, str], str]) -> None:
    path = files["equal", "rgb.png"]
    plain = pillow(path)
    rows, columns = 5, -3
    changes = Request(
        [path] * 2, np.array([False, True]), np.array([[rows, columns]] * 2, np.int32), np.zeros((2, 4), np.int32)
    )
    changes.erase[1] = (8, 4, 10, 6)
    expected = torch.zeros_like(plain)
    expected[:, : SIZE[0] - rows, -columns:] = plain[:, rows:, :columns]
    moved, moved_mirrored_erased = load(backend, changes)
    assert torch.equal(moved, expected)
    expected = expected.flip(2)
    expected[:, 8:18, 4:10] = ERASED
    assert torch.equal(moved_mirrored_erased, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_orientation_in_the_file_is_ignored(backend: str, tmp_path: Path) -> None:
    upright = write(tmp_path / "upright.jpg", (90, 40), format="JPEG")
    turned = write(tmp_path / "turned.jpg", (90, 40), format="JPEG", orientation=6)
    assert Image.open(turned).getexif()[0x0112] == 6
    one, other = load(backend, Request.unchanged([upright, turned]))
    assert torch.equal(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_file_is_named_with_the_batch_it_is_in(backend: str, tmp_path: Path) -> None:
    good = [write(tmp_path / f"{i}.jpg", (20, 10), format="JPEG") for i in range(6)]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(good[0]).read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_bytes(b"no picture" * 50)
    for broken in (cut, text):

        def source(number: int, broken: str = str(broken)) -> Request:
            return Request.unchanged([*good[:3], broken, *good[4:]] if number == 2 else good)

        stream: ThreadStream | DaliStream
        if backend == "threads":
            stream = ThreadStream(source, SIZE, threads=2, prefetch=2)
        else:
            stream = DaliStream(source, 6, SIZE, threads=2, prefetch=2, device="cpu")
        assert [next(stream).shape[0] for _ in range(2)] == [6, 6]
        with pytest.raises(PictureError, match=broken.name) as caught:
            next(stream)
        assert not any(Path(path).name in str(caught.value) for path in good)
        stream.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_or_empty_file_is_named(backend: str, content: bytes | None, tmp_path: Path) -> None:
    good = write(tmp_path / "good.jpg", (20, 10), format="JPEG")
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(PictureError, match=r"bad\.jpg"):
        load(backend, Request.unchanged([good, str(bad)]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_decoding_on_the_gpu_without_one_says_what_to_set() -> None:
    with pytest.raises(ValueError, match="'auto', 'threads' or 'dali-cpu'"):
        DaliStream(lambda _: None, 4, SIZE, threads=1, prefetch=1, device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="decodes on a GPU")
def test_the_gpu_decodes_the_same_pictures(files: dict[tuple[str, str], str]) -> None:
    request = Request.unchanged([files[kind, name] for kind in SIZES for name in FORMATS])
    stream = DaliStream(once(request), len(request.paths), SIZE, threads=2, prefetch=1, device="gpu")
    (pictures,) = stream
    assert pictures.is_cuda
    # The GPU's own JPEG decoder rounds differently, so the mean is held to a level and single pixels to a few.
    difference = (pictures.cpu().int() - load("dali-cpu", request)).abs()
    assert float(difference.float().mean()) <= 1
    stream.close()


def test_opencv_keeps_the_number_of_threads_that_others_set(tmp_path: Path) -> None:
    path = write(tmp_path / "picture.jpg", (40, 20), format="JPEG")
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        load("threads", Request.unchanged([path] * 8))
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
