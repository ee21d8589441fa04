"""How many workers a run may have, and when it asks for more."""

import socket
import time
from typing import Any

import pytest
from pydantic import ValidationError
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision
from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy

from cluster.config import RunSettings
from cluster.elastic import SavingElasticPolicy, answers
from cluster.errors import NotEnoughResources
from cluster.interruption import REQUEST, RESIZE, STOP

ROOM = {"CPU": 1.0}


class Notes(dict[str, Any]):
    """A board of one process."""

    def post(self, name: str, value: object) -> None:
        self[name] = value

    def read(self, name: str) -> Any:
        return self.get(name)


def policy(counts: list[int], patience: float = 60.0) -> SavingElasticPolicy:
    scaling = ScalingConfig(num_workers=(counts[0], counts[-1]), resources_per_worker={"CPU": 1})
    return SavingElasticPolicy(scaling, counts, Notes(), patience)  # type: ignore[arg-type]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Nodes by id and whether Ray holds them for alive; `draining` is about to be taken away, `mute` has just died."""
    states = {"a": True, "b": True, "c": True, "dead": False, "draining": True, "mute": True}
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": name, "Alive": alive} for name, alive in states.items()])
    monkeypatch.setattr("cluster.elastic.answers", lambda node: node["NodeID"] != "mute")
    monkeypatch.setattr("ray._private.state.state.get_draining_nodes", lambda: {"draining": 0})
    return states


@pytest.mark.parametrize(("text", "least", "most"), [(3, 3, 3), ("2:8", 2, 8)])
def test_workers_are_a_number_or_a_range(text: int | str, least: int, most: int) -> None:
    run = RunSettings(workers=text)
    assert (run.min_workers, run.max_workers, run.elastic) == (least, most, least < most)


@pytest.mark.parametrize("wrong", [0, -1, "8:2", "2:2", "0:4", "two", "2:", "2:x"])
def test_other_numbers_of_workers_are_refused(wrong: int | str) -> None:
    with pytest.raises(ValidationError, match="min:max"):
        RunSettings(workers=wrong)


def test_a_node_answers_where_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": server.getsockname()[1]}
        assert answers(node)
    assert not answers(node)


def test_only_numbers_that_divide_the_batch_on_nodes_that_stay_are_used(nodes: dict[str, bool]) -> None:
    everywhere = dict.fromkeys(nodes, ROOM)
    assert policy([1, 2, 4])._count_possible_workers(everywhere) == 2
    assert policy([1, 3, 6])._count_possible_workers(everywhere) == 3
    nodes["b"] = False
    assert policy([1, 3, 6])._count_possible_workers(everywhere) == 1
    assert policy([4, 8])._count_possible_workers(everywhere) == 0


def test_workers_are_asked_for_a_checkpoint_before_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    grow = ResizeDecision(num_workers=2, resources_per_worker=ROOM)
    monkeypatch.setattr(ElasticScalingPolicy, "make_decision_for_running_worker_group", lambda *_: grow)
    asking = policy([1, 2])
    for before, after in (({}, RESIZE), ({REQUEST: RESIZE}, RESIZE), ({}, RESIZE), ({REQUEST: STOP}, STOP)):
        asking._board.clear()
        for name, value in before.items():
            asking._board.post(name, value)
        decision = asking.make_decision_for_running_worker_group(None, None)
        assert isinstance(decision, NoopDecision), "nobody is torn down"
        assert asking._board.read(REQUEST) == after


def test_a_start_waits_for_room_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [NoopDecision()]
    monkeypatch.setattr(ElasticScalingPolicy, "make_decision_for_non_running_worker_group", lambda _: found[0])
    waiting = policy([2, 4], patience=0.05)
    assert waiting.make_decision_for_non_running_worker_group() is found[0]
    time.sleep(0.1)
    with pytest.raises(NotEnoughResources, match=r"no room for 2 workers in 0\.05 s.*run\.start_timeout"):
        waiting.make_decision_for_non_running_worker_group()
    found[0] = ResizeDecision(num_workers=2, resources_per_worker=ROOM)
    assert waiting.make_decision_for_non_running_worker_group() is found[0]
    found[0] = NoopDecision()
    assert waiting.make_decision_for_non_running_worker_group() is found[0], "each start has its own time"
