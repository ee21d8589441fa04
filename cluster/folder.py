"""A run's folder, on a local path, a shared mount or an object store."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pyarrow import ArrowInvalid, fs

from cluster.config import RunSettings
from cluster.errors import ClusterError, RunExists, StorageUnreachable

CHUNK = 8 * 1024 * 1024
"""Bytes read at a time where a whole file need not be in memory."""


class RunFolder:
    """The folder of one run; names of files are relative to it, with forward slashes.

    Args:
        location: local path, absolute or relative to the working directory, or a URI that pyarrow knows,
            such as s3://bucket/runs/name?region=eu-west-1.

    Raises:
        StorageUnreachable: where a URI is of no known kind, or its storage does not answer.
    """

    def __init__(self, location: str) -> None:
        self.location = location if "://" in location else os.path.abspath(os.path.expanduser(location))
        with reaching(self.location):
            self._filesystem, self._path = fs.FileSystem.from_uri(self.location)

    @classmethod
    def on(cls, filesystem: fs.FileSystem, path: str) -> "RunFolder":
        """Return the folder at a path of a file system that is already open."""
        folder = cls.__new__(cls)
        folder.location, folder._filesystem, folder._path = path, filesystem, path
        return folder

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFolder, (self.location,)

    def __repr__(self) -> str:
        return f"RunFolder({self.location!r})"

    @property
    def filesystem(self) -> fs.FileSystem:
        """The pyarrow file system that holds the folder."""
        return self._filesystem

    @property
    def name(self) -> str:
        """Last part of the location: the run's name, Ray's `RunConfig(name)`."""
        return PurePosixPath(self._path).name

    @property
    def storage(self) -> str:
        """Location without the name: Ray's `RunConfig(storage_path)`."""
        place, question, options = self.location.partition("?")
        return place.rstrip("/").rpartition("/")[0] + question + options

    @property
    def local_path(self) -> Path | None:
        """The folder as a local path, or None for an object store."""
        return Path(self._path) if isinstance(self._filesystem, fs.LocalFileSystem) else None

    def path(self, name: str = "") -> str:
        """Return the path of a file on `filesystem`."""
        return str(PurePosixPath(self._path, name))

    def claim(self, if_exists: Literal["refuse", "resume"]) -> bool:
        """Create the folder; return whether it holds a run that is to be resumed.

        Raises:
            RunExists: where it holds a run and `if_exists` is "refuse".
            StorageUnreachable: where it cannot be made.
        """
        with reaching(self.location):
            held = bool(self.list())
        if held and if_exists == "refuse":
            raise RunExists(
                f"{self.location} holds a run already: resume it (if_exists=resume), or give the new run another name"
            )
        with reaching(self.location, "; set run.storage to a path or a URI that this machine can write"):
            self._filesystem.create_dir(self._path)
        return held

    def exists(self, name: str = "") -> bool:
        """Return whether a file or folder exists."""
        return self._filesystem.get_file_info(self.path(name)).type != fs.FileType.NotFound

    def list(self, name: str = "") -> list[str]:
        """Return the sorted names of what is directly in a folder; nothing where it does not exist."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    def read_bytes(self, name: str) -> bytes:
        """Return a file's content; raises FileNotFoundError."""
        with self._filesystem.open_input_stream(self.path(name), compression=None) as stream:
            return stream.read()

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file so that readers and crashes see the old content or the new, never a part of it."""
        if self.local_path is not None:
            _replace(self.local_path / name, content)
            return
        self._create_parent(name)
        with self._filesystem.open_output_stream(self.path(name), compression=None) as stream:
            stream.write(content)

    def write_json(self, name: str, content: object) -> None:
        """Write a value as indented JSON."""
        self.write_bytes(name, (json.dumps(content, indent=2) + "\n").encode())

    def upload(self, source: Path, name: str) -> None:
        """Copy a local file into the folder; not atomic, for files that something written later vouches for."""
        self._create_parent(name)
        fs.copy_files(
            str(source),
            self.path(name),
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=self._filesystem,
            chunk_size=CHUNK,
        )

    def copy(self, name: str, to: str) -> None:
        """Copy a file of the folder inside the storage; not atomic, as `upload`."""
        self._create_parent(to)
        self._filesystem.copy_file(self.path(name), self.path(to))

    def digest(self, name: str) -> tuple[str, int]:
        """Return the sha256 of a file as hexadecimal digits and its size in bytes."""
        digest, size = hashlib.sha256(), 0
        with self._filesystem.open_input_stream(self.path(name), compression=None) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    def delete(self, name: str) -> None:
        """Delete a file or a folder with all in it; nothing happens where it does not exist."""
        info = self._filesystem.get_file_info(self.path(name))
        if info.type == fs.FileType.Directory:
            self._filesystem.delete_dir(info.path)
        elif info.type != fs.FileType.NotFound:
            self._filesystem.delete_file(info.path)

    def _create_parent(self, name: str) -> None:
        self._filesystem.create_dir(str(PurePosixPath(self.path(name)).parent))


@contextlib.contextmanager
def reaching(location: str, remedy: str = "") -> Iterator[None]:
    """Turn what storage answers to a first use of a folder into StorageUnreachable, which names the folder."""
    try:
        yield
    except ClusterError:
        raise
    except (OSError, ArrowInvalid) as error:
        raise StorageUnreachable(f"{location} cannot be reached: {error}{remedy}") from None


def run_folder(run: RunSettings, default_name: str) -> RunFolder:
    """Return the folder that a run's settings name, or `default_name` with date and time where they name none."""
    place, question, options = run.storage.partition("?")
    name = run.name or f"{default_name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return RunFolder(f"{place.rstrip('/') or '/'}/{name}{question}{options}")


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
