"""The batch streams that phases ask for: the main one, and the pixel phases' own where a preset has it."""

from contextlib import ExitStack
from types import TracebackType

import torch
from torch import Tensor

from aligngan.config import Config
from aligngan.images import to_unit_range
from loaders.batches import Batch, BatchLoader, choose_backend
from loaders.cache import open_files
from loaders.dataset import Dataset
from loaders.plan import BatchPlan

STREAMS = ("main", "pixel")
DeviceBatch = tuple[Tensor, Tensor, Tensor]


class Batches:
    """Batches by stream and iteration.

    A loader runs ahead of the training by a few batches and is opened where a stream is first used; a stage that
    does not use a stream costs nothing, and a run that starts late starts its loaders at that iteration.
    """

    def __init__(self, config: Config, dataset: Dataset, rank: int, world: int, device: torch.device) -> None:
        self._config = config
        self._rank, self._world, self._device = rank, world, device
        self._plans = {stream: self._plan(stream, dataset) for stream in STREAMS if self._has(stream)}
        self._stack = ExitStack()
        self._files = self._stack.enter_context(open_files(config.data, dataset.train))
        self._loaders: dict[str, BatchLoader] = {}
        self._current: dict[str, tuple[int, DeviceBatch, Batch]] = {}

    def at(self, stream: str, iteration: int) -> DeviceBatch:
        """Return (rgb, ir, labels) of a stream at an iteration: float [N, 3, H, W] in [-1, 1] twice, int64 [N]."""
        kept = self._current.get(stream)
        if kept is None or kept[0] != iteration:
            batch = self._next(stream, iteration)
            kept = (iteration, self._to_device(batch), batch)
            self._current[stream] = kept
        return kept[1]

    def read(self, stream: str, iteration: int) -> Batch:
        """Return the pictures, labels and paths of a stream at an iteration, past ones included."""
        self.at(stream, iteration)
        return self._current[stream][2]

    def skipped(self, iteration: int) -> Tensor:
        """Return how many of this worker's pictures were skipped at an iteration: a scalar on the device."""
        count = sum(len(batch.skipped) for at, _, batch in self._current.values() if at == iteration)
        return torch.full((), float(count), device=self._device)

    def decoded(self, iteration: int) -> int:
        """Return how many pictures this worker decoded for an iteration."""
        return sum(batch.decoded for at, _, batch in self._current.values() if at == iteration)

    @property
    def ready(self) -> int:
        """Batches that wait to be asked for, of the stream that has the fewest."""
        return min((loader.ready for loader in self._loaders.values()), default=0)

    def close(self) -> None:
        """Stop the loaders' threads and free their pipelines."""
        self._stack.close()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _has(self, stream: str) -> bool:
        return stream == "main" or self._config.train.pixel_batch is not None

    def _plan(self, stream: str, dataset: Dataset) -> BatchPlan:
        data, pixel = self._config.data, self._config.train.pixel_batch
        size = pixel if stream == "pixel" and pixel is not None else data
        return BatchPlan(
            dataset.train,
            persons_per_batch=size.persons_per_batch,
            images_per_person=size.images_per_person,
            seed=self._config.train.seed,
            stream=STREAMS.index(stream),
            flip=data.flip,
            pad=data.pad,
            erase=data.erase,
            image_size=data.image_size,
        )

    def _next(self, stream: str, iteration: int) -> Batch:
        loader = self._loaders.get(stream)
        if loader is None or self._current[stream][0] != iteration - 1:
            data = self._config.data
            if loader is not None:
                loader.close()
            loader = self._stack.enter_context(
                BatchLoader(
                    self._plans[stream],
                    backend=choose_backend(data.backend),
                    image_size=data.image_size,
                    rank=self._rank,
                    world=self._world,
                    first_step=iteration,
                    threads=data.threads,
                    device_index=self._device.index,
                    on_error=data.on_error,
                    files=self._files,
                )
            )
            self._loaders[stream] = loader
        return next(loader)

    def _to_device(self, batch: Batch) -> DeviceBatch:
        layout = torch.channels_last if self._config.train.channels_last else torch.contiguous_format
        rgb, ir = (
            to_unit_range(images.to(self._device, non_blocking=True)).contiguous(memory_format=layout)
            for images in (batch.rgb, batch.ir)
        )
        return rgb, ir, batch.labels.to(self._device, non_blocking=True)
