"""How fast pictures are loaded: `python -m tests.benchmarks.loading`.

The project's loader on its CPU backends, and a torch DataLoader with Pillow and torchvision transforms, do the
same work on the same JPEG files of a synthetic set: decode, resize to 256x128, mirror half of them, batches of 144 as
float32 in [-1, 1]; the caches hold the same files, or the pictures decoded already. In every process torch computes
with one thread, as a DataLoader's workers do and as Ray sets it for a worker of one core. Rounds are interleaved, so
that a busy machine slows all of them alike; what is printed are medians over rounds.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import Compose, Normalize, PILToTensor, RandomHorizontalFlip, Resize, ToDtype

from aligngan.images import to_unit_range
from loaders import sysu_mm01
from loaders.batches import Backend, Batch, BatchLoader
from loaders.cache import open_files
from loaders.config import DataSettings, SyntheticSettings
from loaders.plan import BatchPlan
from loaders.synthetic import make

IMAGE_SIZE = (256, 128)
PERSONS, EACH = 18, 4
BATCH = 2 * PERSONS * EACH
# More than any loader keeps ready, so that nothing that is timed was loaded before the clock was started.
WARM_UP = 8


class PillowPictures(Dataset[Tensor]):
    """What most re-identification code does."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        normalise = [ToDtype(torch.float32, scale=True), Normalize([0.5] * 3, [0.5] * 3)]
        self.transform = Compose([Resize(IMAGE_SIZE), RandomHorizontalFlip(0.5), PILToTensor(), *normalise])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as picture:
            return self.transform(picture.convert("RGB"))


class EndlessBatches:
    """Random indices for a DataLoader, batch after batch."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng(0)
        while True:
            yield draw.choice(self.count, BATCH, replace=False).tolist()


def cpu_seconds(workers: list[int]) -> float:
    """CPU time of this process and of the running worker processes, in seconds."""
    ticks = 0
    for worker in workers:
        fields = Path(f"/proc/{worker}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return process_time() + ticks / os.sysconf("SC_CLK_TCK")


def normalised(batches: Iterator[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """What a training makes of the loader's batches before it uses them."""
    for batch in batches:
        yield to_unit_range(batch.rgb), to_unit_range(batch.ir)


def timed(batches: Iterator[object], workers: list[int], count: int) -> tuple[float, float]:
    """Images per second and images per CPU second over `count` batches."""
    for _ in islice(batches, WARM_UP):
        pass
    wall, cpu = perf_counter(), cpu_seconds(workers)
    for _ in islice(batches, count):
        pass
    wall, cpu = perf_counter() - wall, cpu_seconds(workers) - cpu
    return count * BATCH / wall, count * BATCH / cpu


def main() -> None:
    """Measure and print one line for every way of loading."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2, help="threads, or worker processes of the DataLoader")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=12, help="timed batches of a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_loaders:
        make(folder, SyntheticSettings(persons=48))
        pictures = sysu_mm01.read(folder).train
        # Worker processes first: none may be forked from a process that holds a DALI pipeline.
        reference = DataLoader(
            PillowPictures([picture.path for picture in pictures]),
            batch_sampler=EndlessBatches(len(pictures)),
            num_workers=options.threads,
        )
        iterator = iter(reference)
        workers = [process.pid for process in iterator._workers]  # type: ignore[attr-defined]
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "DataLoader, Pillow": lambda: timed(iterator, workers, options.batches)
        }
        plan = BatchPlan(pictures, PERSONS, EACH, seed=0, image_size=IMAGE_SIZE)
        backends: tuple[Backend, ...] = ("threads", "dali-cpu")
        kept: tuple[Literal["none", "files", "decoded"], ...] = ("none", "files", "decoded")
        for cache in kept:
            settings = DataSettings(root=folder, image_size=IMAGE_SIZE, cache=cache, threads=options.threads)
            begun = perf_counter()
            files = open_loaders.enter_context(open_files(settings, pictures))
            if cache != "none":
                seconds = perf_counter() - begun
                print(f"cache of {cache}: {len(pictures)} pictures in {seconds:.1f} s", flush=True)
            for backend in backends:
                loader = open_loaders.enter_context(
                    BatchLoader(plan, backend, IMAGE_SIZE, 0, 1, first_step=0, threads=options.threads, files=files)
                )
                name = backend if cache == "none" else f"{backend}, {cache}"
                ways[name] = lambda loader=loader: timed(normalised(loader), [], options.batches)  # type: ignore[misc]
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, run in ways.items():
                results[name].append(run())
    wall = {name: median(rate for rate, _ in rounds) for name, rounds in results.items()}
    cpu = {name: median(rate for _, rate in rounds) for name, rounds in results.items()}
    base = "DataLoader, Pillow"
    print(f"torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds, batches of {BATCH}")
    print(f"{'':20}{'images/s':>10}{'ratio':>8}{'images/CPU-s':>14}{'ratio':>8}")
    for name in ways:
        print(f"{name:20}{wall[name]:10.0f}{wall[name] / wall[base]:8.2f}{cpu[name]:14.0f}{cpu[name] / cpu[base]:8.2f}")


if __name__ == "__main__":
    main()
