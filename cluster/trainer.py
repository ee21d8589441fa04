"""One function on many workers: Ray's TorchTrainer with bounded retries, a checked start and readable failures."""

import contextlib
import functools
import logging
import os
import signal
import socket
import traceback
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import ray.train
import torch
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.v2.api.config import LoggingConfig

from cluster.backend import ProcessGroupConfig
from cluster.board import Board
from cluster.checkpoints import repair_index
from cluster.config import CheckpointSettings, RunSettings
from cluster.connection import environment, has_room, place, worker_threads
from cluster.elastic import SavingElasticPolicy
from cluster.errors import Interrupted, StopAsked, StorageNotShared, TrainingFailed, WorkerError
from cluster.failures import NoRetryOfErrorsInCode, explain, is_start_up_failure, may_pass
from cluster.folder import RunFolder, reaching
from cluster.interruption import PROGRESS, Preempted
from cluster.metrics_run import publishing
from cluster.patience import READ_SECONDS, is_final, patiently
from cluster.progress import MetricsFile, Record, following, metrics_file, parse_lines
from cluster.stopping import StoppableTrainer

START_ATTEMPTS = 3
STORAGE_MARK = ".driver"
"""File of the run folder whose content tells a worker that it sees the driver's folder and not one of its own."""
STOPPED = "stopped"
"""What a worker returns that was asked to stop."""

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
    counts: Sequence[int] | None = None,
) -> Result:
    """Run a function on every worker of the connected cluster until it returns on all of them.

    Lost workers are replaced `run.max_failures` times, preempted ones without limit; the function then finds the
    newest checkpoint itself. Every report of rank 0 is appended to metrics.jsonl in the run folder.

    Args:
        train_loop_per_worker: importable function of one argument.
        train_loop_config: its argument, the same on every worker.
        run: number of workers and what they get.
        checkpoint: how many checkpoints are kept.
        folder: the run's folder, claimed.
        on_report: called in a thread of this process with every report of rank 0.
        callbacks: further callbacks of Ray Train, run in its controller.
        counts: numbers of workers that the function can train with, for an elastic run; all where left out.

    Raises:
        NotEnoughResources: where the workers do not fit into the cluster.
        TrainingFailed: where they failed for good.
        Interrupted: on SIGINT or SIGTERM, after a last checkpoint where there was time for one.
    """
    placement = place(run)
    if not has_room(run, placement):
        logger.warning(
            "there are not enough nodes for %d workers now; the autoscaler may take %d times %g s to bring them "
            "(run.start_timeout)",
            run.min_workers,
            START_ATTEMPTS,
            run.start_timeout,
        )
    scaling = ScalingConfig(
        num_workers=(run.min_workers, run.max_workers) if run.elastic else run.min_workers,
        use_gpu=placement.gpus > 0,
        resources_per_worker=placement.resources,
        elastic_resize_monitor_interval_s=run.grow_every,
    )
    mark = uuid.uuid4().hex
    with reaching(folder.location):
        patiently(lambda: folder.write_bytes(STORAGE_MARK, mark.encode()), READ_SECONDS, f"writing {folder.location}")
    board = Board(folder.path())
    board.clear()
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(_train_environment(run)))
        metrics = stack.enter_context(metrics_file(folder))
        publish = stack.enter_context(publishing(folder, parse_lines(metrics.read_bytes())))
        stack.enter_context(following(metrics, publish))
        if on_report is not None:
            stack.enter_context(following(metrics, on_report))
        attempt, reached = 0, None
        while True:
            attempt += 1
            with reaching(folder.location):
                patiently(lambda: repair_index(folder), READ_SECONDS, f"reading {folder.location}")
            trainer = StoppableTrainer(
                functools.partial(
                    _run_on_worker, train_loop_per_worker, folder, mark, os.environ.get("OMP_NUM_THREADS")
                ),
                train_loop_config=train_loop_config,
                torch_config=ProcessGroupConfig(backend=placement.backend, timeout_s=run.collective_timeout),
                scaling_config=scaling,
                run_config=RunConfig(
                    name=folder.name,
                    storage_path=folder.storage,
                    # A start that fails ends this attempt; Ray's own limit would repeat only some kinds of it. An
                    # elastic run may have asked for a node that was lost a moment ago, and does with fewer.
                    failure_config=FailureConfig(
                        max_failures=run.max_failures,
                        controller_failure_limit=START_ATTEMPTS if run.elastic else 0,
                    ),
                    checkpoint_config=CheckpointConfig(num_to_keep=checkpoint.keep),
                    callbacks=[MetricsFile(metrics, board), NoRetryOfErrorsInCode(), *callbacks],
                    # Ray Train's own lines go to the session's log files; failures reach the caller as exceptions.
                    logging_config=LoggingConfig(log_level="CRITICAL"),
                ),
            )
            if run.elastic:
                sizes = range(run.min_workers, run.max_workers + 1) if counts is None else counts
                trainer.scaling_policy = SavingElasticPolicy(scaling, sizes, board, START_ATTEMPTS * run.start_timeout)
            try:
                with trainer.stopping_on_signals(board, run.stop_timeout):
                    result = trainer.fit()
            except (TrainingFailedError, RayError) as error:
                if (progress := board.read(PROGRESS)) != reached:  # it had started, and must start once more
                    attempt, reached = 1, progress
                if attempt == START_ATTEMPTS or not is_start_up_failure(error):
                    raise TrainingFailed(explain(error)) from None
                logger.warning("the workers did not start (attempt %d of %d): %s", attempt, START_ATTEMPTS, error)
            else:
                if result.return_value == STOPPED:
                    raise Interrupted(signal.SIGTERM, result.metrics["iteration"])
                return result


def check_storage(folder: RunFolder, mark: str) -> None:
    """Raise StorageNotShared where this node does not see the folder that the driver marked.

    Storage that does not answer is another matter: it is tried again, and then an OSError.
    """
    try:
        found = patiently(lambda: folder.read_bytes(STORAGE_MARK), READ_SECONDS, f"reading {folder.location}").decode()
    except OSError as error:
        if not is_final(error):
            raise
        found = ""
    if found != mark:
        raise StorageNotShared(
            f"node {socket.gethostname()} does not see the run folder {folder.location} of the node that started the "
            "run: set run.storage to a path that is mounted on every node, or to a URI such as s3://bucket/runs"
        )


def _train_environment(run: RunSettings) -> dict[str, str]:
    return {
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(run.start_timeout),
        # The controller takes one report per poll; at Ray's two seconds frequent reports would pile up.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        # A node on notice may have half a minute left.
        "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
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
    except StopAsked:
        return STOPPED
    except Preempted:
        raise
    except Exception as error:
        trace = error.__traceback__
        text = "".join(traceback.format_exception(type(error), error, trace and trace.tb_next))
        summary = "".join(traceback.format_exception_only(error)).strip()
        raise WorkerError(context.get_world_rank(), summary, text, retry=may_pass(error)) from None
