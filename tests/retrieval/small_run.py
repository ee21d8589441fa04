"""Run folders of untrained networks, and folders of pictures, small enough to make for every test."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from aligngan.config import dump
from aligngan.training.resume import CONFIG_FILE
from aligngan.training.state import TrainingState
from cluster.checkpoints import STATE, checkpoint_name, write_checkpoint
from cluster.folder import RunFolder
from tests.method.small import small_config

PERSONS = 5
ITERATION = 7


def write_run(place: Path, method: str = "aligngan", *overrides: str, iteration: int = ITERATION) -> Path:
    """Write a run with one checkpoint of untrained networks; returns its folder."""
    config = small_config(method, *overrides)
    state = TrainingState(config, PERSONS, torch.device("cpu"))
    state.iteration = iteration
    write_state(place, state.state_dict(), iteration)
    RunFolder(str(place)).write_bytes(CONFIG_FILE, dump(config).encode())
    return place


def write_state(place: Path, state: dict, iteration: int) -> None:
    """Write a state as the checkpoint of an iteration."""
    with tempfile.TemporaryDirectory() as directory:
        torch.save(state, Path(directory, STATE))
        record = {"kind": "checkpoint", "iteration": iteration}
        write_checkpoint(RunFolder(str(place)), checkpoint_name(iteration), Path(directory), record)


def write_picture(path: Path, seed: int, grey: bool = False, size: tuple[int, int] = (24, 12)) -> Path:
    """Write a smooth picture of random colours; a grey one is what an infrared camera takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 2, 1 if grey else 3), dtype=np.uint8)
    picture = cv2.resize(np.broadcast_to(coarse, (4, 2, 3)).copy(), size[::-1], interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(str(path), picture)
    return path
