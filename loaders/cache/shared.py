"""Folders that the processes of a node build once and share."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loaders.dataset import DatasetError


class SharedFolder:
    """A folder that the first process to come builds, while the others wait, and the last to leave removes.

    Half a folder is never seen: it is built beside its place and moved there whole, and what a killed process left is
    thrown away. A process holds its lock until it ends, however it ends.
    """

    def __init__(self, parent: Path, name: str, build: Callable[[Path], None], keep: bool) -> None:
        """`build` fills an empty folder. With `keep` the folder stays for later runs, and so do others in `parent`.

        Raises DatasetError where `parent` cannot be made or is another user's; what `build` raises passes through.
        """
        self.path = parent / name
        self._keep = keep
        self._use: int | None = None
        _own(parent)
        with _locked(parent / f"{name}.lock"):
            _remove_partial(self.path)
            if not keep:
                _remove_unused(parent, self.path)
            if not self.path.is_dir():
                partial = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".partial", dir=parent))
                try:
                    build(partial)
                    partial.rename(self.path)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
            # Taken before the lock is let go, so that nobody finds the folder unused in between.
            self._use = _open(parent / f"{name}.use")
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def close(self) -> None:
        """Leave the folder; what is mapped of it stays valid."""
        if self._use is None:
            return
        with _locked(self.path.with_name(f"{self.path.name}.lock")):
            os.close(self._use)
            self._use = None
            if not self._keep:
                _remove_if_unused(self.path)


def _own(folder: Path) -> None:
    """Make a folder for this user alone: others could put pictures there, where everybody may write."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"cannot make the cache folder {folder} ({error.strerror}): name another") from error
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH:
        raise DatasetError(f"the cache folder {folder} is not this user's alone: remove it")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        handle = _open(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, path):
                yield
                return
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open lock is still the one at its path: the last to leave removes it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_unused(parent: Path, but: Path) -> None:
    """Remove the folders that processes which were killed left behind."""
    for lock in parent.glob("*.lock"):
        folder = lock.with_suffix("")
        if folder == but:
            continue
        handle = _open(lock)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, lock):
                _remove_partial(folder)
                _remove_if_unused(folder)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


def _remove_partial(folder: Path) -> None:
    """Remove what was begun and not finished; the folder's lock is held, so nobody is at it."""
    for partial in folder.parent.glob(f"{folder.name}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def _remove_if_unused(folder: Path) -> None:
    """Remove a folder that no process holds, and its locks; its lock is held, so nobody can come meanwhile."""
    use, lock = (folder.with_name(f"{folder.name}{suffix}") for suffix in (".use", ".lock"))
    handle = _open(use)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(handle)
    gone = folder.with_name(f"{folder.name}.gone.partial")
    with suppress(FileNotFoundError):
        # Moved away first, so that half of it is never taken for whole.
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    use.unlink()
    lock.unlink()
