"""One function on many workers: Ray's TorchTrainer with bounded retries, a checked start and readable failures."""

import contextlib
import functools
import logging
import os
import signal
import socket
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray.train
import torch
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import LoggingConfig

from cluster.checkpoints import repair_index
from cluster.config import CheckpointSettings, RunSettings
from cluster.connection import environment, place, worker_threads
from cluster.errors import ClusterError, StorageNotShared, TrainingFailed, WorkerError, first_line
from cluster.folder import RunFolder
from cluster.progress import MetricsFile, Record, following, metrics_file

START_ATTEMPTS = 3
STORAGE_MARK = ".driver"
"""File of the run folder whose content tells a worker that it sees the driver's folder and not one of its own."""
ERRORS_IN_CODE = (
    ClusterError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError, NameError,
    ImportError, SyntaxError, NotImplementedError, torch.OutOfMemoryError,
)  # fmt: skip
"""Exceptions that other workers would raise again. A lost peer shows as RuntimeError, OSError or a dead actor."""

TrainLoop = Callable[[dict[str, Any]], Any]

logger = logging.getLogger(__name__)


def fit(
    train_loop_per_worker: TrainLoop,
    train_loop_config: dict[str, Any],
    *,
    run: RunSettings,
    checkpoint: CheckpointSettings,
    folder: RunFolder,
    on_report: Callable[[Record], None] | None = None,
    callbacks: Sequence[ray.train.UserCallback] = (),
) -> Result:
    """Run a function on every worker of the connected cluster until it returns on all of them.

    Lost workers are replaced `run.max_failures` times; the function then finds the newest checkpoint itself. Every
    report of rank 0 is appended to metrics.jsonl in the run folder.

    Args:
        train_loop_per_worker: importable function of one argument.
        train_loop_config: its argument, the same on every worker.
        run: number of workers and what they get.
        checkpoint: how many checkpoints are kept.
        folder: the run's folder, claimed.
        on_report: called in a thread of this process with every report of rank 0.
        callbacks: further callbacks of Ray Train, run in its controller.

    Raises:
        NotEnoughResources: where the workers do not fit into the cluster.
        TrainingFailed: where they failed for good.
        KeyboardInterrupt: on SIGINT or SIGTERM, after the workers have been stopped.
    """
    placement = place(run)
    mark = uuid.uuid4().hex
    folder.write_bytes(STORAGE_MARK, mark.encode())
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(_train_environment(run)))
        metrics = stack.enter_context(metrics_file(folder))
        if on_report is not None:
            stack.enter_context(following(metrics, on_report))
        for attempt in range(1, START_ATTEMPTS + 1):
            repair_index(folder)
            trainer = _Trainer(
                functools.partial(
                    _run_on_worker, train_loop_per_worker, folder, mark, os.environ.get("OMP_NUM_THREADS")
                ),
                train_loop_config=train_loop_config,
                torch_config=TorchConfig(backend=placement.backend, timeout_s=run.collective_timeout),
                scaling_config=ScalingConfig(
                    num_workers=run.workers, use_gpu=placement.gpus > 0, resources_per_worker=placement.resources
                ),
                run_config=RunConfig(
                    name=folder.name,
                    storage_path=folder.storage,
                    # A start that fails ends this attempt; Ray's own limit would repeat only some kinds of it.
                    failure_config=FailureConfig(max_failures=run.max_failures, controller_failure_limit=0),
                    checkpoint_config=CheckpointConfig(num_to_keep=checkpoint.keep),
                    callbacks=[MetricsFile(metrics), NoRetryOfErrorsInCode(), *callbacks],
                    # Ray Train's own lines go to the session's log files; failures reach the caller as exceptions.
                    logging_config=LoggingConfig(log_level="CRITICAL"),
                ),
            )
            try:
                with trainer.stopping_on_signals():
                    return trainer.fit()
            except (TrainingFailedError, RayError) as error:
                if trainer.stopped:
                    raise KeyboardInterrupt from None
                if attempt == START_ATTEMPTS or not _is_start_up_failure(error):
                    raise TrainingFailed(explain(error)) from None
                logger.warning("the workers did not start (attempt %d of %d): %s", attempt, START_ATTEMPTS, error)
    raise AssertionError("every attempt returns or raises")


