"""Batches for training from any step, and pictures in order for evaluation."""

import gc
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import batches
from loaders.backends.requests import PictureError
from loaders.batches import Backend, Batch, BatchLoader, choose_backend, read_pictures
from loaders.dataset import Modality, Picture
from loaders.plan import BatchPlan

SIZE = (32, 16)
BACKENDS: list[Backend] = ["threads", "dali-cpu"]


def colour(person: int, modality: str, number: int) -> tuple[int, int, int]:
    """A colour that tells which picture it is, many levels away from every other."""
    return (20 + 20 * person, 20 + 30 * number, 60 if modality == "rgb" else 200)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Nine persons with four RGB and three infrared pictures each, every picture of one colour, in two sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    modalities: list[tuple[Modality, int]] = [("rgb", 4), ("ir", 3)]
    for person in range(1, 10):
        for modality, count in modalities:
            for number in range(1, count + 1):
                path = folder / f"{modality}_{person}_{number}.png"
                size = (12, 24) if number % 2 else (20, 50)
                Image.new("RGB", size, colour(person, modality, number)).save(path)
                made.append(Picture(str(path), person, 1 if modality == "rgb" else 3, modality, number))
    return made


def plan_of(pictures: list[Picture], **options: float) -> BatchPlan:
    changes = {"flip": 0.5, "pad": 3, "erase": 0.5, **options}
    return BatchPlan(pictures, 4, 2, seed=1, image_size=SIZE, **changes)  # type: ignore[arg-type]


def loader_of(plan: BatchPlan, backend: Backend, first_step: int = 0, rank: int = 0, world: int = 1) -> BatchLoader:
    return BatchLoader(plan, backend, SIZE, rank=rank, world=world, first_step=first_step, threads=2)


def assert_same(left: Batch, right: Batch) -> None:
    assert left.step == right.step
    assert (left.rgb_paths, left.ir_paths) == (right.rgb_paths, right.ir_paths)
    assert torch.equal(left.labels, right.labels)
    assert torch.equal(left.rgb, right.rgb)
    assert torch.equal(left.ir, right.ir)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_holds_the_pictures_that_the_plan_names(backend: Backend, pictures: list[Picture]) -> None:
    plan = plan_of(pictures, flip=0.0, pad=0, erase=0.0)
    with loader_of(plan, backend) as loader:
        for step, batch in enumerate(islice(loader, 6)):
            rows = plan.rows(step)
            assert batch.step == step
            assert batch.labels.dtype == torch.int64
            assert batch.labels.tolist() == rows.labels.tolist()
            for images, paths, half in ((batch.rgb, batch.rgb_paths, rows.rgb), (batch.ir, batch.ir_paths, rows.ir)):
                assert images.dtype == torch.uint8
                assert images.shape == (8, 3, *SIZE)
                assert images.is_contiguous(memory_format=torch.channels_last)
                for image, path, index, label in zip(images, paths, half.pictures, rows.labels, strict=True):
                    picture = pictures[index]
                    assert path == picture.path
                    assert plan.persons[label] == picture.person
                    expected = torch.tensor(colour(picture.person, picture.modality, picture.number))
                    assert (image.int() - expected[:, None, None]).abs().max() <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loader_started_at_a_step_goes_on_as_one_started_at_the_beginning(
    backend: Backend, pictures: list[Picture]
) -> None:
    plan = plan_of(pictures)
    with loader_of(plan, backend) as loader:
        whole = list(islice(loader, 12))
    for first_step in (1, 5, 9):
        with loader_of(plan_of(pictures), backend, first_step) as loader:
            for step, batch in enumerate(islice(loader, 3), first_step):
                assert_same(batch, whole[step])


