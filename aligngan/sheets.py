"""Sheets of pictures to look at: translations beside the real thing, and ranked lists with hits and misses."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aligngan.metrics import to_numpy

Sheet = NDArray[np.uint8]

GREEN, RED, GREY, INK, PAPER = (0, 140, 60), (205, 40, 40), (110, 110, 110), (30, 30, 30), (255, 255, 255)
COLOURS = {"right": GREEN, "wrong": RED, "": GREY}
_GAP, _BORDER, _FONT_SIZE = 8, 4, 14
_LINE = _FONT_SIZE + 6
# Smaller pictures are enlarged by a whole factor, so that a sheet of a demo run can be read.
_LEAST_HEIGHT = 96


def translation_sheet(
    rgb: Tensor | ArrayLike, fake_ir: Tensor | ArrayLike, real_ir: Tensor | ArrayLike, ids: Sequence[int]
) -> Sheet:
    """Return rows of RGB, fake infrared and real infrared pictures, one column per person.

    Args:
        rgb, fake_ir, real_ir: uint8 [N, 3, H, W]; column i of all three is of the same person.
        ids: persons [N], written above the columns.

    Returns:
        the sheet, uint8 [height, width, 3].

    Raises:
        ValueError: for pictures that are not uint8 [N, 3, H, W] of one size, or another number of ids.
    """
    names = ("RGB", "fake IR", "real IR")
    rows = [_pictures(values, name) for values, name in zip((rgb, fake_ir, real_ir), names, strict=True)]
    if len({row.shape for row in rows}) > 1 or len(ids) != len(rows[0]):
        found = ", ".join(f"{name} {list(row.shape)}" for name, row in zip(names, rows, strict=True))
        raise ValueError(f"pictures and ids must be of the same persons; found {found} and {len(ids)} ids")
    count, height, width = rows[0].shape[:3]
    font, left = _font(), _text_width(names)
    column, line = max(width, _text_width([f"person {person}" for person in ids])) + _GAP, height + _GAP
    image = Image.new("RGB", (left + _GAP + count * column + _GAP, _LINE + _GAP + len(rows) * line), PAPER)
    draw = ImageDraw.Draw(image)
    for index, person in enumerate(ids):
        draw.text((left + 2 * _GAP + index * column, _GAP // 2), f"person {person}", INK, font)
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        top = _LINE + _GAP + number * line
        draw.text((_GAP, top + height // 2 - _FONT_SIZE // 2), name, INK, font)
        for index, picture in enumerate(row):
            image.paste(Image.fromarray(picture), (left + 2 * _GAP + index * column, top))
    return np.array(image)


def ranked_sheet(
    queries: Tensor | ArrayLike,
    query_ids: Sequence[Any],
    ranked: Tensor | ArrayLike,
    ranked_ids: ArrayLike | Tensor,
    similarities: ArrayLike | Tensor | None = None,
) -> Sheet:
    """Return one line per query: the query, then its best gallery pictures, the right person green, others red.

    Right and wrong are also written, for those who do not tell the colours apart. Without both persons known it is
    neither, and the frame grey.

    Args:
        queries: uint8 [Q, 3, H, W].
        query_ids: persons [Q], numbers or names, None where not known.
        ranked: uint8 [Q, K, 3, H, W], best first.
        ranked_ids: persons [Q, K], likewise.
        similarities: [Q, K], written below the pictures.

    Returns:
        the sheet, uint8 [height, width, 3].

    Raises:
        ValueError: for shapes that do not fit.
    """
    left, persons = _pictures(queries, "queries"), to_numpy(ranked_ids)
    stack = to_numpy(ranked)
    values = None if similarities is None else to_numpy(similarities)
    expected = (len(left), *persons.shape[1:2])
    if (
        stack.ndim != 5
        or len(query_ids) != len(left)
        or any(shape != expected for shape in (stack.shape[:2], persons.shape))
        or (values is not None and values.shape != expected)
    ):
        raise ValueError(
            f"found {list(left.shape[:1])} queries with {len(query_ids)} ids, ranked pictures {list(stack.shape)} and "
            f"ranked ids {list(persons.shape)}; expected [Q], Q, [Q, K, 3, H, W] and [Q, K]"
        )
    right = [_pictures(row, "ranked") for row in stack]
    count = persons.shape[1]
    height = max(left.shape[1], *(row.shape[1] for row in right)) if len(right) else left.shape[1]
    # At least as wide as for four digits, so that sheets of one run are alike.
    words = ["wrong: person 0000", *(f"wrong: person {person}" for person in persons.ravel())]
    width = max(left.shape[2], *(row.shape[2] for row in right), _text_width(words))
    column, line = width + 2 * _BORDER + _GAP, height + 2 * _BORDER + 2 * _LINE + _GAP
    image = Image.new("RGB", ((1 + count) * column + 2 * _GAP, _LINE + len(left) * line + _GAP), PAPER)
    draw, font = ImageDraw.Draw(image), _font()
    for place in range(count + 1):
        draw.text((_GAP + _x(place, column), _GAP // 2), f"rank {place}" if place else "query", INK, font)
    for number, person in enumerate(query_ids):
        top = _LINE + _GAP + number * line
        _framed(image, left[number], (_GAP, top), GREY, [_person(person)])
        for place in range(1, count + 1):
            found = persons[number, place - 1]
            verdict = match(person, found)
            lines = [f"{verdict}: person {found}" if verdict else _person(found)]
            if values is not None:
                lines.append(f"similarity {values[number, place - 1]:.3f}")
            where = (_GAP + _x(place, column), top)
            _framed(image, right[number][place - 1], where, COLOURS[verdict], lines)
    return np.array(image)


def match(person: Any, found: Any) -> str:
    """Return `right` or `wrong` for two persons, and nothing where one of them is not known."""
    if person is None or found is None:
        return ""
    return "right" if person == found else "wrong"


def to_png(sheet: Sheet) -> bytes:
    """Return a sheet uint8 [height, width, 3] as the bytes of a PNG file; equal sheets give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    return buffer.getvalue()


