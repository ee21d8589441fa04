"""All nodes of the connected cluster, examined: facts, storage, clocks and links."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.config import RunSettings
from cluster.connection import has_room, place
from cluster.doctor.probe import Facts, Probe
from cluster.errors import NotEnoughResources
from cluster.folder import RunFolder

ANSWER_SECONDS = 120
CLOCK_ROUNDS = 5


@dataclass
class Node:
    """One node and what was found on it."""

    id: str
    head: bool
    resources: dict[str, float]
    facts: Facts = field(default_factory=dict)
    storage: Facts = field(default_factory=dict)
    skew: float = 0.0
    """Seconds that its clock is ahead of the driver's."""
    skew_uncertainty: float = 0.0
    """Seconds by which the skew may be off."""
    links: Facts = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        """Host name and address."""
        return f"{self.facts['host']} ({self.facts['address']})" if self.facts else self.id[:12]

    @property
    def works(self) -> bool:
        """Whether Ray may put workers there."""
        return self.resources.get("CPU", 0) > 0


@dataclass
class Examination:
    """What was found."""

    nodes: list[Node]
    storage: str
    backend: str = "gloo"
    links_error: str = ""
    placement_error: str = ""
    waits_for_nodes: bool = False
    """Whether the workers fit only after an autoscaler has brought nodes."""


def examine(run: RunSettings) -> Examination:
    """Examine every node of the connected cluster; leaves nothing behind in the storage.

    Args:
        run: its storage, and the workers that are to fit.
    """
    nodes = [
        Node(entry["NodeID"], "node:__internal_head__" in entry["Resources"], entry["Resources"])
        for entry in ray.nodes()
        if entry["Alive"]
    ]
    found = Examination(sorted(nodes, key=lambda node: (not node.head, node.id)), run.storage)
    probes = {node.id: _probe(node) for node in found.nodes}
    for node in found.nodes:
        try:
            node.facts = ray.get(probes[node.id].facts.remote(), timeout=ANSWER_SECONDS)
        except RayError as error:
            node.error = str(error).strip().splitlines()[-1]
    answering = [node for node in found.nodes if node.facts]
    _look_at_storage(found, answering, probes)
    for node in answering:
        node.skew, node.skew_uncertainty = _skew(probes[node.id])
    for probe in probes.values():
        ray.kill(probe)
    _measure_links(found, [node for node in answering if node.works])
    try:
        found.waits_for_nodes = not has_room(run, place(run))
    except NotEnoughResources as error:
        found.placement_error = str(error)
    return found


def _probe(node: Node, gpus: int = 0) -> Any:
    placed = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return ray.remote(num_cpus=0, num_gpus=gpus, scheduling_strategy=placed)(Probe).remote()


def _look_at_storage(found: Examination, nodes: list[Node], probes: dict[str, Any]) -> None:
    name, mark = f".doctor-{uuid.uuid4().hex}", uuid.uuid4().bytes
    try:
        folder = RunFolder(found.storage)
        existed = folder.exists()
        folder.write_bytes(name, mark)
    except OSError as error:
        for node in nodes:
            node.storage = {"sees": False, "writes": None, "bytes_per_second": 0.0, "error": f"on the driver: {error}"}
        return
    try:
        for node in nodes:
            node.storage = ray.get(probes[node.id].see.remote(folder.location, name, mark), timeout=ANSWER_SECONDS)
            if (written := node.storage["writes"]) is not None:
                if not folder.exists(written):
                    node.storage |= {"sees": False, "error": "the driver does not see what the node wrote"}
                ray.get(probes[node.id].forget.remote(folder.location, written), timeout=ANSWER_SECONDS)
    finally:
        folder.delete(name)
        if not existed and not folder.list():
            folder.delete("")


def _skew(probe: Any) -> tuple[float, float]:
    """Clock difference by the question that was answered fastest, as in Cristian's algorithm."""
    rounds = []
    for _ in range(CLOCK_ROUNDS):
        asked = time.time()
        theirs = ray.get(probe.now.remote(), timeout=ANSWER_SECONDS)
        answered = time.time()
        rounds.append(((answered - asked) / 2, theirs - (asked + answered) / 2))
    uncertainty, skew = min(rounds)
    return skew, uncertainty


def _measure_links(found: Examination, nodes: list[Node]) -> None:
    if not nodes:
        return
    gpus = [node.resources.get("GPU", 0) >= 1 for node in nodes]
    found.backend = "nccl" if all(gpus) and (len(nodes) > 1 or nodes[0].resources["GPU"] > 1) else "gloo"
    # A single node talks to itself: two processes, as two workers would be.
    ranks = nodes if len(nodes) > 1 else nodes * 2
    probes = [_probe(node, int(found.backend == "nccl")) for node in ranks]
    try:
        meeting = ray.get(probes[0].open_port.remote(), timeout=ANSWER_SECONDS)
        asked = [probe.measure.remote(found.backend, meeting, rank, len(ranks)) for rank, probe in enumerate(probes)]
        for node, links in zip(ranks, ray.get(asked, timeout=ANSWER_SECONDS), strict=True):
            node.links = links
    except (RayError, TimeoutError) as error:
        found.links_error = str(error).strip().splitlines()[-1]
    finally:
        for probe in probes:
            ray.kill(probe)
