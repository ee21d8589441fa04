"""Where a data set lies: a local folder, or one that pyarrow or fsspec opens, such as `s3://bucket/set`.

A remote folder may carry options as pyarrow writes them, `s3://bucket/set?region=eu-west-1`; paths of files below it
carry them too, so that a path is all that is needed to read a file, in any process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a folder: how long it is and when it was last changed, in nanoseconds."""

    size: int
    changed: int


def is_remote(path: str) -> bool:
    """Whether a path is a URI such as `s3://bucket/key` and not a local path."""
    return "://" in path


def tidy(folder: str) -> str:
    """Return the path of a folder without the slashes that change nothing."""
    if not is_remote(folder):
        return os.path.normpath(folder)
    place, question, options = folder.partition("?")
    return place.rstrip("/") + question + options


def join(folder: str, name: str) -> str:
    """Return the path of a file below a folder, a remote folder's options kept."""
    if not is_remote(folder):
        return os.path.join(folder, *name.split("/"))
    place, question, options = folder.partition("?")
    return f"{place.rstrip('/')}/{name}{question}{options}"


def file_name(path: str) -> str:
    """Return the last part of the path of a file."""
    return (path.partition("?")[0] if is_remote(path) else path).rpartition("/")[2]


def is_folder(folder: str) -> bool:
    """Whether there is such a folder; OSError where its storage cannot be reached."""
    if not is_remote(folder):
        return os.path.isdir(folder)
    from pyarrow.fs import FileType

    filesystem, path = _open(folder)
    return filesystem.get_file_info(path).type == FileType.Directory


def exists(path: str) -> bool:
    """Whether there is a file; OSError where its storage cannot be reached."""
    if not is_remote(path):
        return os.path.isfile(path)
    from pyarrow.fs import FileType

    filesystem, place = _open(path)
    return filesystem.get_file_info(place).type == FileType.File


def list_files(folder: str, name: str = "") -> dict[str, Entry]:
    """Return the files at any depth below `name` of a folder, sorted, by their path relative to the folder.

    Paths have forward slashes. Empty where there is no such folder; OSError where its storage cannot be reached.
    """
    found = _list_remote(folder, name) if is_remote(folder) else _list_local(folder, name)
    return dict(sorted(found.items()))


def read_file(path: str) -> bytes:
    """Return the bytes of a file; OSError where it cannot be read."""
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read()
    filesystem, place = _open(path)
    with filesystem.open_input_stream(place) as stream:
        return stream.read()


def entry_of(path: str) -> Entry | None:
    """Return size and time of change of a local file, or None where there is none."""
    try:
        return _entry(os.stat(path))
    except OSError:
        return None


def _entry(stat: os.stat_result) -> Entry:
    # The time of change of the inode too: copying tools set the other one back.
    return Entry(stat.st_size, max(stat.st_mtime_ns, stat.st_ctime_ns))


def _list_local(folder: str, name: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    try:
        with os.scandir(join(folder, name) if name else folder) as entries:
            for entry in entries:
                path = f"{name}/{entry.name}" if name else entry.name
                if entry.is_dir():
                    found |= _list_local(folder, path)
                elif entry.is_file():
                    found[path] = _entry(entry.stat())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def _list_remote(folder: str, name: str) -> dict[str, Entry]:
    from pyarrow.fs import FileSelector, FileType

    filesystem, root = _open(folder)
    place = f"{root}/{name}" if name else root
    found = filesystem.get_file_info(FileSelector(place, recursive=True, allow_not_found=True))
    return {
        info.path[len(root) + 1 :]: Entry(info.size or 0, info.mtime_ns or 0)
        for info in found
        if info.type == FileType.File
    }


def _open(uri: str) -> tuple[FileSystem, str]:
    """Return the file system of a URI and the path on it."""
    place, question, options = uri.partition("?")
    scheme, _, rest = place.partition("://")
    bucket, _, key = rest.partition("/")
    filesystem, root = _file_system(f"{scheme}://{bucket}{question}{options}")
    return filesystem, f"{root.rstrip('/')}/{key}".rstrip("/")


# Opening a client costs many times what reading a picture does.
@lru_cache(maxsize=16)
def _file_system(uri: str) -> tuple[FileSystem, str]:
    import pyarrow
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(uri)
    except pyarrow.ArrowInvalid as unknown:
        import fsspec

        try:
            filesystem, root = fsspec.core.url_to_fs(uri)
        except (ValueError, ImportError) as error:
            raise OSError(f"neither pyarrow ({unknown}) nor fsspec ({error}) opens {uri}") from error
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), root
