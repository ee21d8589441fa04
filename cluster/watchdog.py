"""A worker that makes no progress writes down where every thread of it stands, and ends so that it can be replaced."""

import contextlib
import faulthandler
import logging
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import ray.train

from cluster.board import Board
from cluster.folder import RunFolder

FOLDER = "hangs"
HANG, WORLD = "hang/", "world"
"""Names on the board: where each hanging worker stands; how many workers there are."""
STDERR = 2
EXIT_STATUS = 70
WAIT_FOR_OTHERS = 5.0
"""Seconds that a worker waits for the stacks of the others before it ends."""

logger = logging.getLogger(__name__)


class Watchdog:
    """Counts the seconds since the last iteration; `look` has to be called often, in a thread of its own.

    The stacks go to `hangs/` in the run folder, and to the worker's stderr by a thread of the interpreter's C code:
    there they are also where a thread holds the interpreter's lock for ever.

    Args:
        timeout: seconds without an iteration after which a worker counts as hanging; 0 never.
        rank, world: this worker and how many there are.
        board: where workers tell each other and the controller where they stand.
    """

    def __init__(self, timeout: float, rank: int, world: int, board: Board) -> None:
        self._timeout, self._rank, self._world, self._board = timeout, rank, world, board
        self._iteration = 0
        self._expires: float | None = None
        self._armed_until: float | None = None
        self._training = threading.get_ident()

    def beat(self, iteration: int) -> None:
        """Note that an iteration is done and start counting anew; costs nothing."""
        self._iteration = iteration
        self._expires = time.monotonic() + self._timeout if self._timeout else None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside, such as in an evaluation or a checkpoint."""
        self._expires = None
        try:
            yield
        finally:
            self.beat(self._iteration)

    def look(self) -> None:
        """End the process where the time is over, after its stacks have been kept."""
        expires = self._expires
        self._arm(expires)
        if expires is None or time.monotonic() < expires:
            return
        self._keep_stacks()
        self._wait_for_others()
        os._exit(EXIT_STATUS)

    def close(self) -> None:
        """Stop counting."""
        self._expires = None
        self._arm(None)

    def _arm(self, expires: float | None) -> None:
        """Have the interpreter's own thread write the stacks then, should this one not come to do it."""
        if expires == self._armed_until:
            return
        self._armed_until = expires
        if expires is None:
            faulthandler.cancel_dump_traceback_later()
        else:
            faulthandler.dump_traceback_later(max(0.01, expires - time.monotonic()), file=STDERR)

    def _keep_stacks(self) -> None:
        storage = ray.train.get_context().get_storage()
        folder = RunFolder.on(storage.storage_filesystem, storage.experiment_fs_path)
        name = f"{FOLDER}/{self._iteration:09d}-rank{self._rank}.txt"
        frame = sys._current_frames().get(self._training)
        where = "no function" if frame is None else _place(frame)
        text = f"rank {self._rank}: no iteration in {self._timeout:g} s after iteration {self._iteration}, in {where}"
        logger.error("%s; stacks in %s", text, folder.path(name))
        try:
            self._board.post(f"{HANG}{self._rank}", where)
            with tempfile.TemporaryFile() as stacks:
                faulthandler.dump_traceback(stacks, all_threads=True)
                stacks.seek(0)
                folder.write_bytes(name, f"{text}\n\n".encode() + stacks.read())
        except Exception as error:  # what matters most is that the process ends
            logger.error("could not keep the stacks: %s", error)

    def _wait_for_others(self) -> None:
        deadline = time.monotonic() + WAIT_FOR_OTHERS
        with contextlib.suppress(Exception):
            while time.monotonic() < deadline and len(self._board.names(HANG)) < self._world:
                time.sleep(0.2)


def _place(frame: FrameType) -> str:
    innermost = traceback.extract_stack(frame)[-1]
    return f"{innermost.name} ({Path(innermost.filename).name}:{innermost.lineno})"


def take_hang(board: Board) -> str | None:
    """Return where the workers stood in a hang as one line and forget it, or None where nothing hung."""
    places = {int(name.removeprefix(HANG)): board.take(name) for name in board.names(HANG)}
    if not places:
        return None
    stood = "; ".join(f"worker {rank} in {where}" for rank, where in sorted(places.items()))
    silent = [str(rank) for rank in range(board.read(WORLD) or 0) if rank not in places]
    if silent:
        stood += f"; worker {', '.join(silent)} did not answer"
    return f"no iteration was finished in time: {stood}; stacks are in {FOLDER}/ of the run folder"
