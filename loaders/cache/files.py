"""Where backends get picture files from: the files themselves, copies on this node, or pictures decoded already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from loaders.backends.requests import PictureError, file_bytes
from loaders.backends.threads import decode, resized
from loaders.cache.shared import SharedFolder

# Files of an object store take most of their time to travel, so many are under way at once.
_READ_AT_ONCE = 16
_CHUNK = 512

T = TypeVar("T")
R = TypeVar("R")


class Files:
    """Reads a file each time that it is asked for."""

    def encoded(self, path: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of a picture file; raises PictureError naming it."""
        return file_bytes(path)

    def decoded(self, path: str) -> npt.NDArray[np.uint8] | None:
        """Return the picture as uint8 [H, W, 3] of the size that batches have, or None where it is not kept so."""
        return None

    @property
    def are_decoded(self) -> bool:
        """Whether pictures are kept decoded, but for broken ones."""
        return False

    def close(self) -> None:
        """Give back what is held; arrays that were given out stay valid."""

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class KeptFiles(Files):
    """The bytes of picture files, read once per node and mapped by all of its processes."""

    _BYTES, _ENDS = "files.bin", "ends.npy"

    def __init__(self, paths: Sequence[str], parent: Path, name: str, keep: bool) -> None:
        def build(folder: Path) -> None:
            ends = []
            with open(folder / self._BYTES, "wb") as file:
                # Never of no length, which cannot be mapped.
                file.write(b"\0")
                for data in _in_threads(_bytes_or_none, paths, _READ_AT_ONCE):
                    file.write(data)
                    ends.append(file.tell())
            np.save(folder / self._ENDS, np.array(ends, np.int64))

        self._folder = SharedFolder(parent, name, build, keep)
        self._rows = {path: row for row, path in enumerate(paths)}
        self._ends = np.concatenate([[1], np.load(self._folder.path / self._ENDS)])
        self._data = np.memmap(self._folder.path / self._BYTES, np.uint8, mode="r")

    def encoded(self, path: str) -> npt.NDArray[np.uint8]:
        row = self._rows.get(path)
        data = self._data[self._ends[row] : self._ends[row + 1]] if row is not None else self._data[:0]
        # What could not be read then is tried again, which says what is wrong with it.
        return np.asarray(data) if len(data) else file_bytes(path)

    def close(self) -> None:
        self._folder.close()


class DecodedPictures(Files):
    """Pictures of the size that batches have, decoded once per node and mapped by all of its processes."""

    _PIXELS, _WHOLE = "pixels.bin", "whole.npy"

    def __init__(
        self,
        paths: Sequence[str],
        image_size: tuple[int, int],
        threads: int,
        parent: Path,
        name: str,
        keep: bool,
    ) -> None:
        shape = (len(paths), *image_size, 3)

        def build(folder: Path) -> None:
            with open(folder / self._PIXELS, "wb") as file:
                # Memory that is not there is refused here; a mapping would end the process.
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
            pixels = np.memmap(folder / self._PIXELS, np.uint8, mode="r+", shape=shape)
            whole = np.zeros(len(paths), bool)

            def fill(row: int) -> None:
                try:
                    pixels[row] = resized(decode(paths[row]), image_size)
                except PictureError:
                    return
                whole[row] = True

            for _ in _in_threads(fill, range(len(paths)), threads):
                pass
            pixels.flush()
            np.save(folder / self._WHOLE, whole)

        self._folder = SharedFolder(parent, name, build, keep)
        whole = np.load(self._folder.path / self._WHOLE)
        # Broken pictures are left out: decoding them again says what is wrong with them.
        self._rows = {path: row for row, path in enumerate(paths) if whole[row]}
        self._pixels = np.memmap(self._folder.path / self._PIXELS, np.uint8, mode="r", shape=shape)

    def decoded(self, path: str) -> npt.NDArray[np.uint8] | None:
        row = self._rows.get(path)
        return None if row is None else np.asarray(self._pixels[row])

    @property
    def are_decoded(self) -> bool:
        return True

    def close(self) -> None:
        self._folder.close()


def _bytes_or_none(path: str) -> bytes:
    try:
        return file_bytes(path).tobytes()
    except PictureError:
        return b""


def _in_threads(work: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Yield the results in order; a chunk at a time, so that few of them are in memory."""
    with ThreadPoolExecutor(threads, thread_name_prefix="keeping") as pool:
        for start in range(0, len(items), _CHUNK):
            yield from pool.map(work, items[start : start + _CHUNK])
