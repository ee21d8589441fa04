"""What can go wrong with a run. Each message is for people: which thing, what was found, what to do."""

import signal


class ClusterError(RuntimeError):
    """Anything that ends a run with a message instead of a traceback."""


class NotEnoughResources(ClusterError):
    """The cluster is smaller than what a run asks for."""


class RunExists(ClusterError):
    """A new run would be mixed with another one in the same folder."""


class RunInUse(ClusterError):
    """Another command trains in the folder."""


class StorageUnreachable(ClusterError, OSError):
    """A run folder that cannot be reached or made from this machine."""


class StorageNotShared(ClusterError):
    """A node does not see the run folder."""


class DamagedCheckpoint(ClusterError):
    """A checkpoint that is incomplete or differs from what was written."""


class StorageFull(ClusterError):
    """The storage takes no more; the last whole checkpoint is intact."""


class TrainingFailed(ClusterError):
    """The workers failed; the message holds the worker's traceback once."""


class WorkerError(ClusterError):
    """An exception of the training function, as plain text so that it reaches the driver whatever its type.

    Args:
        rank: the worker that raised it.
        summary: type and message in one line.
        traceback: its traceback as text.
        retry: whether new workers could get past it; a lost peer can be replaced, an error in the code cannot.
    """

    def __init__(self, rank: int, summary: str, traceback: str, retry: bool) -> None:
        super().__init__(rank, summary, traceback, retry)
        self.rank, self.summary, self.traceback, self.retry = rank, summary, traceback, retry

    def __str__(self) -> str:
        return self.summary


class StopAsked(Exception):
    """A worker left because the run was asked to stop, its checkpoint made. Not an error: nothing is tried again."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the run.

    Args:
        number: the signal.
        iteration: that of the checkpoint made on the way out, or None where only earlier ones are there.
    """

    def __init__(self, number: int, iteration: int | None) -> None:
        super().__init__(number, iteration)
        self.number, self.iteration = number, iteration

    @property
    def status(self) -> int:
        """Exit status of a command that ends by this signal, as shells give it."""
        return 128 + self.number

    def __str__(self) -> str:
        """Return what happened in a line."""
        kept = "" if self.iteration is None else f", with a checkpoint of iteration {self.iteration}"
        return f"stopped by {signal.Signals(self.number).name}{kept}"


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
