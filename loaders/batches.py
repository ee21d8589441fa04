"""Batches for training, without end and from any step, and pictures in order for evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from loaders.backends.requests import Files, Request, Source
from loaders.backends.threads import ThreadStream
from loaders.plan import BatchPlan, PlannedRows

Backend = Literal["dali", "dali-cpu", "threads"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One rank's rows of one step: row i of `rgb` and row i of `ir` are the person `labels[i]`.

    rgb, ir uint8 [N, 3, H, W] in channels_last memory, RGB order, on the GPU where the GPU decoded them;
    labels int64 [N] on the CPU, index of the person in the plan's `persons`.
    """

    rgb: Tensor
    ir: Tensor
    labels: Tensor
    step: int
    rgb_paths: list[str]
    ir_paths: list[str]
    skipped: tuple[str, ...] = ()
    """Planned pictures that could not be decoded; the paths name those that took their places."""
    decoded: int = 0
    """Pictures that were decoded for it: all, or none where a cache keeps them decoded."""


class _Stream(Protocol):
    """Pictures of consecutive requests; uint8 [N, 3, H, W]."""

    decodes: bool

    @property
    def ready(self) -> int: ...
    def __next__(self) -> Tensor: ...
    def close(self) -> None: ...


def choose_backend(name: Literal["auto", "dali", "dali-cpu", "threads"]) -> Backend:
    """Return the backend meant by `name`: `auto` is DALI where there is a GPU and DALI is installed, else threads."""
    if name != "auto":
        return name
    # Asked of torch first: finding DALI imports its parent package, which a machine without it may not have.
    return "dali" if torch.cuda.is_available() and find_spec("nvidia") and find_spec("nvidia.dali") else "threads"


class BatchLoader:
    """Iterator over the batches of a plan for one rank, without end, from `first_step` on.

    A batch depends on the plan and its step only, so a loader started at step s gives what one started at 0 gives
    at s, whichever backend. Pictures are loaded `prefetch` batches ahead in the background; an error there is raised
    by `next` and names the file. Close it when done, or use it as a context manager.
    """

    def __init__(
        self,
        plan: BatchPlan,
        backend: Backend,
        image_size: tuple[int, int],
        rank: int,
        world: int,
        first_step: int,
        threads: int,
        device_index: int | None = None,
        prefetch: int = 2,
        on_error: Literal["fail", "skip"] = "fail",
        files: Files | None = None,
    ) -> None:
        """`threads` decode; `device_index` is the GPU of backend `dali`. Raises ValueError on sizes that do not fit.

        With `on_error="skip"` the next picture of the same person and modality takes the place of one that cannot be
        decoded; only a person without any picture that can be is an error then. `files`, of `loaders.cache`, are read
        in place of the files themselves and stay open.
        """
        if tuple(image_size) != tuple(plan.image_size):
            raise ValueError(f"image_size is {image_size}, but the plan draws its boxes for {plan.image_size}")
        if prefetch < 1:
            raise ValueError(f"prefetch is {prefetch}: at least one batch is loaded ahead")
        self._plan = plan
        self._rank, self._world = rank, world
        self._step = first_step
        self._on_error = on_error
        self._requests: dict[int, Request] = {}
        # A step is asked for when its files are read and when it is given out.
        self._rows = lru_cache(maxsize=prefetch + 2)(self._plan_rows)
        rows = 2 * len(self._rows(first_step).labels)
        self._stream: _Stream | None = _open_stream(
            backend,
            lambda number: self._request(first_step + number),
            rows,
            image_size,
            threads,
            prefetch,
            device_index,
            files,
        )

    def __iter__(self) -> "BatchLoader":
        return self

    def __next__(self) -> Batch:
        """Return the batch of the next step; raises PictureError naming a broken file."""
        if self._stream is None:
            raise RuntimeError("the batch loader is closed")
        step, rows = self._step, self._rows(self._step)
        pictures = next(self._stream)
        self._step += 1
        count = len(rows.labels)
        request = self._requests.pop(step)
        paths = [request.skipped.get(i, path) for i, path in enumerate(request.paths)]
        return Batch(
            rgb=pictures[:count],
            ir=pictures[count:],
            labels=torch.from_numpy(rows.labels),
            step=step,
            rgb_paths=paths[:count],
            ir_paths=paths[count:],
            skipped=tuple(request.paths[i] for i in sorted(request.skipped)),
            decoded=len(paths) if self._stream.decodes else 0,
        )

    @property
    def ready(self) -> int:
        """How many of the batches that are loaded ahead wait to be asked for; with DALI, to be decoded."""
        return 0 if self._stream is None else self._stream.ready

    def __enter__(self) -> "BatchLoader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and free the pipeline; batches that were given out stay valid."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _plan_rows(self, step: int) -> PlannedRows:
        return self._plan.rows(step, self._rank, self._world)

    def _paths(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        return [self._plan.pictures[index].path for index in indices]

    def _request(self, step: int) -> Request:
        rows = self._rows(step)
        rgb, ir = rows.rgb, rows.ir
        indices = [*rgb.pictures.tolist(), *ir.pictures.tolist()]
        request = Request(
            paths=self._paths(indices),
            flip=np.concatenate([rgb.flip, ir.flip]),
            crop=np.concatenate([rgb.crop, ir.crop]),
            erase=np.concatenate([rgb.erase, ir.erase]),
            instead=None if self._on_error == "fail" else lambda i: self._paths(self._plan.others(indices[i])),
        )
        self._requests[step] = request
        return request


def read_pictures(
    paths: Sequence[str],
    image_size: tuple[int, int],
    backend: Backend,
    batch_size: int,
    threads: int,
    device_index: int | None = None,
    prefetch: int = 2,
    files: Files | None = None,
) -> Iterator[Tensor]:
    """Yield the pictures in order, each once, unchanged but for their size: uint8 [n, 3, H, W], channels_last.

    n is `batch_size`, and what is left for the last batch. `files`, of `loaders.cache`, are read in place of the files
    themselves. Raises PictureError naming a broken file.
    """

    def source(number: int) -> Request | None:
        part = list(paths[number * batch_size : (number + 1) * batch_size])
        return Request.unchanged(part) if part else None

    if not paths:
        return
    largest = min(batch_size, len(paths))
    stream = _open_stream(backend, source, largest, image_size, threads, prefetch, device_index, files)
    try:
        # Counted, since a stream's StopIteration would be an error inside a generator.
        for _ in range(-(-len(paths) // batch_size)):
            yield next(stream)
    finally:
        stream.close()


def _open_stream(
    backend: Backend,
    source: Source,
    batch_size: int,
    image_size: tuple[int, int],
    threads: int,
    prefetch: int,
    device_index: int | None,
    files: Files | None,
) -> _Stream:
    """Open the stream of a backend; `batch_size` is the most pictures of a request."""
    if backend == "threads":
        return ThreadStream(source, image_size, threads, prefetch, files)
    # Imported here, since DALI is installed on Linux on x86-64 only and takes a second to import.
    from loaders.backends.dali import DaliStream

    device: Literal["gpu", "cpu"] = "gpu" if backend == "dali" else "cpu"
    return DaliStream(source, batch_size, image_size, threads, prefetch, device, device_index, files)
