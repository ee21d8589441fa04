"""Which failures new workers could get past, and all of them as text for people."""

from typing import Any

import ray.train
import torch

from cluster.errors import ClusterError, WorkerError, first_line
from cluster.patience import is_final, is_full

ERRORS_IN_CODE = (
    ClusterError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError, NameError,
    ImportError, SyntaxError, NotImplementedError, torch.OutOfMemoryError,
)  # fmt: skip
"""Exceptions that other workers would raise again. A lost peer shows as RuntimeError, OSError or a dead actor."""


class NoRetryOfErrorsInCode(ray.train.UserCallback):
    """Ends the training where new workers would fail the same way."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise the first failure that is an error in the code; Ray Train does not retry what a callback raises."""
        for error in worker_exceptions.values():
            if isinstance(error, ClusterError) and not (isinstance(error, WorkerError) and error.retry):
                raise error


def may_pass(error: Exception) -> bool:
    """Return whether new workers could get past an exception: a lost peer can be replaced, storage can come back."""
    if isinstance(error, OSError) and is_full(error):
        return False
    for storage in (error, error.__cause__):
        if isinstance(storage, OSError) and not is_final(storage):
            return True
    return not isinstance(error, ERRORS_IN_CODE)


def explain(error: Exception) -> str:
    """Return a failure of Ray Train as text for people, with a worker's traceback once."""
    failures = list(getattr(error, "worker_failures", {}).items())
    if (cause := getattr(error, "controller_failure", None)) is not None:
        failures = [(cause.rank, cause)] if isinstance(cause, WorkerError) else []
    if not failures:
        if isinstance(cause, ClusterError):
            return str(cause)
        return f"the training failed outside the workers: {cause or error}"
    # A worker that died without an exception is the cause; the exceptions of the others are about its absence.
    rank, first = min(failures, key=lambda failure: isinstance(failure[1], WorkerError))
    if isinstance(first, WorkerError):
        text = f"worker {rank} failed: {first.summary}\n\n{first.traceback}"
    else:
        text = f"worker {rank} was lost: {first}"
    others = [f"worker {other} failed too: {first_line(failure)}" for other, failure in failures if other != rank]
    return "\n".join([text.rstrip(), *others])


def is_start_up_failure(error: Exception) -> bool:
    """Return whether too few workers came in time, or no process group among them, which Ray Train does not repeat."""
    cause = getattr(error, "controller_failure", None)
    return cause is not None and not isinstance(cause, ClusterError)
