"""Nodes that are lost, cut off, taken away and added: machines of their own, and the commands that a user types."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.folder import RunFolder
from cluster.progress import METRICS, Record, parse_lines
from tests.cluster import toy
from tests.cluster.network import Network, wait_until, why_not
from tests.processes import ROOT, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ITERATIONS = 25


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="n", dir="/tmp"))
    try:
        with Network(directory) as network:
            network.head()
            network.host("laptop")
            network.node("w1")
            (directory / "private").mkdir()
            network.node("w2", private=directory / "private")
            yield network
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Training:
    """A training of the toy, submitted from a laptop."""

    def __init__(self, network: Network, name: str, **settings: Any) -> None:
        self.folder = RunFolder(str(network.directory / "runs" / name))
        settings = {"iterations": ITERATIONS, "every": 5, "sleep": 0.4, "start_timeout": 30.0} | settings
        command = [sys.executable, "-m", "tests.cluster.toy", str(network.directory / "runs"), name]
        command += [f"{key}={value}" for key, value in settings.items()]
        laptop = network.hosts["laptop"]
        self.job = network.job(laptop, "submit", "--working-dir", str(ROOT), "--", *command)

    def records(self, kind: str | None = None) -> list[Record]:
        found = parse_lines(self.folder.read_bytes(METRICS)) if self.folder.exists(METRICS) else []
        return [record for record in found if kind in (None, record["kind"])]

    def wait_for(self, holds: Any) -> None:
        deadline = time.monotonic() + 300
        while not holds(self.records("train")):
            assert self.job.poll() is None, finish(self.job)
            assert time.monotonic() < deadline, self.records()
            time.sleep(0.1)

    def wait_for_iteration(self, iteration: int) -> None:
        self.wait_for(lambda trained: trained and trained[-1]["iteration"] >= iteration)

    def ends_like_undisturbed(self) -> str:
        status, out, err = finish(self.job)
        assert status == 0, out + err
        name = newest_checkpoint(self.folder)
        assert name == f"step_{ITERATIONS:09d}"
        expected = undisturbed()
        for key, value in load_checkpoint(self.folder, name)["model"].items():
            torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)
        return out


def undisturbed() -> dict[str, torch.Tensor]:
    """The toy's weights after all iterations, trained here on whole batches."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for iteration in range(ITERATIONS):
        inputs = toy.batch(iteration)
        optimizer.zero_grad()
        (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    return model.state_dict()


def doctor(network: Network, storage: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "cluster.doctor", "--storage", str(storage), "--gpu", "no"]
    status, out, _ = finish(network.job(network.hosts["laptop"], "submit", "--", *command))
    return status, out


def test_the_doctor_passes_a_cluster_that_shares_its_storage(network: Network) -> None:
    status, out = doctor(network, network.directory / "shared")
    assert "a training would run here" in out
    assert status == 0
    for host in ("head", "w1", "w2"):
        assert network.hosts[host].address in out
    assert not (network.directory / "shared").exists(), "nothing is left behind"


def test_the_doctor_names_the_node_that_has_a_folder_of_its_own(network: Network) -> None:
    status, out = doctor(network, network.directory / "private")
    assert status == 1
    # Ray's client repeats the last lines of a job that failed.
    (line,) = {line for line in out.splitlines() if line.startswith("would fail")}
    assert f"({network.hosts['w2'].address}) cannot share run.storage" in line


def test_a_link_cut_for_a_while_costs_nothing_and_a_killed_worker_is_replaced(network: Network) -> None:
    training = Training(network, "link")
    training.wait_for_iteration(3)
    network.hosts["w2"].cut()
    time.sleep(6)
    network.hosts["w2"].mend()
    training.wait_for_iteration(12)
    assert not training.records("failure")
    (worker,) = network.hosts["w2"].workers()
    os.kill(worker, signal.SIGKILL)
    out = training.ends_like_undisturbed()
    (recovery,) = training.records("recovery")
    assert 0 < recovery["lost_iterations"] <= 5
    assert f"recovery at iteration {recovery['iteration']}" in out


def test_a_node_that_is_taken_away_with_notice_loses_no_iteration(network: Network) -> None:
    training = Training(network, "notice", max_failures=0, every=ITERATIONS, sleep=1.0)
    training.wait_for_iteration(7)
    leaving = network.hosts["w2"]
    node = leaving.processes[0]
    node.send_signal(signal.SIGTERM)
    wait_until(lambda: bool(training.records("checkpoint")))
    network.node("w3")
    training.ends_like_undisturbed()
    trained = [record["iteration"] for record in training.records("train")]
    assert sorted(set(trained)) == sorted(trained), "no iteration was done twice"
    (recovery,) = training.records("recovery")
    assert recovery["lost_iterations"] == 0
    node.wait(timeout=60)


def test_an_elastic_run_goes_on_with_fewer_workers_and_grows_back(network: Network) -> None:
    training = Training(network, "elastic", workers="1:2", grow_every=3.0, sleep=2.5)
    training.wait_for_iteration(7)
    assert training.records("train")[-1]["workers"] == 2
    network.hosts["w3"].kill()
    training.wait_for(lambda trained: trained[-1]["workers"] == 1)
    network.node("w4")
    training.ends_like_undisturbed()
    assert training.records("train")[-1]["workers"] == 2
    lost, grown = training.records("recovery")
    assert 0 < lost["lost_iterations"] <= 5
    assert (lost["workers"], grown["workers"]) == (1, 2)
    assert lost["recovery_seconds"] < 30, "it did not wait for the lost node"
    assert grown["lost_iterations"] == 0
    assert training.records("resize")
