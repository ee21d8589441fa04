"""Files and decoded pictures that the workers of a node keep together."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from loaders.backends import requests
from loaders.batches import Backend, Batch, BatchLoader, read_pictures
from loaders.cache import Files, open_files, opening
from loaders.cache.shared import SharedFolder
from loaders.config import DataSettings
from loaders.dataset import DatasetError, Modality, Picture
from loaders.plan import BatchPlan

pytestmark = pytest.mark.timeout(120)
SIZE = (32, 16)
BACKENDS: list[Backend] = ["threads", "dali-cpu"]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test in place of the node's shared memory."""
    place = tmp_path / "memory"
    place.mkdir()
    monkeypatch.setattr(opening, "SHARED_MEMORY", place)
    return place


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    made = []
    modalities: list[tuple[Modality, int]] = [("rgb", 1), ("ir", 3)]
    draw = np.random.default_rng(0)
    for person in range(1, 6):
        for modality, camera in modalities:
            for number in (1, 2, 3):
                path = tmp_path / f"{modality}_{person}_{number}.jpg"
                picture = cv2.resize(draw.integers(0, 256, (6, 3, 3), np.uint8), (20, 40 + person))
                path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
                made.append(Picture(str(path), person, camera, modality, number))
    return made


def settings(cache: str, **more: object) -> DataSettings:
    return DataSettings(name="folder", root="/set", image_size=SIZE, cache=cache, **more)  # type: ignore[arg-type]


def loaded(pictures: list[Picture], backend: Backend, files: Files | None, on_error: str = "fail") -> list[Batch]:
    plan = BatchPlan(pictures, 3, 2, seed=1, image_size=SIZE, flip=0.5, pad=2, erase=0.5)
    with BatchLoader(
        plan,
        backend,
        SIZE,
        0,
        1,
        0,
        threads=2,
        files=files,
        on_error=on_error,  # type: ignore[arg-type]
    ) as loader:
        return list(islice(loader, 6))


def folders(memory: Path) -> list[str]:
    """What is kept, without the locks."""
    return sorted(path.name.partition("-")[0] for path in memory.glob("*/*") if path.is_dir())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cache", ["files", "decoded"])
def test_batches_are_the_same_from_a_cache(cache: str, backend: Backend, pictures: list[Picture]) -> None:
    plain = loaded(pictures, backend, None)
    with open_files(settings(cache), pictures) as files:
        for left, right in zip(loaded(pictures, backend, files), plain, strict=True):
            assert left.rgb_paths == right.rgb_paths
            # Of decoded pictures, those that the threads backend makes, whichever backend asks.
            assert (left.rgb.int() - right.rgb.int()).abs().max() <= (
                8 if (cache, backend) == ("decoded", "dali-cpu") else 0
            )
        read = torch.cat(list(read_pictures([p.path for p in pictures], SIZE, backend, 7, 2, files=files)))
    expected = torch.cat(list(read_pictures([p.path for p in pictures], SIZE, backend, 7, 2)))
    assert (read.int() - expected.int()).abs().float().mean() < 0.5


