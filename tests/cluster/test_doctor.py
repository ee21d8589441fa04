"""What the doctor finds wrong, on examinations made up for it; test_nodes.py shows it a real cluster."""

import contextlib
import copy

import pytest

from cluster.doctor.__main__ import main
from cluster.doctor.examination import Examination, Node
from cluster.doctor.findings import findings

GOOD = Node(
    id="0" * 40,
    head=False,
    resources={"CPU": 4.0},
    facts={
        "host": "good",
        "address": "10.0.0.1",
        "versions": {"python": "3.11", "ray": "2", "torch": "2", "torchvision": "1", "numpy": "2", "pyarrow": "1"}
        | {"this project": "0.1"},
        "disk_free": 1e11,
        "shared_memory_free": 1e10,
        "memory_available": 1e10,
        "gpus": [],
    },
    storage={"sees": True, "writes": "file", "bytes_per_second": 1e8, "error": ""},
    links={"reduced": 1e9, "to_next": 1e9},
)


def node(name: str) -> Node:
    new = copy.deepcopy(GOOD)
    new.facts["host"] = name
    return new


def found(*nodes: Node) -> Examination:
    return Examination(list(nodes), "/shared/runs")


def test_nothing_is_wrong_with_good_nodes() -> None:
    assert findings(found(node("a"), node("b"))) == []


@pytest.mark.parametrize(
    ("change", "fails", "words"),
    [
        (lambda sick: sick.facts["versions"].update(torch="3"), True, ["torch is 2 elsewhere", "sick", "has 3"]),
        (lambda sick: sick.facts["versions"].update(numpy="3"), False, ["numpy", "sick"]),
        (lambda sick: sick.facts["versions"].update(pyarrow="missing"), True, ["pyarrow is not installed on sick"]),
        (lambda sick: sick.storage.update(sees=False), True, ["sick", "another folder", "run.storage=/shared/runs"]),
        (lambda sick: sick.storage.update(writes=None, error="read-only"), True, ["sick", "read-only"]),
        (lambda sick: sick.facts.update(disk_free=1e9), False, ["sick", "1 GB free", "temporary disk"]),
        (lambda sick: sick.facts.update(disk_free=1e8), True, ["sick", "100 MB"]),
        (lambda sick: sick.facts.update(shared_memory_free=64e5), True, ["sick", "/dev/shm"]),
        (lambda sick: setattr(sick, "skew", -7.0), False, ["sick", "7.0 s behind"]),
        (lambda sick: sick.links.update(to_next=2e8), False, ["from sick", "200 MB/s"]),
        (lambda sick: setattr(sick, "error", "gone"), True, ["sick", "does not answer: gone"]),
    ],
)
def test_a_sick_node_is_named_with_what_ails_it(change: object, fails: bool, words: list[str]) -> None:
    sick = node("sick")
    assert callable(change)
    change(sick)
    (finding,) = findings(found(node("a"), node("b"), sick))
    assert finding.fails == fails
    for word in words:
        assert word in finding.text


def test_what_fails_comes_before_what_hurts() -> None:
    slow, broken = node("slow"), node("broken")
    slow.skew = 5.0
    broken.storage["sees"] = False
    assert [finding.fails for finding in findings(found(slow, broken, node("a")))] == [True, False]


def test_links_and_room_that_are_missing_would_fail() -> None:
    examination = found(node("a"))
    examination.links_error, examination.placement_error = "connection refused", "8 workers do not fit"
    assert [finding.fails for finding in findings(examination)] == [True, True]
    assert "GLOO_SOCKET_IFNAME" in findings(examination)[0].text


def test_nodes_that_an_autoscaler_would_bring_are_no_failure() -> None:
    examination = found(node("a"))
    examination.waits_for_nodes = True
    (finding,) = findings(examination)
    assert not finding.fails
    assert "run.start_timeout" in finding.text


@pytest.mark.timeout(300)
def test_the_command_passes_this_machine_and_refuses_what_it_lacks(
    local_ray: None, tmp_path: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.connection.connect", lambda run: contextlib.nullcontext())
    assert main(["--storage", str(tmp_path), "--gpu", "no"]) == 0
    assert "a training would run here" in capsys.readouterr().out
    assert main(["--storage", str(tmp_path), "--workers", "99", "--gpu", "yes"]) == 1
    assert "99 workers with 1 CPU and 1 GPU each do not fit" in capsys.readouterr().out
