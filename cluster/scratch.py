"""A folder of this process on the local disk, and an end to those of processes that were killed."""

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "checkpoints-"
LOCK = "lock"


@functools.cache
def scratch_folder() -> Path:
    """Return this process's folder for states on their way to the storage, in TMPDIR.

    A process that is killed leaves its folder behind, gigabytes large perhaps, so what such processes left is deleted
    first. A lock says whether a process lives; unlike its number it holds across containers that share a disk.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it may be another user's, or another process may be just as tidy
            lock = os.open(left / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: nobody takes this folder for one that is left
            fcntl.flock(lock, fcntl.LOCK_EX)  # held until the process ends
        if (folder / LOCK).exists():  # else another process was tidy in between, and the folder is gone
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
        os.close(lock)
