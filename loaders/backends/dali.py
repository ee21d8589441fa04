"""Decoding with NVIDIA DALI: one graph, on the GPU (`dali`) or on the CPU (`dali-cpu`).

The graph is the same on both; only where it decodes and works differs. BMP files are decoded on the CPU by either.
The tests run the CPU graph everywhere and the GPU graph only where there is a GPU; on the CPU, pixels are within
1 grey level of the `threads` backend. The outermost row and column of a picture that shrinks are the exception: DALI
repeats edge pixels under the part of the filter that lies outside, which strong noise shows as a few levels.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor

from loaders.backends.requests import ERASED, Ahead, Files, PictureError, Request, Source, file_bytes, first_good
from loaders.backends.threads import decode, reader

# DALI sets aside 16 MiB of GPU and 8 MiB of host memory a thread for decoding; these pictures need far less.
_DECODER_PADDING = 2**20


@pipeline_def
def _graph(  # type: ignore[no-untyped-def]
    source: "_Input", device: Literal["gpu", "cpu"], image_size: tuple[int, int], decoded: bool
):
    data, flip, crop, anchor, shape = fn.external_source(
        source,
        num_outputs=5,
        batch=True,
        parallel=False,
        dtype=[types.UINT8, types.INT32, types.INT32, types.FLOAT, types.FLOAT],
        ndim=[3 if decoded else 1, 0, 1, 1, 1],
    )
    if not decoded:
        data = _decoded(data, device, image_size)
    pictures = data.gpu() if device == "gpu" else data
    pictures = fn.slice(
        pictures, start=crop, shape=list(image_size), axes=[0, 1], out_of_bounds_policy="pad", fill_values=0
    )
    pictures = fn.flip(pictures, horizontal=flip)
    return fn.erase(pictures, anchor=anchor, shape=shape, axis_names="HW", fill_value=ERASED)


def _decoded(data, device: Literal["gpu", "cpu"], image_size: tuple[int, int]):  # type: ignore[no-untyped-def]
    """Part of the graph from encoded files to pictures uint8 [H, W, 3] of `image_size`."""
    pictures = fn.decoders.image(
        data,
        device="mixed" if device == "gpu" else "cpu",
        # Anything else crashes the process on a grey JPEG.
        output_type=types.RGB,
        adjust_orientation=False,
        # For the GPU, to be like libjpeg, hence like every other backend; on the CPU it is libjpeg that decodes.
        jpeg_fancy_upsampling=True,
        device_memory_padding=_DECODER_PADDING,
        host_memory_padding=_DECODER_PADDING,
    )
    return fn.resize(pictures, size=image_size, interp_type=types.INTERP_LINEAR, antialias=True)


class _Input:
    """What the graph reads: encoded files, or pictures, and the changes to make, batch by batch."""

    def __init__(self, files: Ahead[list]) -> None:
        self._files = files
        # DALI asks ahead of what it gives out, so the requests wait here to name the files when a batch fails.
        self.asked: deque[Request] = deque()

    def __call__(self) -> tuple:
        request, data = next(self._files)
        self.asked.append(request)
        anchor, shape = request.erase[:, :2], request.erase[:, 2:]
        return data, request.flip.astype(np.int32), request.crop, anchor.astype(np.float32), shape.astype(np.float32)


class DaliStream:
    """Batches uint8 [N, 3, H, W] (channels_last) of a source, in order, on the GPU or the CPU."""

    def __init__(
        self,
        source: Source,
        batch_size: int,
        image_size: tuple[int, int],
        threads: int,
        prefetch: int,
        device: Literal["gpu", "cpu"],
        device_index: int | None = None,
        files: Files | None = None,
    ) -> None:
        """`batch_size` is the most pictures of a request; `files` are read in place of the files themselves.

        Raises ValueError when the GPU is asked for without one.
        """
        self._device: torch.device | None = None
        if device == "gpu":
            if not torch.cuda.is_available():
                raise ValueError(
                    "backend 'dali' decodes on the GPU and there is none here: use 'auto', 'threads' or 'dali-cpu'"
                )
            self._device = torch.device("cuda", torch.cuda.current_device() if device_index is None else device_index)

        read = file_bytes if files is None else files.encoded
        decoded = files is not None and files.are_decoded
        self.decodes = not decoded
        sized = reader(files, image_size)
        decodable: set[str] = set()

        def checked(path: str) -> npt.NDArray[np.uint8]:
            # A picture that fails inside DALI takes its batch with it, so each is decoded once before DALI sees it.
            if path not in decodable:
                decode(path, read)
                decodable.add(path)
            return read(path)

        def fill(request: Request, result: list, i: int) -> None:
            if decoded:
                result[i] = first_good(request, i, sized)
            else:
                result[i] = read(request.paths[i]) if request.instead is None else first_good(request, i, checked)

        self._read = read
        self._files: Ahead[list] = Ahead(source, lambda request: [None] * len(request.paths), fill, threads, prefetch)
        self._input = _Input(self._files)
        # The files are read ahead by `prefetch` batches; DALI itself needs two to work on one while one is used.
        self._pipeline = _graph(
            self._input,
            device,
            image_size,
            decoded,
            batch_size=batch_size,
            num_threads=threads,
            device_id=None if self._device is None else self._device.index,
            prefetch_queue_depth=2,
        )

    def __iter__(self) -> "DaliStream":
        return self

    def __next__(self) -> Tensor:
        """Return the next batch; raises PictureError naming the files that cannot be decoded."""
        stream = None if self._device is None else torch.cuda.current_stream(self._device)
        try:
            (pictures,) = self._pipeline.run(stream)
        except RuntimeError as error:
            if isinstance(error, PictureError) or not self._input.asked:
                raise
            raise _decode_error(self._input.asked[0], self._read, error) from error
        self._input.asked.popleft()
        return torch.from_dlpack(pictures.as_tensor()).permute(0, 3, 1, 2)

    @property
    def ready(self) -> int:
        """How many batches' files are read and wait for the graph, which always works on one more."""
        return self._files.ready

    def close(self) -> None:
        """Free the pipeline and stop the threads that read files."""
        self._files.close()
        self._pipeline = None


def _decode_error(request: Request, read: Callable[[str], npt.NDArray[np.uint8]], error: RuntimeError) -> PictureError:
    """DALI rarely says which picture failed, so the batch is decoded once more to name it, or else all its files."""
    broken = []
    for path in request.paths:
        try:
            decode(path, read)
        except PictureError as reason:
            broken.append(str(reason))
    if broken:
        return PictureError("; ".join(broken))
    return PictureError(f"DALI cannot decode one of {', '.join(request.paths)}: {error}")
