"""A signal to the driver ends the training: with a checkpoint of where it is, then at once."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy

from cluster.board import Board
from cluster.errors import Interrupted
from cluster.interruption import LEFT, REQUEST, STOP
from cluster.watchdog import WORLD

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_SECONDS = 0.05
LAST_REPORTS_SECONDS = 0.4
"""Time for the last reports to be written and shown: several polls of Ray Train's controller."""


class StoppableTrainer(TorchTrainer):
    """TorchTrainer whose first SIGINT or SIGTERM asks the workers for a checkpoint, and whose second aborts.

    Both raise `Interrupted` from `fit`.
    """

    _asked = False
    _ended_by = Interrupted(signal.SIGINT, None)
    scaling_policy: ElasticScalingPolicy | None = None
    """Takes the place of Ray Train's own policy where it is set before `fit`."""

    @contextlib.contextmanager
    def stopping_on_signals(self, board: Board, timeout: float) -> Iterator[None]:
        """Put the signal handlers back that `fit` replaces.

        Args:
            board: where the workers are asked.
            timeout: seconds that they may take.
        """
        self._board, self._timeout = board, timeout
        try:
            before = {number: signal.signal(number, self._interrupt) for number in SIGNALS}
        except ValueError:  # only the main thread has signal handlers; Ray Tune runs trials in others
            yield
            return
        try:
            yield
        except (KeyboardInterrupt, SystemExit):  # Ray turns what a handler raises into a plain KeyboardInterrupt
            raise self._ended_by from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _initialize_and_run_controller(self, **controller_init_kwargs: Any) -> Any:
        if self.scaling_policy is not None:
            controller_init_kwargs["scaling_policy"] = self.scaling_policy
        return super()._initialize_and_run_controller(**controller_init_kwargs)

    def _register_sigint_handler(self, controller: Any) -> None:
        super()._register_sigint_handler(controller)
        abort = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: Any) -> None:
            iteration = None
            if not self._asked:
                self._asked = True
                iteration = self._ask_for_checkpoint()
            if iteration is None and callable(abort):
                self._abort(abort, number)
            self._interrupt(number, frame, iteration)

        for number in SIGNALS:
            signal.signal(number, stop)

    def _ask_for_checkpoint(self) -> int | None:
        """Return the iteration of the workers' last checkpoint once it is whole, or None where it takes too long."""
        if self._board.read(WORLD) is None:  # nobody is there yet who could be asked
            return None
        # An earlier preemption's answer is not the answer to this.
        self._board.take(LEFT)
        self._board.post(REQUEST, STOP)
        deadline = time.monotonic() + self._timeout
        while (left := self._board.read(LEFT)) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(LOOK_SECONDS)
        time.sleep(LAST_REPORTS_SECONDS)
        return left["iteration"]

    @staticmethod
    def _abort(abort: Callable[[int, Any], Any], number: int) -> None:
        with contextlib.suppress(SystemExit):  # how Ray Train's handler leaves when the controller is gone
            abort(number, None)

    def _interrupt(self, number: int, frame: Any, iteration: int | None = None) -> NoReturn:
        self._ended_by = Interrupted(number, iteration)
        raise self._ended_by
