"""Pictures as they are shown to people: in their own proportions, on paper, all of one size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aligngan.sheets import GREY, PAPER
from loaders.backends.requests import PictureError
from loaders.backends.threads import decode, resized

SIZE = (160, 80)
"""Height and width: pictures of standing people are about twice as tall as wide."""


def thumbnails(paths: Sequence[str]) -> NDArray[np.uint8]:
    """Return pictures uint8 [N, 3, 160, 80], each whole and in its own proportions; a missing one is crossed out."""
    pictures = np.empty((len(paths), *SIZE, 3), np.uint8)
    for row, path in enumerate(paths):
        try:
            pictures[row] = _fitted(decode(path))
        except PictureError:
            pictures[row] = _crossed_out()
    return pictures.transpose(0, 3, 1, 2)


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(SIZE[0] / height, SIZE[1] / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    paper = np.full((*SIZE, 3), PAPER, np.uint8)
    top, left = (SIZE[0] - size[0]) // 2, (SIZE[1] - size[1]) // 2
    paper[top : top + size[0], left : left + size[1]] = resized(picture, size)
    return paper


def _crossed_out() -> NDArray[np.uint8]:
    image = Image.new("RGB", SIZE[::-1], PAPER)
    draw = ImageDraw.Draw(image)
    corner = SIZE[1] - 1, SIZE[0] - 1
    draw.line((0, 0, *corner), GREY, 2)
    draw.line((0, corner[1], corner[0], 0), GREY, 2)
    return np.array(image)
