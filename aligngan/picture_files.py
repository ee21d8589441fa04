"""Pictures of people's own: which files there are, of which modality, and of whom as far as folders say."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np

from loaders.backends.requests import PictureError
from loaders.backends.threads import decode
from loaders.dataset import Modality

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")

Guess = Literal["given", "folder name", "colour"]

_MODALITIES: dict[str, Modality] = {
    **dict.fromkeys(("rgb", "visible", "vis", "cam1", "cam2", "cam4", "cam5"), "rgb"),
    **dict.fromkeys(("ir", "infrared", "nir", "thermal", "cam3", "cam6"), "ir"),
}
# Mean difference between a pixel's largest and smallest channel; JPEG leaves a little colour in grey pictures.
_GREY_BELOW = 4.0
_THREADS = 4


class NoPictures(ValueError):
    """A folder that is missing or holds no picture; the message names it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture file with what is known of it."""

    path: str
    modality: Modality
    by: Guess
    """How the modality is known."""
    person: str | None
    """Name of the person's folder, or None where the folders do not say."""


def find_pictures(folder: str) -> list[str]:
    """Return the paths of all JPEG, PNG and BMP files below a folder, sorted; raises NoPictures."""
    if not os.path.isdir(folder):
        what = "a file and not a folder" if os.path.exists(folder) else "missing"
        raise NoPictures(f"{folder} is {what}: give a folder of pictures")
    paths = [
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES)
    ]
    if not paths:
        raise NoPictures(f"{folder} holds no picture ({', '.join(SUFFIXES)}): nothing to do")
    return sorted(paths)


def person_of(path: str) -> str | None:
    """Return the name of the person's folder in `rgb/PERSON/picture`, also `cam3/PERSON/picture` and the like."""
    folders = PurePath(os.path.abspath(path)).parts[:-1]
    if len(folders) < 2 or folders[-2].lower() not in _MODALITIES:
        return None
    # Numbers are written with and without leading zeros.
    return str(int(folders[-1])) if folders[-1].isascii() and folders[-1].isdecimal() else folders[-1]


def modality_by_folder(path: str) -> Modality | None:
    """Return the modality that the nearest telling folder names (rgb, visible, ir, thermal, cam1 to cam6), or None."""
    for folder in reversed(PurePath(os.path.abspath(path)).parts[:-1]):
        if (modality := _MODALITIES.get(folder.lower())) is not None:
            return modality
    return None


def modality_by_colour(path: str) -> Modality:
    """Return `ir` for a picture without colour and `rgb` for others; raises PictureError for a broken one."""
    # Every fourth pixel tells as much.
    picture = decode(path)[::4, ::4].astype(np.int16)
    return "ir" if (picture.max(axis=2) - picture.min(axis=2)).mean() < _GREY_BELOW else "rgb"


def look_at(
    paths: Sequence[str],
    modality: Modality | None = None,
    on_broken: Callable[[str, str], None] | None = None,
) -> list[Found]:
    """Return what is known of each picture, in order.

    Args:
        paths: picture files.
        modality: of all of them; where left out, folder names say it, and else whether there is colour.
        on_broken: called with path and reason of a picture that had to be looked at and is broken; it is left out.

    Raises:
        PictureError: for such a picture, unless there is `on_broken`.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="guess") as pool:
        seen = pool.map(lambda path: _look(path, modality), paths)
        found = []
        for path, result in zip(paths, seen, strict=True):
            if isinstance(result, Found):
                found.append(result)
            elif on_broken is None:
                raise result
            else:
                on_broken(path, str(result))
    return found


def say_modalities(pictures: Sequence[Found]) -> str:
    """Return in words how many pictures are of which modality and how that is known."""
    counts = Counter((picture.modality, picture.by) for picture in pictures)
    words = {"rgb": "visible", "ir": "infrared"}
    known = {"given": "as given", "folder name": "by folder name", "colour": "guessed by colour"}
    return ", ".join(f"{count} {words[modality]} ({known[by]})" for (modality, by), count in sorted(counts.items()))


def display_name(path: str, root: str) -> str:
    """Return a path relative to a folder, with forward slashes, and as it is where it lies elsewhere."""
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return Path(path).as_posix()


def _look(path: str, modality: Modality | None) -> Found | PictureError:
    if modality is not None:
        return Found(path, modality, "given", person_of(path))
    if (by_folder := modality_by_folder(path)) is not None:
        return Found(path, by_folder, "folder name", person_of(path))
    try:
        return Found(path, modality_by_colour(path), "colour", person_of(path))
    except PictureError as error:
        return error
