"""Decoding in a thread pool on the CPU: OpenCV decodes, torch resizes; both leave the interpreter lock to others.

OpenCV's own number of threads is left as it is: what is used of OpenCV starts no threads.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from loaders.backends.requests import ERASED, Ahead, Files, PictureError, Request, Source, file_bytes, first_good


def decode(path: str, read: Callable[[str], npt.NDArray[np.uint8]] = file_bytes) -> npt.NDArray[np.uint8]:
    """Return a picture file (JPEG, PNG, BMP; colour or grey) as RGB, uint8 [H, W, 3]; raises PictureError naming it.

    `read` returns the bytes of a file, uint8 [n], and raises PictureError too.
    """
    data = read(path)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PictureError(f"picture {path} cannot be decoded: {error.err}") from error
    if picture is None:
        raise PictureError(f"picture {path} cannot be decoded: it is no JPEG, PNG or BMP file, or it is damaged")
    return picture


def resized(picture: npt.NDArray[np.uint8], image_size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return uint8 [H, W, 3] resized to `image_size`, within 1 grey level of Pillow's bilinear filter.

    OpenCV's bilinear filter has no antialias; torch's uint8 kernel is the fastest that has one.
    """
    height, width = picture.shape[:2]
    if (height, width) == image_size:
        return picture
    if height <= image_size[0] and width <= image_size[1]:
        # Nothing to average where no side shrinks, so the faster filter without antialias is the same.
        return np.asarray(cv2.resize(picture, image_size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    # The leading axis comes before the permutation: else torch does not see a channels_last picture, and is slower.
    planes = torch.from_numpy(picture)[None].permute(0, 3, 1, 2)
    planes = interpolate(planes, size=image_size, mode="bilinear", align_corners=False, antialias=True)
    return planes[0].permute(1, 2, 0).numpy()


def place(
    picture: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
    flip: bool,
    crop: npt.NDArray[np.int32],
    erase: npt.NDArray[np.int32],
) -> None:
    """Write `picture` to `out`, both uint8 [H, W, 3], with the changes of one row of a Request."""
    height, width = out.shape[:2]
    down, right = crop.tolist()
    if flip:
        # Mirrored first, which OpenCV does fast, and then moved the other way: the same as moved and then mirrored.
        picture, right = cv2.flip(picture, 1), -right
    if down or right:
        out[:] = 0
        rows, columns = height - abs(down), width - abs(right)
        target = out[max(0, -down) :, max(0, -right) :][:rows, :columns]
        target[:] = picture[max(0, down) :, max(0, right) :][:rows, :columns]
    else:
        out[:] = picture
    top, left, tall, wide = erase.tolist()
    out[top : top + tall, left : left + wide] = ERASED


def reader(files: Files | None, image_size: tuple[int, int]) -> Callable[[str], npt.NDArray[np.uint8]]:
    """Return what reads the picture of a path as uint8 [H, W, 3] of `image_size` and raises PictureError."""
    if files is None:
        return lambda path: resized(decode(path), image_size)

    def read(path: str) -> npt.NDArray[np.uint8]:
        kept = files.decoded(path)
        return resized(decode(path, files.encoded), image_size) if kept is None else kept

    return read


class ThreadStream:
    """Batches uint8 [N, 3, H, W] (channels_last) of a source, in order, decoded `prefetch` batches ahead."""

    def __init__(
        self, source: Source, image_size: tuple[int, int], threads: int, prefetch: int, files: Files | None = None
    ) -> None:
        """`files` are read in place of the files themselves."""
        self.decodes = files is None or not files.are_decoded
        sized = reader(files, image_size)

        def empty(request: Request) -> Tensor:
            return torch.empty((len(request.paths), *image_size, 3), dtype=torch.uint8)

        def fill(request: Request, result: Tensor, i: int) -> None:
            place(
                first_good(request, i, sized),
                result[i].numpy(),
                bool(request.flip[i]),
                request.crop[i],
                request.erase[i],
            )

        self._ahead = Ahead(source, empty, fill, threads, prefetch)

    def __iter__(self) -> "ThreadStream":
        return self

    def __next__(self) -> Tensor:
        """Return the next batch; raises PictureError naming a file that cannot be decoded."""
        _, pictures = next(self._ahead)
        return pictures.permute(0, 3, 1, 2)

    @property
    def ready(self) -> int:
        """How many batches are decoded and wait to be asked for."""
        return self._ahead.ready

    def close(self) -> None:
        """Stop the threads."""
        self._ahead.close()
