"""What every backend is asked for, and the thread pool that works some batches ahead."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from loaders.storage import read_file

ERASED = 127
"""Value of all channels in an erased box: middle grey, about 0 where pictures are scaled to [-1, 1]."""

T = TypeVar("T")


class PictureError(RuntimeError):
    """A picture file that cannot be read or decoded; the message names it."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Pictures to load and the changes to make, in this order.

    Decode as RGB without turning by EXIF orientation; resize (bilinear with antialias); move the window by
    `crop` (int32 [N, 2], rows and columns; black where the window leaves the picture); mirror where `flip`
    (bool [N]); fill the box `erase` (int32 [N, 4]: top, left, height, width) with `ERASED`.

    Where `instead` is given, a picture that cannot be decoded is skipped: `instead(i)` are the paths to try in place of
    path i, in order, and `skipped` gets what was put at i.
    """

    paths: list[str]
    flip: npt.NDArray[np.bool_]
    crop: npt.NDArray[np.int32]
    erase: npt.NDArray[np.int32]
    instead: Callable[[int], list[str]] | None = None
    skipped: dict[int, str] = field(default_factory=dict)

    def candidates(self, i: int) -> Iterator[str]:
        """Yield the paths that may stand at i, the planned one first."""
        yield self.paths[i]
        if self.instead is not None:
            yield from self.instead(i)

    @classmethod
    def unchanged(cls, paths: list[str]) -> "Request":
        """Pictures that are only decoded and resized."""
        count = len(paths)
        return cls(paths, np.zeros(count, bool), np.zeros((count, 2), np.int32), np.zeros((count, 4), np.int32))


Source = Callable[[int], Request | None]
"""The request of batch number 0, 1, ...; None behind the last one. Has no side effects: it is called ahead of time."""


class Files(Protocol):
    """Where backends get pictures from; `loaders.cache` has them."""

    @property
    def are_decoded(self) -> bool:
        """Whether pictures are kept decoded, but for broken ones."""

    def encoded(self, path: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of a picture file; raises PictureError naming it."""

    def decoded(self, path: str) -> npt.NDArray[np.uint8] | None:
        """Return the picture as uint8 [H, W, 3] of the size that batches have, or None where it is not kept so."""


def first_good(request: Request, i: int, load: Callable[[str], T]) -> T:
    """Return what `load` makes of the first path for place i that it can load, noting it where that is another one.

    Raises the PictureError of the planned path when there is no other to try or none can be loaded.
    """
    first: PictureError | None = None
    for path in request.candidates(i):
        try:
            loaded = load(path)
        except PictureError as error:
            first = first or error
            continue
        if first is not None:
            request.skipped[i] = path
        return loaded
    assert first is not None
    raise first


def file_bytes(path: str) -> npt.NDArray[np.uint8]:
    """Return the bytes of a file; raises PictureError naming it."""
    try:
        data = read_file(path)
    except OSError as error:
        raise PictureError(f"picture {path} cannot be read: {error.strerror or error}") from error
    if not data:
        raise PictureError(f"picture {path} is an empty file")
    return np.frombuffer(data, dtype=np.uint8)


class Ahead(Generic[T]):
    """Requests in order, each with a result that a thread pool fills picture by picture, `depth` requests ahead.

    `empty(request)` makes the result to fill, `fill(request, result, i)` does picture i in one of the threads.
    """

    # Pictures a thread takes at once: enough that handing out work costs little, few enough to share a batch.
    _TAKEN_AT_ONCE = 4

    def __init__(
        self,
        source: Source,
        empty: Callable[[Request], T],
        fill: Callable[[Request, T, int], None],
        threads: int,
        depth: int,
    ) -> None:
        self._source, self._empty, self._fill = source, empty, fill
        self._depth = depth
        self._number = 0
        self._ended = False
        self._waiting: deque[tuple[Request, T, list[Future[None]]]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        self._top_up()

    def __iter__(self) -> "Ahead[T]":
        return self

    def __next__(self) -> tuple[Request, T]:
        """Return the next request and its filled result; raises what `fill` raised."""
        if not self._waiting:
            raise StopIteration
        request, result, parts = self._waiting.popleft()
        self._top_up()
        for part in parts:
            part.result()
        return request, result

    @property
    def ready(self) -> int:
        """How many results are filled and wait to be asked for."""
        return sum(all(part.done() for part in parts) for _, _, parts in self._waiting)

    def close(self) -> None:
        """Stop the threads; pictures that are not begun are left out."""
        self._ended = True
        self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _top_up(self) -> None:
        while not self._ended and len(self._waiting) < self._depth:
            request = self._source(self._number)
            if request is None:
                self._ended = True
                return
            self._number += 1
            result = self._empty(request)
            starts = range(0, len(request.paths), self._TAKEN_AT_ONCE)
            parts = [self._pool.submit(self._do_part, request, result, start) for start in starts]
            self._waiting.append((request, result, parts))

    def _do_part(self, request: Request, result: T, start: int) -> None:
        for i in range(start, min(start + self._TAKEN_AT_ONCE, len(request.paths))):
            self._fill(request, result, i)