def test_a_run_can_change_its_backend_in_the_middle(pictures: list[Picture]) -> None:
    plan = plan_of(pictures)
    with loader_of(plan, "threads", 4) as one, loader_of(plan, "dali-cpu", 4) as other:
        for left, right in islice(zip(one, other, strict=True), 5):
            assert (left.rgb_paths, left.ir_paths, left.step) == (right.rgb_paths, right.ir_paths, right.step)
            assert torch.equal(left.labels, right.labels)
            # Pictures of one colour: what the changes do is equal everywhere, borders included.
            assert (left.rgb.int() - right.rgb.int()).abs().max() <= 1
            assert (left.ir.int() - right.ir.int()).abs().max() <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_ranks_load_the_batch_of_one(backend: Backend, pictures: list[Picture]) -> None:
    plan = plan_of(pictures)
    with (
        loader_of(plan, backend, 3) as whole,
        loader_of(plan, backend, 3, rank=0, world=2) as first,
        loader_of(plan, backend, 3, rank=1, world=2) as second,
    ):
        for one, left, right in islice(zip(whole, first, second, strict=True), 3):
            assert torch.equal(torch.cat([left.rgb, right.rgb]), one.rgb)
            assert torch.equal(torch.cat([left.ir, right.ir]), one.ir)
            assert torch.equal(torch.cat([left.labels, right.labels]), one.labels)
            assert left.rgb_paths + right.rgb_paths == one.rgb_paths


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_given_out_stay_as_they_are(backend: Backend, pictures: list[Picture]) -> None:
    with loader_of(plan_of(pictures), backend) as loader:
        kept = next(loader)
        before = kept.rgb.clone()
        for _ in islice(loader, 6):
            pass
    gc.collect()
    assert torch.equal(kept.rgb, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_picture_stops_next_and_is_named(backend: Backend, pictures: list[Picture], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture" * 30)
    plan = plan_of(pictures)
    index = int(plan.rows(4).ir.pictures[3])
    first_use = next(step for step in range(5) if index in plan.rows(step).ir.pictures)
    spoiled = list(pictures)
    spoiled[index] = Picture(str(broken), pictures[index].person, 3, "ir", pictures[index].number)
    with loader_of(plan_of(spoiled), backend) as loader:
        for step in range(first_use):
            assert next(loader).step == step
        with pytest.raises(PictureError, match=r"broken\.jpg"):
            next(loader)


def test_pictures_are_loaded_in_the_background_before_they_are_asked_for(
    pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loaders.backends import threads

    decoded: list[str] = []
    original = threads.decode

    def counting(path: str, *read: Callable[[str], np.ndarray]) -> np.ndarray:
        decoded.append(threading.current_thread().name)
        return original(path, *read)

    monkeypatch.setattr(threads, "decode", counting)
    with BatchLoader(plan_of(pictures), "threads", SIZE, rank=0, world=1, first_step=0, threads=2, prefetch=3):
        until = time.monotonic() + 10
        while len(decoded) < 3 * 16 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(decoded) == 3 * 16
    assert threading.current_thread().name not in decoded


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_stops_every_thread_and_ends_the_iteration(backend: Backend, pictures: list[Picture]) -> None:
    before = threading.active_count()
    loader = loader_of(plan_of(pictures), backend)
    next(loader)
    loader.close()
    loader.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        next(loader)


def test_a_loader_for_another_size_than_the_plans_is_refused(pictures: list[Picture]) -> None:
    with pytest.raises(ValueError, match=r"\(64, 32\).*\(32, 16\)"):
        BatchLoader(plan_of(pictures), "threads", (64, 32), rank=0, world=1, first_step=0, threads=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("count", "sizes"), [(10, [4, 4, 2]), (8, [4, 4]), (3, [3]), (0, [])])
def test_evaluation_reads_every_picture_once_in_order(
    backend: Backend, count: int, sizes: list[int], pictures: list[Picture]
) -> None:
    chosen = pictures[:count]
    parts = list(read_pictures([picture.path for picture in chosen], SIZE, backend, batch_size=4, threads=2))
    assert [len(part) for part in parts] == sizes
    read = [image for part in parts for image in part]
    for image, picture in zip(read, chosen, strict=True):
        expected = torch.tensor(colour(picture.person, picture.modality, picture.number))
        assert (image.int() - expected[:, None, None]).abs().max() <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_evaluation_that_is_left_early_leaves_no_threads(backend: Backend, pictures: list[Picture]) -> None:
    before = threading.active_count()
    reading = read_pictures([picture.path for picture in pictures], SIZE, backend, batch_size=4, threads=2)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_picture_in_evaluation_is_named(backend: Backend, pictures: list[Picture], tmp_path: Path) -> None:
    broken = tmp_path / "broken.bmp"
    broken.write_bytes(b"BM nothing")
    with pytest.raises(PictureError, match=r"broken\.bmp"):
        list(read_pictures([pictures[0].path, str(broken)], SIZE, backend, batch_size=4, threads=1))


def test_auto_is_dali_with_a_gpu_and_threads_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_backend("auto") == "dali"
    monkeypatch.setattr(batches, "find_spec", lambda name: None)
    assert choose_backend("auto") == "threads", "DALI is not installed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_backend("auto") == "threads"
    assert choose_backend("dali-cpu") == "dali-cpu"


def spoiled(pictures: list[Picture], indices: list[int], folder: Path) -> list[Picture]:
    """The pictures with files that cannot be decoded in some places."""
    changed = list(pictures)
    for index in indices:
        path = folder / f"broken{index}.png"
        path.write_bytes(b"not a picture" * 30)
        was = pictures[index]
        changed[index] = Picture(str(path), was.person, was.camera, was.modality, was.number)
    return changed


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_picture_is_skipped_for_another_of_its_person(
    backend: Backend, pictures: list[Picture], tmp_path: Path
) -> None:
    broken = [0, 1, 5, 13]
    files = spoiled(pictures, broken, tmp_path)
    of_path = {picture.path: picture for picture in files}
    plan = plan_of(files, flip=0.0, pad=0, erase=0.0)

    def loaded(first_step: int, rank: int = 0, world: int = 1) -> list[Batch]:
        with BatchLoader(
            plan, backend, SIZE, rank=rank, world=world, first_step=first_step, threads=2, on_error="skip"
        ) as loader:
            return list(islice(loader, 6))

    skipped = 0
    whole = loaded(0)
    for batch in whole:
        rows = plan.rows(batch.step)
        for images, paths, half in ((batch.rgb, batch.rgb_paths, rows.rgb), (batch.ir, batch.ir_paths, rows.ir)):
            for image, path, index, label in zip(images, paths, half.pictures.tolist(), rows.labels, strict=True):
                picture = of_path[path]
                assert picture.person == plan.persons[label]
                assert picture.modality == files[index].modality
                assert (index in broken) == (path != files[index].path)
                expected = torch.tensor(colour(picture.person, picture.modality, picture.number))
                assert (image.int() - expected[:, None, None]).abs().max() <= 1
                skipped += index in broken
        assert all("broken" in path for path in batch.skipped)
    assert skipped == sum(len(batch.skipped) for batch in whole) > 0
    for again, batch in zip(loaded(3)[:3], whole[3:], strict=True):
        assert_same(again, batch)
    for left, right, batch in zip(loaded(0, 0, 2), loaded(0, 1, 2), whole, strict=True):
        assert left.rgb_paths + right.rgb_paths == batch.rgb_paths
        assert sorted(left.skipped + right.skipped) == sorted(batch.skipped)


def test_both_backends_skip_the_same_pictures(pictures: list[Picture], tmp_path: Path) -> None:
    plan = plan_of(spoiled(pictures, [2, 3, 8], tmp_path))
    found = []
    for backend in BACKENDS:
        with BatchLoader(plan, backend, SIZE, rank=0, world=1, first_step=0, threads=2, on_error="skip") as loader:
            found.append([(batch.rgb_paths, batch.ir_paths, batch.skipped) for batch in islice(loader, 5)])
    assert found[0] == found[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_person_without_any_good_picture_is_an_error_even_when_skipping(
    backend: Backend, pictures: list[Picture], tmp_path: Path
) -> None:
    plan = plan_of(spoiled(pictures, [4, 5, 6], tmp_path))
    with (
        BatchLoader(plan, backend, SIZE, rank=0, world=1, first_step=0, threads=2, on_error="skip") as loader,
        pytest.raises(PictureError, match=r"broken[456]\.png"),
    ):
        list(islice(loader, 9))
