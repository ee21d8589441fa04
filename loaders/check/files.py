"""What is wrong with single picture files, also where decoders pass it silently."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from loaders.backends.requests import PictureError
from loaders.backends.threads import decode
from loaders.dataset import Picture
from loaders.storage import read_file

Kind = Literal["unreadable", "empty", "broken", "truncated", "damaged", "foreign", "mis-sized", "duplicate"]
SMALLEST_SIDE = 16
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_STARTS = (JPEG_START, b"\x89PNG", b"BM")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one file; `fatal` where the file cannot be decoded, which ends a training."""

    kind: Kind
    path: str
    detail: str
    fatal: bool = False


@dataclass(frozen=True)
class Inspected:
    """A file's findings, and what is compared between files: width and height in pixels, sha256 of the bytes."""

    findings: tuple[Finding, ...]
    size: tuple[int, int] | None = None
    digest: str | None = None


def inspect(path: str) -> Inspected:
    """Read and decode one file as training would, and strictly beside that."""
    try:
        data = read_file(path)
    except OSError as error:
        return Inspected((Finding("unreadable", path, error.strerror or str(error), fatal=True),))
    if not data:
        return Inspected((Finding("empty", path, "0 bytes", fatal=True),))
    digest = hashlib.sha256(data).hexdigest()
    try:
        height, width = decode(path, lambda _: np.frombuffer(data, np.uint8)).shape[:2]
    except PictureError as error:
        cut = data.startswith(JPEG_START) and JPEG_END not in data[-64:]
        reason = f"{len(data)} bytes without an end-of-image marker" if cut else str(error).partition(f"{path} ")[2]
        return Inspected((Finding("truncated" if cut else "broken", path, reason, fatal=True),), digest=digest)
    findings = _damage(path, data)
    if min(height, width) < SMALLEST_SIDE:
        findings.append(Finding("mis-sized", path, f"{width} x {height} pixels, below {SMALLEST_SIDE}"))
    return Inspected(tuple(findings), (width, height), digest)


def inspect_all(
    pictures: Sequence[Picture], threads: int, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Inspect the distinct files of pictures, then compare them with each other; findings in the pictures' order."""
    paths = list(dict.fromkeys(picture.path for picture in pictures))
    found: dict[str, Inspected] = {}
    with ThreadPoolExecutor(threads) as pool:
        for done, (path, result) in enumerate(zip(paths, pool.map(inspect, paths), strict=True), 1):
            found[path] = result
            if progress is not None:
                progress(done, len(paths))
    single = [finding for path in paths for finding in found[path].findings]
    return [*single, *_odd_sizes(found), *_duplicates(pictures, found)]


def _damage(path: str, data: bytes) -> list[Finding]:
    """What decoders read over: bad codes in the middle of a JPEG, wrong check sums of a PNG, missing rows of a BMP.

    Codes of a JPEG that were changed into other valid ones of the same length in all leave no trace.
    """
    if data.startswith(JPEG_START):
        try:
            simplejpeg.decode_jpeg(data, strict=True)
        except ValueError as error:
            return [Finding("damaged", path, str(error))]
        return []
    if not data.startswith(_STARTS):
        return [Finding("foreign", path, "neither JPEG, PNG nor BMP: not every backend decodes it")]
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        kind: Kind = "truncated" if "truncated" in str(error).lower() else "damaged"
        return [Finding(kind, path, str(error))]
    return []


def _odd_sizes(found: dict[str, Inspected]) -> list[Finding]:
    """Files of another size than nearly all: sets of one size have one for a reason."""
    sizes = Counter(result.size for result in found.values() if result.size is not None)
    if not sizes:
        return []
    usual, count = sizes.most_common(1)[0]
    if count < 0.9 * sizes.total() or count == sizes.total():
        return []
    return [
        Finding("mis-sized", path, f"{result.size[0]} x {result.size[1]} pixels, others {usual[0]} x {usual[1]}")
        for path, result in found.items()
        if result.size not in (None, usual)
    ]


def _duplicates(pictures: Sequence[Picture], found: dict[str, Inspected]) -> list[Finding]:
    """Files with the bytes of an earlier one; worst where they are said to show different persons."""
    first: dict[str, Picture] = {}
    findings = []
    seen: set[str] = set()
    for picture in pictures:
        digest = found[picture.path].digest
        if digest is None or picture.path in seen:
            continue
        seen.add(picture.path)
        other = first.setdefault(digest, picture)
        if other is not picture:
            whose = "the same person" if other.person == picture.person else f"person {other.person}"
            detail = f"the bytes of {os.fspath(other.path)}, a picture of {whose}"
            findings.append(Finding("duplicate", picture.path, detail))
    return findings