class NoRetryOfErrorsInCode(ray.train.UserCallback):
    """Ends the training where new workers would fail the same way."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise the first failure that is an error in the code; Ray Train does not retry what a callback raises."""
        for error in worker_exceptions.values():
            if isinstance(error, WorkerError) and not error.retry:
                raise error


def explain(error: Exception) -> str:
    """Return a failure of Ray Train as text for people, with a worker's traceback once."""
    failures = list(getattr(error, "worker_failures", {}).items())
    if (cause := getattr(error, "controller_failure", None)) is not None:
        failures = [(cause.rank, cause)] if isinstance(cause, WorkerError) else []
    if not failures:
        return f"the training failed outside the workers: {cause or error}"
    # A worker that died without an exception is the cause; the exceptions of the others are about its absence.
    rank, first = min(failures, key=lambda failure: isinstance(failure[1], WorkerError))
    if isinstance(first, WorkerError):
        text = f"worker {rank} failed: {first.summary}\n\n{first.traceback}"
    else:
        text = f"worker {rank} was lost: {first}"
    others = [f"worker {other} failed too: {first_line(failure)}" for other, failure in failures if other != rank]
    return "\n".join([text.rstrip(), *others])


def check_storage(folder: RunFolder, mark: str) -> None:
    """Raise StorageNotShared where this node does not see the folder that the driver marked."""
    try:
        found = folder.read_bytes(STORAGE_MARK).decode()
    except OSError:
        found = ""
    if found != mark:
        raise StorageNotShared(
            f"node {socket.gethostname()} does not see the run folder {folder.location} of the node that started the "
            "run: set run.storage to a path that is mounted on every node, or to a URI such as s3://bucket/runs"
        )


class _Trainer(TorchTrainer):
    """TorchTrainer that remembers that a signal stopped it, and takes SIGTERM like SIGINT."""

    stopped = False

    @contextlib.contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Put the signal handlers back that `fit` replaces."""
        try:
            before = {number: signal.signal(number, signal.default_int_handler) for number in _STOP_SIGNALS}
        except ValueError:  # only the main thread has signal handlers; Ray Tune runs trials in others
            yield
            return
        try:
            yield
        except SystemExit:  # how Ray Train's handler leaves when the controller is gone
            raise KeyboardInterrupt from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _register_sigint_handler(self, controller: Any) -> None:
        super()._register_sigint_handler(controller)
        abort = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: Any) -> None:
            self.stopped = True
            if callable(abort):
                abort(number, frame)

        for number in _STOP_SIGNALS:
            signal.signal(number, stop)


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _train_environment(run: RunSettings) -> dict[str, str]:
    return {
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(run.start_timeout),
        # The controller takes one report per poll; at Ray's two seconds frequent reports would pile up.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
        # Relative paths mean on a worker what they mean on the node it runs on.
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }


def _run_on_worker(loop: TrainLoop, folder: RunFolder, mark: str, threads: str | None, config: dict[str, Any]) -> Any:
    context = ray.train.get_context()
    try:
        torch.set_num_threads(int(threads) if threads else worker_threads(context.get_local_world_size()))
        check_storage(folder, mark)
        return loop(config)
    except Exception as error:
        trace = error.__traceback__
        text = "".join(traceback.format_exception(type(error), error, trace and trace.tb_next))
        summary = "".join(traceback.format_exception_only(error)).strip()
        raise WorkerError(
            context.get_world_rank(), summary, text, retry=not isinstance(error, ERRORS_IN_CODE)
        ) from None


def _is_start_up_failure(error: Exception) -> bool:
    # Too few workers in time, or no process group among them; Ray Train does not repeat the latter.
    cause = getattr(error, "controller_failure", None)
    return cause is not None and not isinstance(cause, ClusterError)
