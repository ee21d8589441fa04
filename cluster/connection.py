"""Joining the Ray cluster that a command was started in, or starting Ray on this machine, and what it offers."""

import contextlib
import logging
import math
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import ray

from cluster.config import RunSettings
from cluster.errors import ClusterError, NotEnoughResources

OBJECT_STORE_BYTES = 256 * 1024 * 1024
"""Shared memory of a Ray started here: training passes batches inside each worker, not through Ray."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def connect(run: RunSettings, *, dashboard: bool = False) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, as under `ray job submit`, or start Ray on this machine.

    A Ray that is started here ends with the context. Its authentication is off, whatever tokens the machine holds,
    unless RAY_AUTH_MODE=token is set: do so in a network that you do not trust, for Ray's ports are open to it (its
    dashboard is not).

    Args:
        run: how many workers have to fit; where they outnumber the cores they share them.
        dashboard: start Ray's dashboard too; `tune` frees the resources of stopped trials only with it.

    Raises:
        ClusterError: where there is no cluster at RAY_ADDRESS.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    private = address in ("", "local")
    with environment(_local_environment() if private else {}):
        if private:
            _start(run, dashboard)
        else:
            _join(run, address)
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set those environment variables that are not set, and unset them again."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@dataclass(frozen=True)
class Placement:
    """What each worker of a run gets."""

    cpus: float
    """CPUs reserved for a worker."""
    gpus: float
    """GPUs reserved for a worker; below 1 where workers share one, 0 without."""
    backend: str
    """Backend of torch.distributed."""

    @property
    def resources(self) -> dict[str, float]:
        """Ray's `ScalingConfig(resources_per_worker)`."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})


def place(run: RunSettings) -> Placement:
    """Return what each worker gets of the connected cluster.

    Raises:
        NotEnoughResources: where the workers do not fit, unless `run.autoscaler` is set. Ray would wait for ever.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    placement = share_gpus(run, gpus)
    fitting = slots(nodes, placement)
    if fitting < run.min_workers and not run.autoscaler:
        raise NotEnoughResources(
            f"{run.min_workers} workers with {_words(placement.resources)} each do not fit: the cluster has "
            + "; ".join(_words({key: node.get(key, 0) for key in ("CPU", "GPU")}) for node in nodes)
            + f", room for {fitting}. Set run.workers, run.cpus_per_worker or run.gpu, or join a larger cluster; where "
            "an autoscaler adds nodes, set run.autoscaler=true."
        )
    return placement


def has_room(run: RunSettings, placement: Placement) -> bool:
    """Return whether the nodes of the connected cluster would hold the workers if they did nothing else."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return slots(nodes, placement) >= run.min_workers


def slots(nodes: Iterable[Mapping[str, float]], placement: Placement) -> int:
    """Return how many workers nodes with these resources hold, each worker on one of them."""
    needed = placement.resources
    # Ray counts resources in ten-thousandths.
    return sum(min(int(node.get(key, 0) / amount + 1e-4) for key, amount in needed.items()) for node in nodes)


def share_gpus(run: RunSettings, gpus: float) -> Placement:
    """Return what each worker gets of a cluster with so many GPUs."""
    if run.gpu == "auto" and gpus < 1 and run.autoscaler:
        raise NotEnoughResources(
            "run.gpu=auto: the cluster has no GPU now, and the autoscaler may bring some; set run.gpu=yes or run.gpu=no"
        )
    if run.gpu == "no" or (run.gpu == "auto" and gpus < 1):
        return Placement(run.cpus_per_worker, 0, "gloo")
    if run.gpu == "yes" or gpus >= run.min_workers or run.autoscaler:
        return Placement(run.cpus_per_worker, 1, "nccl")
    # NCCL refuses two workers on one GPU; gloo does not.
    logger.warning("%d workers share %d GPU(s); run.workers=%d would be faster", run.max_workers, gpus, gpus)
    return Placement(run.cpus_per_worker, 1 / math.ceil(run.max_workers / gpus), "gloo")


def worker_threads(workers_on_node: int) -> int:
    """Return how many threads torch should use in a worker: the node's CPUs, shared by the workers on it."""
    node_id = ray.get_runtime_context().get_node_id()
    offered = next(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["NodeID"] == node_id)
    return max(1, int(min(offered, len(os.sched_getaffinity(0)))) // workers_on_node)


def _start(run: RunSettings, dashboard: bool) -> None:
    cores = len(os.sched_getaffinity(0))
    asked = math.ceil(run.max_workers * run.cpus_per_worker)
    if asked > cores:
        logger.warning("%d workers ask for %d CPUs and share the %d of this machine", run.max_workers, asked, cores)
    ray.init(
        address="local",
        num_cpus=max(cores, asked),
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=run.worker_output,
        logging_level=logging.WARNING,
    )


def _join(run: RunSettings, address: str) -> None:
    try:
        # Ray tries for minutes to reach an address where nobody answers.
        host, colon, port = address.rpartition(":")
        if colon and port.isdecimal() and "://" not in address:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(log_to_driver=run.worker_output, logging_level=logging.WARNING)
    except OSError as error:
        raise ClusterError(f"no Ray cluster at RAY_ADDRESS={address}: {error}") from None


def _local_environment() -> dict[str, str]:
    return {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def _words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {key}" for key, amount in resources.items())
