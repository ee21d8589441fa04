"""Runs that go on with fewer workers and grow back: Ray Train's elastic scaling without its loss of work."""

import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingDecision
from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy

from cluster.board import Board
from cluster.errors import NotEnoughResources
from cluster.interruption import REQUEST, RESIZE

CONNECT_SECONDS = 2.0


class SavingElasticPolicy(ElasticScalingPolicy):
    """Ray Train's elastic policy with numbers of workers that divide a batch, and a checkpoint before each growth.

    Ray Train would tear the workers down and lose what they did since their last checkpoint. This asks them to
    leave with one; Ray Train then starts the new number. Runs in the controller of Ray Train.

    Args:
        scaling_config: its `num_workers` is a pair.
        counts: numbers of workers that can train, at least the smallest of the pair among them.
        board: where the workers are asked.
        patience: seconds that a start waits for the smallest number of workers.
    """

    def __init__(self, scaling_config: ScalingConfig, counts: Sequence[int], board: Board, patience: float) -> None:
        super().__init__(scaling_config)
        self._counts, self._board, self._patience = sorted(counts), board, patience
        self._waits_since: float | None = None

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """Start as many workers as there is room for; raises NotEnoughResources where there is none for too long."""
        decision = super().make_decision_for_non_running_worker_group()
        if isinstance(decision, ResizeDecision):
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()
        elif time.monotonic() - self._waits_since > self._patience:
            raise NotEnoughResources(
                f"no room for {self._counts[0]} workers in {self._patience:g} s: the nodes are too few, too small or "
                "in use; set run.workers or run.start_timeout"
            )
        return decision

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Ask the workers to leave where more of them could train.

        However long they take, an evaluation for instance, they are left to it; the watchdog sees to those that hang.
        Workers that were still starting take the question for the one that they come from, so it is put again.
        """
        decision = super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)
        if not isinstance(decision, ResizeDecision):
            return decision
        if self._board.read(REQUEST) is None:
            self._board.post(REQUEST, RESIZE)
        return NoopDecision()

    def _count_possible_workers(self, reserved_resources: Mapping[str, Any]) -> int:
        # The reservation may name nodes that have been lost since, or are about to be taken away.
        draining = ray._private.state.state.get_draining_nodes()
        nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in draining]
        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            staying = {node["NodeID"] for node, there in zip(nodes, pool.map(answers, nodes), strict=True) if there}
        there = {node: resources for node, resources in reserved_resources.items() if node in staying}
        possible = super()._count_possible_workers(there)
        return max((count for count in self._counts if count <= possible), default=0)


def answers(node: Mapping[str, Any]) -> bool:
    """Return whether Ray is to be reached on a node; Ray itself finds out some 15 seconds after it was lost."""
    try:
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
