"""A training's worth of batches needs no more memory than the first ones."""

import gc
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from loaders.batches import Backend, BatchLoader, read_pictures
from loaders.dataset import Modality, Picture
from loaders.plan import BatchPlan

BATCHES = 10_000
WARM_UP = 2_000
# What 10,000 leaked batches of these would take is 15 times as much.
GROWTH = 16 * 2**20
SIZE = (64, 32)


def resident() -> int:
    """Memory of this process, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["threads", "dali-cpu"])
def test_ten_thousand_batches_need_no_more_memory_than_two_thousand(backend: Backend, tmp_path: Path) -> None:
    pictures = []
    modalities: list[tuple[Modality, int]] = [("rgb", 1), ("ir", 3)]
    for person in range(1, 5):
        for modality, camera in modalities:
            path = tmp_path / f"{modality}_{person}.jpg"
            noise = np.random.default_rng(person).integers(0, 256, (20, 10, 3), np.uint8)
            path.write_bytes(cv2.imencode(".jpg", noise)[1].tobytes())
            pictures.append(Picture(str(path), person, camera, modality, 1))
    # One that is broken: skipping is to leave nothing behind either.
    pictures[1:1] = [Picture(str(tmp_path / "missing.jpg"), 1, 1, "rgb", 2)]
    plan = BatchPlan(pictures, 2, 1, seed=0, image_size=SIZE, pad=2, erase=0.5)
    threads = threading.active_count()
    with BatchLoader(plan, backend, SIZE, 0, 1, first_step=0, threads=2, on_error="skip") as loader:
        for _ in range(WARM_UP):
            next(loader)
        before = resident()
        for _ in range(BATCHES):
            next(loader)
        assert resident() - before < GROWTH
    assert threading.active_count() == threads


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["threads", "dali-cpu"])
def test_evaluations_beside_a_training_do_not_pile_up(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    path.write_bytes(cv2.imencode(".jpg", noise)[1].tobytes())

    def evaluate(times: int) -> None:
        for _ in range(times):
            list(read_pictures([str(path)] * 8, SIZE, backend, batch_size=4, threads=2))

    threads = threading.active_count()
    evaluate(30)
    before = resident()
    evaluate(150)
    # A pipeline that stays behind holds more than this by itself.
    assert resident() - before < 4 * 2**20
    assert threading.active_count() == threads