def _person(person: Any) -> str:
    return "person unknown" if person is None else f"person {person}"


def _x(place: int, column: int) -> int:
    """Left edge of a column; a wider gap parts the query from its ranked list."""
    return place * column + (_GAP if place else 0)


def _framed(
    image: Image.Image, picture: Sheet, where: tuple[int, int], colour: tuple[int, int, int], words: list[str]
) -> None:
    draw, font = ImageDraw.Draw(image), _font()
    height, width = picture.shape[:2]
    x, y = where
    draw.rectangle((x, y, x + width + 2 * _BORDER - 1, y + height + 2 * _BORDER - 1), fill=colour)
    image.paste(Image.fromarray(picture), (x + _BORDER, y + _BORDER))
    for number, word in enumerate(words):
        draw.text((x, y + height + 2 * _BORDER + 2 + number * _LINE), word, colour, font)


def _pictures(values: Tensor | ArrayLike, name: str) -> NDArray[np.uint8]:
    """Return uint8 [N, 3, H, W] as [N, H, W, 3], enlarged where small."""
    pictures = to_numpy(values)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"{name} must be uint8 [N, 3, H, W], found {pictures.dtype} {list(pictures.shape)}")
    factor = max(1, -(-_LEAST_HEIGHT // pictures.shape[2]))
    return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1).repeat(factor, axis=1).repeat(factor, axis=2))


def _font() -> Any:
    # Pillow's own, so that a sheet is the same on every machine.
    return ImageFont.load_default(_FONT_SIZE)


def _text_width(words: Sequence[str]) -> int:
    font = _font()
    return max((round(font.getlength(word)) + 1 for word in words), default=0)
