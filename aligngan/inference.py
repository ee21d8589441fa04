"""A method at work on pictures from disk: the same reading and arithmetic in training's evaluations and afterwards."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from aligngan.config import Config
from aligngan.methods.method import Method
from aligngan.training.step import autocast_type
from loaders.backends.requests import PictureError
from loaders.batches import choose_backend, read_pictures
from loaders.dataset import Modality

Read = Callable[[list[str]], Iterable[Tensor]]


class Inference:
    """Pictures to features and translations on one device, as a configuration says."""

    def __init__(self, config: Config, method: Method, device: torch.device) -> None:
        self._config, self._method, self._device = config, method, device
        self._autocast = autocast_type(config.train.precision, device)

    def features(self, images: Tensor, modality: Modality) -> Tensor:
        """Return V [N, D] of images float [N, 3, H, W] in [-1, 1], all of one modality."""
        with self._mixed_precision():
            return self._method.features(self._laid_out(images), modality)

    def translate(self, images: Tensor, to: Modality) -> Tensor:
        """Return pictures of the other modality, both float [N, 3, H, W] in [-1, 1]."""
        with self._mixed_precision():
            return self._method.translate(self._laid_out(images), to).float()

    def read(self, paths: list[str], batch_size: int | None = None) -> Iterator[Tensor]:
        """Yield the pictures of paths in order as batches uint8 [n, 3, H, W]; raises PictureError for a broken one."""
        data = self._config.data
        # GPU decoding may be configured by a training on another machine.
        backend = "threads" if data.backend == "dali" and self._device.type == "cpu" else choose_backend(data.backend)
        return read_pictures(
            paths,
            image_size=data.image_size,
            backend=backend,
            batch_size=batch_size or self._config.evaluation.batch_size,
            threads=data.threads,
            device_index=self._device.index,
        )

    def _laid_out(self, images: Tensor) -> Tensor:
        layout = torch.channels_last if self._config.train.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=layout)

    def _mixed_precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=self._autocast, enabled=self._autocast is not None)


class ReadPastBroken:
    """Reads pictures and goes on past broken ones, which become black pictures and are written down by name.

    `broken` has the message of each broken path. So rows stay where callers expect them; they drop the broken ones.
    """

    def __init__(
        self,
        read: Read,
        image_size: tuple[int, int],
        on_pictures: Callable[[int], None] | None = None,
        strict: bool = False,
    ) -> None:
        """`on_pictures` is called with the number of pictures each time that some are read; `strict` raises."""
        self._read, self._image_size = read, image_size
        self._on_pictures, self._strict = on_pictures, strict
        self.broken: dict[str, str] = {}

    def __call__(self, paths: list[str]) -> Iterator[Tensor]:
        """Yield one row per path, in order, as batches uint8 [n, 3, H, W]."""
        done = 0
        while done < len(paths):
            try:
                for batch in self._read(paths[done:]):
                    done += len(batch)
                    yield self._counted(batch)
            except PictureError:
                if self._strict:
                    raise
                # The batch is lost, and with it which picture it was: from here one by one up to the broken one.
                path = None
                while done < len(paths) and path not in self.broken:
                    path = paths[done]
                    yield self._counted(self._one(path))
                    done += 1

    def _one(self, path: str) -> Tensor:
        try:
            return torch.cat(list(self._read([path])))
        except PictureError as error:
            self.broken[path] = str(error)
            return torch.zeros(1, 3, *self._image_size, dtype=torch.uint8)

    def _counted(self, batch: Tensor) -> Tensor:
        if self._on_pictures is not None:
            self._on_pictures(len(batch))
        return batch
