"""Whether trials fit into the cluster, and how many at once: arithmetic before anything waits for Ray.

A trial is a driver and its workers. If drivers took CPUs, enough of them would leave none for any worker and the
sweep would wait for ever. So a driver takes a share of `train_driver`, a custom resource, where the cluster has it
(`ray start --resources='{"train_driver": 16}'`), and else of the resource that Ray itself gives every head node.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ray

from cluster.config import RunSettings
from cluster.connection import Placement, has_room, place, slots
from cluster.errors import NotEnoughResources

DRIVER = "train_driver"
HEAD = "node:__internal_head__"
HEAD_SHARE = 0.001

Resources = Mapping[str, float]


@dataclass(frozen=True)
class Capacity:
    """What the cluster has for a sweep."""

    at_once: int
    """Trials that run at the same time."""
    driver: dict[str, float]
    """Resources of a trial's driver."""
    words: str
    """How that came about."""


def capacity(run: RunSettings, concurrent: int | None) -> Capacity:
    """Return how many trials fit into the connected cluster at once.

    Args:
        run: the workers of one trial.
        concurrent: at most so many; None takes all that have room.

    Raises:
        NotEnoughResources: where not even one trial fits, or fewer than are asked for, unless `run.autoscaler` is set.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return divided(nodes, place(run), run.min_workers, concurrent, run.autoscaler)


def divided(
    nodes: Iterable[Resources], placement: Placement, workers: int, concurrent: int | None, grows: bool = False
) -> Capacity:
    """Return how many trials of some workers fit into nodes with these resources; raises as `capacity` does.

    Args:
        nodes: what each node has.
        placement: what each worker gets.
        workers: those of one trial.
        concurrent: as in `capacity`.
        grows: whether an autoscaler may add nodes; then as many trials as are asked for run at once.
    """
    nodes = list(nodes)
    room = slots(nodes, placement)
    fitting = room // workers
    drivers = sum(node.get(DRIVER, 0) for node in nodes)
    words = f"{workers} worker{'' if workers == 1 else 's'} a trial, room for {room} workers"
    if drivers:
        fitting, driver = min(fitting, int(drivers)), {DRIVER: 1.0}
        words += f" and {drivers:g} drivers"
    elif any(HEAD in node for node in nodes):
        driver = {HEAD: HEAD_SHARE}
    else:
        raise NotEnoughResources(
            f"no node offers {DRIVER} for the drivers of trials: start the head with --resources='{{\"{DRIVER}\": 16}}'"
        )
    if grows and concurrent:
        words += ", and an autoscaler that may add nodes"
        fitting = min(concurrent, int(drivers)) if drivers else concurrent
    if 0 < fitting < (concurrent or 0):
        raise NotEnoughResources(
            f"{concurrent} trials at once do not fit: {words}, so {fitting} at once; lower concurrent or run.workers"
        )
    # With an autoscaler even what does not fit now may be asked for, one trial at a time.
    at_once = max(1, min(fitting, concurrent or fitting))
    return Capacity(at_once, driver, f"{words}: {at_once} at once, the others queue")


def wait_for_room(run: RunSettings) -> None:
    """Wait until the workers of a trial have room, but no longer than they may take to start.

    A trial that was stopped gives its workers back some seconds late, and others may use the cluster too. After the
    wait Ray is asked all the same, so that an autoscaler hears of it, and at once where there are not the nodes.
    """
    placement = place(run)
    if not has_room(run, placement):
        return
    needed = placement.resources
    deadline = time.monotonic() + run.start_timeout
    while time.monotonic() < deadline:
        free = ray.available_resources()
        if all(free.get(key, 0) + 1e-4 >= run.min_workers * amount for key, amount in needed.items()):
            return
        time.sleep(1)
