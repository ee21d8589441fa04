"""Which way picture files are kept, as the settings say and as memory allows."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from loaders import storage
from loaders.cache.files import DecodedPictures, Files, KeptFiles
from loaders.config import DataSettings
from loaders.dataset import DatasetError, Picture

VERSION = 1
"""Goes up whenever the same files would be kept otherwise."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_CONTROL_GROUP = Path("/sys/fs/cgroup")
# Of the memory that is free; the rest is for the training.
_SHARE = 0.5

_log = logging.getLogger(__name__)


def open_files(settings: DataSettings, pictures: Sequence[Picture]) -> Files:
    """Return what reads the pictures' files, to be closed when done.

    The processes of a node that ask for the same pictures share what is kept. A file that is changed, by its size or
    its time of change, is another file. With `data.cache=auto`, remote files are kept where they fit.
    Raises DatasetError where the settings ask for what does not fit.
    """
    chosen = settings.cache
    if chosen == "auto":
        chosen = "files" if any(storage.is_remote(picture.path) for picture in pictures) else "none"
    if chosen == "none" or not pictures:
        return Files()
    entries = sorted({_described(picture) for picture in pictures})
    height, width = settings.image_size
    size = sum(entry[1] for entry in entries) if chosen == "files" else 3 * height * width * len(entries)
    keep = settings.cache_folder is not None
    base = Path(settings.cache_folder).absolute() if settings.cache_folder is not None else SHARED_MEMORY
    parent = base / f"aligngan-pictures-{os.getuid()}"
    kind = chosen if chosen == "files" else f"decoded-{height}x{width}"
    name = f"{kind}-{_digest(kind, entries)}"
    if not (parent / name).is_dir() and (missing := _does_not_fit(parent, size, in_memory=not keep)):
        if settings.cache == "auto":
            _log.warning("files of %s are read anew each time: %s", settings.root, missing)
            return Files()
        raise DatasetError(
            f"data.cache={chosen}: {missing}. Set data.cache_folder to a folder on a local disk, or data.cache=none"
        )
    _log.info("%d pictures, %d MB, are kept in %s", len(entries), size // 10**6, parent / name)
    paths = [path for path, _, _ in entries]
    try:
        if chosen == "files":
            return KeptFiles(paths, parent, name, keep)
        return DecodedPictures(paths, settings.image_size, settings.threads, parent, name, keep)
    except OSError as error:
        raise DatasetError(f"data.cache={chosen}: cannot keep pictures in {parent} ({error})") from error


def available_memory() -> int:
    """Return how many bytes of memory can still be had, of the node's or of the container's where that is less."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit = (_CONTROL_GROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((_CONTROL_GROUP / "memory.current").read_text(encoding="ascii"))
            free = min(free, int(limit) - used)
    except OSError:
        pass
    return free


def _does_not_fit(parent: Path, size: int, in_memory: bool) -> str | None:
    """Say what is missing, or None where it fits."""
    there = parent
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if in_memory:
        if not SHARED_MEMORY.is_dir():
            return f"there is no {SHARED_MEMORY} here"
        free = min(free, int(_SHARE * available_memory()))
    if size <= free:
        return None
    return f"{size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB may be used of {there}"


def _described(picture: Picture) -> tuple[str, int, int]:
    """The file's path, size and time of change; asked of the disk where the reader of the set did not."""
    if picture.size or storage.is_remote(picture.path):
        return picture.path, picture.size, picture.changed
    entry = storage.entry_of(picture.path)
    return (picture.path, 0, 0) if entry is None else (picture.path, entry.size, entry.changed)


def _digest(kind: str, entries: list[tuple[str, int, int]]) -> str:
    digest = hashlib.sha256(f"{VERSION} {kind}".encode())
    for path, size, changed in entries:
        digest.update(f"\0{path}\0{size}\0{changed}".encode())
    return digest.hexdigest()[:24]
