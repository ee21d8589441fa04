"""One command at a time trains in a run folder."""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import IO

from cluster.errors import RunInUse
from cluster.folder import RunFolder

LOCK = ".lock"
WAIT_SECONDS = 120.0
"""How long another machine's lock is waited for: NFS frees those of a lost machine after some 90 s."""
ENDING_SECONDS = 5.0
"""How long a process of this machine may take to end that was killed or stopped a moment ago."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Keep other commands out of a run folder; a process that is killed keeps nobody out.

    Object stores have no locks, nor have some file systems; there it is up to the users.

    Raises:
        RunInUse: where another command trains in the folder.
    """
    if folder.local_path is None:
        yield
        return
    # Opened for writing, which NFS asks of who wants a folder for himself.
    with (folder.local_path / LOCK).open("a+", encoding="utf-8") as file:
        _wait_for(file, folder)
        file.truncate(0)
        file.write(f"{socket.gethostname()} process {os.getpid()}")
        file.flush()
        yield


def _wait_for(file: IO[str], folder: RunFolder) -> None:
    began, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read()
        except OSError as error:
            logger.info("%s has no locks: %s", folder.location, error)
            return
        else:
            return
        patience = ENDING_SECONDS if holder.startswith(f"{socket.gethostname()} ") else WAIT_SECONDS
        if time.monotonic() - began >= patience:
            raise RunInUse(
                f"{folder.location} is trained by another command, {holder}: wait for it, stop it, or give this run "
                f"another name. Where that command is gone for sure, delete {folder.path(LOCK)}"
            )
        if not told:
            logger.warning("%s is trained by %s; waiting up to %g s for it to end", folder.location, holder, patience)
            told = True
        time.sleep(0.5)
