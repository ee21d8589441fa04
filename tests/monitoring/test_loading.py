"""What the loader says of itself: how many batches wait for the training and how many pictures it decoded."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.backends.requests import Ahead, Request
from loaders.batches import Backend, BatchLoader
from loaders.cache import open_files
from loaders.config import DataSettings
from loaders.dataset import Modality, Picture
from loaders.plan import BatchPlan

SIZE = (32, 16)
MODALITIES: tuple[Modality, ...] = ("rgb", "ir")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    made = []
    for person in range(4):
        for modality in MODALITIES:
            path = tmp_path / f"{modality}{person}.png"
            Image.new("RGB", (20, 40), (10 * person, 0, 0)).save(path)
            made.append(Picture(str(path), person, 1, modality, 1))
    return made


@contextlib.contextmanager
def loader_of(pictures: list[Picture], backend: Backend, cache: str, prefetch: int) -> Iterator[BatchLoader]:
    plan = BatchPlan(pictures, 2, 2, seed=1, image_size=SIZE, flip=0.5, pad=0, erase=0.0)
    settings = DataSettings(name="folder", root="/set", image_size=SIZE, cache=cache)  # type: ignore[arg-type]
    options: dict[str, int] = {"rank": 0, "world": 1, "first_step": 0, "threads": 2, "prefetch": prefetch}
    with (
        open_files(settings, pictures) as files,
        BatchLoader(plan, backend, SIZE, files=files, **options) as loader,  # type: ignore[arg-type]
    ):
        yield loader


def wait_for(loader: BatchLoader, ready: int) -> None:
    deadline = time.monotonic() + 30
    while loader.ready != ready:
        assert time.monotonic() < deadline, f"{loader.ready} batches are ready, not {ready}"
        time.sleep(0.01)


@pytest.mark.parametrize("backend", ["threads", "dali-cpu"])
def test_a_loader_that_nobody_asks_has_all_that_it_loads_ahead_ready(backend: Backend, pictures: list[Picture]) -> None:
    with loader_of(pictures, backend, "none", prefetch=3) as loader:
        wait_for(loader, 3)
        next(loader)
        wait_for(loader, 3)
    assert loader.ready == 0


def test_batches_in_work_are_not_ready() -> None:
    allowed = threading.Semaphore(0)
    request = Request.unchanged(["a.png"])

    def fill(request: Request, result: None, i: int) -> None:
        allowed.acquire(timeout=30)

    ahead: Ahead[None] = Ahead(lambda number: request, lambda request: None, fill, threads=1, depth=2)
    try:
        assert ahead.ready == 0
        allowed.release()
        deadline = time.monotonic() + 30
        while ahead.ready == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ahead.ready == 1
    finally:
        allowed.release(9)
        ahead.close()


@pytest.mark.parametrize("backend", ["threads", "dali-cpu"])
@pytest.mark.parametrize(("cache", "decoded"), [("none", 8), ("files", 8), ("decoded", 0)])
def test_a_batch_says_how_many_pictures_were_decoded_for_it(
    backend: Backend, cache: str, decoded: int, pictures: list[Picture]
) -> None:
    with loader_of(pictures, backend, cache, prefetch=1) as loader:
        batch = next(loader)
    assert len(np.concatenate([batch.rgb, batch.ir])) == 8
    assert batch.decoded == decoded
