"""What asks a training to stop or to move, turned into a checkpoint of all workers at the same iteration.

A worker learns of it in one of three ways: Ray announces that its node will be taken away, its own process gets
SIGTERM, or the driver or the controller posts a request for rank 0. The workers agree by one all-reduce of four
bytes an iteration, on the CPU, started after one iteration and read after the next, so that neither the host nor a
GPU waits for it.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, NoReturn, Self

import ray.train
import torch
import torch.distributed as dist
from ray.exceptions import RayActorError
from ray.train.collective import barrier
from ray.train.v2._internal.execution.context import get_train_context

from cluster.board import Board
from cluster.config import RunSettings
from cluster.errors import StopAsked
from cluster.watchdog import EXIT_STATUS, WORLD, Watchdog

REQUEST, PROGRESS, RECOVERY, LEFT = "request", "progress", "recovery", "left"
"""Names on the board: what rank 0 is asked; how far it is; what a recovery cost; the iteration it left with."""
STOP, RESIZE = "stop", "resize"
"""Requests: save and end; save and be started again with another number of workers."""
LOOK_SECONDS = 0.25
SECONDS_TO_LEAVE = 3.0
"""Kept in reserve before a node's deadline, on top of three iterations and three times a checkpoint's seconds."""

_terminated = threading.Event()
logger = logging.getLogger(__name__)


class Preempted(RayActorError):
    """A worker left on notice, its checkpoint made; Ray Train starts workers again without counting a failure.

    Ray Train takes for a preemption what is a RayActorError and says so.

    Args:
        kind: "preemption" or "resize".
        iteration: that of the checkpoint.
    """

    def __init__(self, kind: str, iteration: int) -> None:
        super().__init__(error_msg=f"left with a checkpoint of iteration {iteration}", preempted=True)
        self.kind = kind


@dataclass(frozen=True)
class Decision:
    """What every worker does after an iteration, the same on all."""

    saves: bool
    """Report a checkpoint now and wait until it is whole."""
    leaves: bool
    """Then call `Interruption.leave`."""
    noticed: bool
    """The group will have to leave some time: what is saved now should be whole before anything that takes long."""


class Interruption:
    """Watches for requests to stop or move while a worker trains; a context manager around the training loop.

    Every worker must enter it, and call `after` after every iteration.

    Args:
        run: its `hang_timeout` and `collective_timeout`.
        iteration: iterations done before, which a checkpoint gave back.
    """

    def __init__(self, run: RunSettings, iteration: int) -> None:
        context = ray.train.get_context()
        self._run, self._started = run, iteration
        self._rank, self._world = context.get_world_rank(), context.get_world_size()
        self._board = Board(context.get_storage().experiment_fs_path)
        self._watchdog = Watchdog(run.hang_timeout, self._rank, self._world, self._board)
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[torch.Tensor, dist.Work] | None = None
        self._iteration, self._first_at, self._since, self._slowest = iteration, 0.0, time.time(), 0.0
        self._requested: str | None = None
        self._saved = self._stops = self._resizes = False
        self._saving = 0.0
        self._closing = threading.Event()
        self._parent = os.getppid()
        self._thread = threading.Thread(target=self._look_repeatedly, name="interruption", daemon=True)

    def __enter__(self) -> Self:
        if self._world > 1:
            group = dist.new_group(backend="gloo", timeout=timedelta(seconds=self._run.collective_timeout))
            assert isinstance(group, dist.ProcessGroup)
            self._group = group
        self._watchdog.beat(self._started)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._watchdog.close()
        if kind is None and self._pending is not None:
            self._pending[1].wait()

    def after(self, iteration: int) -> Decision:
        """Return what to do after an iteration; every worker must call it with the same one."""
        now = time.time()
        if iteration > self._started + 1:  # the first one also starts loaders and compiles
            self._slowest = max(self._slowest, now - self._since)
        self._first_at = self._first_at or now
        self._iteration, self._since = iteration, now
        self._watchdog.beat(iteration)
        noticed, leaves, self._stops, self._resizes = self._agree()
        saves = leaves or (noticed and not self._saved)
        self._saved = self._saved or saves
        return Decision(saves, leaves, noticed)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Count nothing inside towards an iteration, such as an evaluation; a hang is only found after a `beat`."""
        with self._watchdog.paused():
            yield
        self._since = time.time()

    def beat(self) -> None:
        """Note that work goes on inside `aside`; without another beat for `hang_timeout` it counts as hanging."""
        self._watchdog.beat(self._iteration)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Time a checkpoint, so that the last one before a deadline begins early enough."""
        began = time.monotonic()
        with self.aside():
            yield
        self._saving = max(self._saving, time.monotonic() - began)

    def leave(self) -> NoReturn:
        """End this worker's part; every worker must call it, after its checkpoint is whole."""
        barrier()
        if self._rank == 0:
            self._board.post(LEFT, {"iteration": self._iteration})
        if self._stops:
            raise StopAsked(self._iteration)
        raise Preempted("resize" if self._resizes else "preemption", self._iteration)

    def _agree(self) -> tuple[bool, bool, bool, bool]:
        deadline = self._deadline()
        reserve = SECONDS_TO_LEAVE + 3 * (self._slowest + self._saving)
        leaves = deadline is not None and time.time() >= deadline - reserve
        asked = (self._requested == STOP, self._requested == RESIZE)
        mine = torch.tensor([deadline is not None, leaves, *asked], dtype=torch.uint8)
        if self._group is not None:
            before = self._pending
            work = dist.all_reduce(mine, dist.ReduceOp.MAX, group=self._group, async_op=True)
            self._pending = (mine, work)
            if before is None:
                return False, False, False, False
            mine = before[0]
            before[1].wait()
        noticed, leaves, stops, resizes = (bool(flag) for flag in mine.tolist())
        return noticed, leaves, stops, resizes

    def _deadline(self) -> float | None:
        """Seconds since the epoch until when this worker's group has to leave, or None."""
        if self._requested is not None or _terminated.is_set():
            return 0.0
        # The public `ray.train.get_preemption_info` makes all workers wait for each other in an actor each time.
        info = get_train_context().preemption_context.preemption_info
        if info is None:
            return None
        return (info.deadline_ms or 0) / 1000

    def _look_repeatedly(self) -> None:
        posted = self._started
        before = self._on_board(PROGRESS) if self._rank == 0 else None
        if self._rank == 0:
            self._post(WORLD, self._world)
            if self._on_board(REQUEST) == RESIZE:  # that is what has just been done
                self._board.take(REQUEST)
        while True:
            closing = self._closing.wait(LOOK_SECONDS)
            if self._rank == 0 and self._iteration != posted:
                if posted == self._started and before is not None:
                    self._post(RECOVERY, self._recovery(before))
                posted = self._iteration
                self._post(PROGRESS, {"iteration": posted, "at": time.time()})
            if closing:
                return
            if self._rank == 0 and self._requested is None:
                self._requested = self._on_board(REQUEST)
            if os.getppid() != self._parent:  # Ray is gone from this node, and with it who would see the work
                os._exit(EXIT_STATUS)
            self._watchdog.look()

    def _recovery(self, before: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "recovery",
            "iteration": self._started,
            "lost_iterations": max(0, before["iteration"] - self._started),
            "recovery_seconds": round(self._first_at - before["at"], 1),
            "workers": self._world,
        }

    def _post(self, name: str, value: object) -> None:
        try:
            self._board.post(name, value)
        except Exception as error:  # the head may be busy or gone; training does not need it here
            logger.warning("could not post %s: %s", name, error)

    def _on_board(self, name: str) -> Any:
        try:
            return self._board.read(name)
        except Exception as error:
            logger.warning("could not read %s: %s", name, error)
            return None


def heed_sigterm() -> None:
    """Take SIGTERM to this worker process as a notice; to be called in the process's main thread."""
    _terminated.clear()
    signal.signal(signal.SIGTERM, lambda number, frame: _terminated.set())
