"""Files of pictures translated one by one, each under its own name."""

import os
import sys
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from aligngan.model import Model, load_model
from aligngan.picture_files import Found, NoPictures, display_name, find_pictures, look_at, say_modalities
from aligngan.skipping import Skipped
from aligngan.terminal import counting
from cluster.errors import ClusterError
from cluster.folder import RunFolder
from loaders.backends.threads import decode, resized
from loaders.dataset import Modality

_JPEG_QUALITY = 95
_OTHER: dict[Modality, Modality] = {"rgb": "ir", "ir": "rgb"}


def translate(
    source: str,
    pictures: str,
    out: str,
    modality: Modality | None = None,
    network_size: bool = False,
    overwrite: bool = False,
) -> int:
    """Translate a picture, or all below a folder, to the other modality; says what it does.

    Args:
        source: run or checkpoint.
        pictures: a file or a folder.
        out: folder where each is written under its name, and its folder's below `pictures`.
        modality: of all pictures; found out for each where left out.
        network_size: leave the pictures at the network's size in place of their own.
        overwrite: replace what is there.

    Returns:
        The command's exit status: 0 done, 1 no picture could be read, 2 refused before anything started.
    """
    try:
        root, files = _files(pictures)
        folder = RunFolder(out)
        _refuse_overwriting(folder, root, files, overwrite)
        model = load_model(source)
        model.translations([], "ir")  # refuses a method without translators
    except (ValueError, ClusterError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    print(f"model: {model.checkpoint} ({model.method_name}, iteration {model.iteration})", flush=True)
    skipped = Skipped()
    found = look_at(files, modality, skipped)
    print(f"pictures: {say_modalities(found) or 'no readable picture'}; each becomes the other modality", flush=True)
    with counting("translated", len(found)) as advance:
        for given in _OTHER:
            part = [picture for picture in found if picture.modality == given]
            for picture, image in _translated(model, part, _OTHER[given], skipped):
                if image is not None:
                    shown = image if network_size else resized(image, decode(picture.path).shape[:2])
                    folder.write_bytes(display_name(picture.path, root), _encoded(picture.path, shown))
                advance(1)
    skipped.say("given", len(files))
    done = len(files) - skipped.count
    print(f"{done} pictures translated: {folder.location}")
    return 0 if done else 1


def _files(pictures: str) -> tuple[str, list[str]]:
    """The folder that names are relative to, and the files."""
    if os.path.isfile(pictures):
        return os.path.dirname(pictures), [pictures]
    return pictures, find_pictures(pictures)


def _refuse_overwriting(folder: RunFolder, root: str, files: Sequence[str], overwrite: bool) -> None:
    place = folder.local_path
    inside = place is not None and os.path.realpath(place).startswith(os.path.join(os.path.realpath(root), ""))
    if place is not None and os.path.realpath(place) == os.path.realpath(root or "."):
        raise NoPictures(f"{folder.location} holds the pictures that are translated: give another folder")
    if inside and len(files) > 1:
        raise NoPictures(
            f"{folder.location} lies inside {root}, so that translated pictures would be translated again next time: "
            "give a folder elsewhere"
        )
    if not overwrite:
        there = [name for name in (display_name(path, root) for path in files) if folder.exists(name)]
        if there:
            raise NoPictures(
                f"{len(there)} of the files are in {folder.location} already, the first is {there[0]}: give another "
                "folder, or --overwrite"
            )


def _translated(
    model: Model, pictures: Sequence[Found], to: Modality, skipped: Skipped
) -> Iterator[tuple[Found, NDArray[np.uint8] | None]]:
    """Yield each picture with its translation uint8 [H, W, 3], or None where it is broken."""
    done = 0
    for batch in model.translations([picture.path for picture in pictures], to, on_broken=skipped):
        for picture, image in zip(pictures[done:], batch, strict=False):
            whole = picture.path not in skipped.paths
            yield picture, np.ascontiguousarray(image.transpose(1, 2, 0)) if whole else None
        done += len(batch)


def _encoded(path: str, image: NDArray[np.uint8]) -> bytes:
    """Return the file's content in the format of its name."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    suffix = os.path.splitext(path)[1].lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    written, content = cv2.imencode(suffix, bgr, options)
    assert written, f"OpenCV did not encode {path}"
    return content.tobytes()