@pytest.mark.parametrize("cache", ["files", "decoded"])
def test_a_file_is_read_once_for_all_who_share_the_cache(
    cache: str, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = requests.read_file

    def counted(path: str) -> bytes:
        read.append(path)
        return original(path)

    monkeypatch.setattr(requests, "read_file", counted)
    with open_files(settings(cache), pictures) as one, open_files(settings(cache), list(reversed(pictures))) as other:
        for backend in BACKENDS:
            loaded(pictures, backend, one)
            loaded(pictures, backend, other)
    assert sorted(read) == sorted(picture.path for picture in pictures)


def open_and_report(
    place: str,
    pictures: list[Picture],
    barrier: "multiprocessing.synchronize.Barrier",
    results: "multiprocessing.Queue",
) -> None:
    opening.SHARED_MEMORY = Path(place)
    read: list[str] = []
    original = requests.read_file

    def counted(path: str) -> bytes:
        read.append(path)
        return original(path)

    requests.read_file = counted
    barrier.wait()
    with open_files(settings("decoded"), pictures) as files:
        kept = [files.decoded(picture.path) for picture in pictures]
        total = sum(int(picture.sum()) for picture in kept if picture is not None)
        results.put((len(read), total))
        barrier.wait()


def test_workers_that_start_together_build_a_cache_once(memory: Path, pictures: list[Picture]) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=open_and_report, args=(str(memory), pictures, barrier, results)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(300)
    assert sorted(read for read, _ in found) == [0, 0, len(pictures)]
    assert len({total for _, total in found}) == 1
    assert folders(memory) == []


@pytest.mark.parametrize("cache", ["files", "decoded"])
def test_the_last_to_leave_gives_the_memory_back(cache: str, memory: Path, pictures: list[Picture]) -> None:
    one, other = open_files(settings(cache), pictures), open_files(settings(cache), pictures)
    kept = one.decoded(pictures[0].path) if cache == "decoded" else one.encoded(pictures[0].path)
    assert kept is not None
    before = kept.copy()
    one.close()
    assert folders(memory) == [cache]
    other.close()
    assert folders(memory) == []
    assert np.array_equal(kept, before), "what was given out stays valid"
    assert not list(memory.glob("*/*")), "nor is a lock left behind"


def test_a_cache_folder_of_ones_own_is_kept_for_the_next_run(
    tmp_path: Path, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings("decoded", cache_folder=str(tmp_path / "kept"))
    open_files(chosen, pictures).close()
    assert folders(tmp_path / "kept") == ["decoded"]
    monkeypatch.setattr(requests, "read_file", lambda path: pytest.fail(f"{path} was read again"))
    with open_files(chosen, pictures) as files:
        assert files.decoded(pictures[0].path) is not None


@pytest.mark.parametrize("cache", ["files", "decoded"])
def test_a_file_with_another_content_is_kept_anew(cache: str, pictures: list[Picture]) -> None:
    path = Path(pictures[0].path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with open_files(settings(cache), pictures) as old:
        # Of the same length and with its old time of modification: as hard to see as a change can be.
        swapped = bytearray(path.read_bytes())
        swapped[-20] ^= 0x15
        path.write_bytes(swapped)
        os.utime(path, ns=times)
        with open_files(settings(cache), pictures) as new:
            if cache == "files":
                assert old.encoded(str(path)).tobytes() != new.encoded(str(path)).tobytes() == bytes(swapped)
            else:
                assert not np.array_equal(old.decoded(str(path)), new.decoded(str(path)))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cache", ["files", "decoded"])
def test_a_broken_file_in_a_cache_is_named_or_skipped_as_without(
    cache: str, backend: Backend, pictures: list[Picture]
) -> None:
    Path(pictures[0].path).write_bytes(b"not a picture" * 9)
    Path(pictures[4].path).unlink()
    with open_files(settings(cache), pictures) as files:
        with pytest.raises(requests.PictureError, match=r"rgb_1_1\.jpg|ir_1_2\.jpg"):
            loaded(pictures, backend, files)
        for left, right in zip(
            loaded(pictures, backend, files, "skip"), loaded(pictures, "threads", None, "skip"), strict=True
        ):
            assert (left.rgb_paths, left.ir_paths, left.skipped) == (right.rgb_paths, right.ir_paths, right.skipped)


def test_what_does_not_fit_is_streamed_or_refused(
    pictures: list[Picture], memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "available_memory", lambda: 1000)
    with pytest.raises(
        DatasetError, match=r"data\.cache=decoded: 0 MB are needed.*data\.cache_folder.*data\.cache=none"
    ):
        open_files(settings("decoded"), pictures)
    monkeypatch.setattr(opening.storage, "is_remote", lambda path: True)
    with open_files(settings("auto"), [Picture("s3://b/1.jpg", 1, 1, "rgb", 1, 900)]) as files:
        assert type(files) is Files
    assert folders(memory) == []


def test_local_files_are_left_to_the_operating_systems_own_cache(pictures: list[Picture], memory: Path) -> None:
    with open_files(settings("auto"), pictures) as files:
        assert type(files) is Files
    assert folders(memory) == []


def build_slowly(parent: str, begun: Event) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        begun.set()
        time.sleep(60)

    SharedFolder(Path(parent), "folder", build, keep=False)


def test_what_a_killed_worker_left_is_thrown_away_and_never_taken_for_whole(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    worker = context.Process(target=build_slowly, args=(str(parent), begun))
    worker.start()
    assert begun.wait(60)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(300)
    assert not (parent / "folder").exists()
    assert len(list(parent.glob("*.partial"))) == 1
    # Another's arrival cleans up behind it, and its own is built from the start.
    SharedFolder(parent, "other", lambda folder: None, keep=False).close()
    assert not list(parent.glob("*.partial"))
    shared = SharedFolder(parent, "folder", lambda folder: (folder / "whole").touch(), keep=False)
    assert [path.name for path in shared.path.iterdir()] == ["whole"]
    shared.close()


def test_a_failed_build_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        SharedFolder(tmp_path / "shared", "folder", fail, keep=True)
    assert not [path for path in (tmp_path / "shared").iterdir() if path.is_dir()]
    SharedFolder(tmp_path / "shared", "folder", lambda folder: None, keep=True).close()
    assert (tmp_path / "shared" / "folder").is_dir()


def test_a_cache_in_a_place_where_everybody_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(DatasetError, match="not this user's alone"):
        SharedFolder(tmp_path / "shared", "folder", lambda folder: None, keep=True)


def test_who_comes_and_goes_always_finds_a_whole_folder(tmp_path: Path) -> None:
    def come_and_go(_: int) -> None:
        for _ in range(100):
            shared = SharedFolder(tmp_path / "shared", "folder", lambda folder: (folder / "whole").touch(), keep=False)
            assert [path.name for path in shared.path.iterdir()] == ["whole"]
            shared.close()

    # Locks belong to the opened file, so threads keep each other out as processes do.
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert not list((tmp_path / "shared").iterdir())
