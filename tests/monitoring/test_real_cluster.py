"""A real Prometheus watches a real training on two Ray nodes, one of whose workers is killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from cluster.monitoring.alerts import ALERTS
from cluster.monitoring.api import Prometheus
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.discovery import targets_of
from cluster.monitoring.picture import draw, fill_in
from tests.processes import descendants, end, free_port, start
from tests.training.test_main_job import OVERRIDES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="Prometheus is not installed (apt install prometheus)"
    ),
]
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
HOST = "127.0.0.1"
RUN = "watched"
NOT_NODES = (":44217", ":44227")
"""Ports at which the head serves the metrics of its autoscaler and dashboard."""
ITERATIONS = 100_000
"""More than will be done: the training is ended when Prometheus has seen what is asked about."""
EVERY = 20
SECONDS = 600


@dataclass
class Watched:
    """What is left of the training to ask about."""

    server: Prometheus
    folder: Path
    began: float
    asked: float
    """A moment before its end, when everything about it was published."""

    @property
    def values(self) -> dict[str, str]:
        return {"run": RUN, "search": "all-single", "loss": "cyc"}


@pytest.fixture(scope="module")
def watched(small_synthetic: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    with contextlib.ExitStack() as stack:
        port, server_port = free_port(), free_port()
        address = f"{HOST}:{port}"
        sessions = stack.enter_context(tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True))
        node(stack, f"--head --port={port} --temp-dir={sessions} --include-dashboard=false", address, 1)
        second = node(stack, f"--address={address}", address, 2)
        monitoring = [sys.executable, "-m", "cluster.monitoring", f"--directory={directory / 'monitoring'}"]
        watcher = start(
            [*monitoring, f"--address={address}", f"--port={server_port}", f"--grafana-port={free_port()}"],
            **ENVIRONMENT,
        )
        stack.callback(end, watcher)
        server = Prometheus(f"http://{HOST}:{server_port}")
        server.wait_until_ready(SECONDS)
        began = time.time()
        train = [sys.executable, "-m", "aligngan.train", *OVERRIDES, *small_synthetic, f"train.iterations={ITERATIONS}"]
        train += ["evaluation.every=20", f"checkpoint.every={EVERY}", f"run.storage={directory}", f"run.name={RUN}"]
        training = start(train, **ENVIRONMENT, RAY_ADDRESS=address)
        stack.callback(end, training)
        folder = directory / RUN
        # Workers that die before their counters have left them leave nothing behind.
        seen = f'count(ray_training_iterations_total{{run="{RUN}"}}) == 2'
        wait(lambda: bool(server.query(seen)), "the counters of both workers", training)
        # Soon after a checkpoint, so that there are iterations to lose and time before the next one.
        killed_at = (done(folder) // EVERY + 1) * EVERY + 4
        wait(lambda: done(folder) >= killed_at, "a checkpoint", training)
        kill_worker(second)
        wait(lambda: done(folder) >= killed_at + EVERY, "an evaluation after the restart", training)
        latest = Watched(server, folder, began, 0.0)
        wait(lambda: not missing(replace(latest, asked=time.time())), "data of every query", training)
        asked = time.time()
        training.send_signal(signal.SIGINT)
        out, err = training.communicate(timeout=SECONDS)
        assert training.returncode == 130, out + err
        # The last values leave a process when it ends or ten seconds later, and are scraped within ten more.
        time.sleep(12)
        yield Watched(server, folder, began, asked)
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(timeout=30) == 0, watcher.communicate()


def node(stack: contextlib.ExitStack, options: str, address: str, nodes: int) -> "subprocess.Popen[str]":
    """Start a node and wait until the cluster has so many; on a busy machine Ray may give up and is started again."""
    for _ in range(3):
        process = start_node(stack, options)
        wait(partial(settled, process, address, nodes), f"node {nodes}")
        if process.poll() is None:
            return process
    raise AssertionError(process.communicate())


def settled(process: "subprocess.Popen[str]", address: str, nodes: int) -> bool:
    return process.poll() is not None or node_count(address) == nodes


def start_node(stack: contextlib.ExitStack, options: str) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", *options.split()]
    command += [f"--dashboard-agent-listen-port={free_port()}", "--object-store-memory=100000000"]
    process = start(command, **ENVIRONMENT)
    stack.callback(end, process)
    return process


def node_count(address: str) -> int:
    with socket_open(address) as is_open:
        return sum(not target.endswith(NOT_NODES) for target in targets_of(address)) if is_open else 0


@contextlib.contextmanager
def socket_open(address: str) -> Iterator[bool]:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        yield probe.connect_ex((host, int(port))) == 0


def wait(condition: Callable[[], bool], what: str, process: "subprocess.Popen[str] | None" = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.5)


def records(folder: Path) -> list[dict]:
    file = folder / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def done(folder: Path) -> int:
    return max((record["iteration"] for record in records(folder) if record["kind"] == "train"), default=0)


def kill_worker(node: "subprocess.Popen[str]") -> None:
    """Kill the worker of the training that runs on a node."""
    for pid in descendants(node.pid):
        if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError("no worker of the training on this node")


def missing(watched: Watched) -> set[str]:
    """Return what has no data at the moment asked about, but for what is empty by name."""
    asked = ((name, text) for name, text, why in expressions(watched) if not why)
    return {name for name, text in asked if not watched.server.query(text, at=watched.asked)}


def expressions(watched: Watched) -> Iterator[tuple[str, str, str]]:
    seconds = watched.asked - watched.began
    for board in BOARDS:
        for panel in board.panels:
            for query in panel.queries:
                yield f"{board.title}: {panel.title}", fill_in(query.expression, seconds, watched.values), panel.empty
        for mark in board.annotations:
            yield f"{board.title}: {mark.name}", fill_in(mark.expression, seconds, watched.values), "only moments"


def test_every_node_is_found_and_answers(watched: Watched) -> None:
    nodes = [
        target
        for target in watched.server.targets()
        if not target["discoveredLabels"]["__address__"].endswith(NOT_NODES)
    ]
    assert len(nodes) == 2
    assert {target["health"] for target in nodes} == {"up"}


def test_every_query_of_every_panel_returns_data_or_is_empty_by_name(watched: Watched) -> None:
    assert missing(watched) == set()
    empty = {name: why for name, text, why in expressions(watched) if not watched.server.query(text, at=watched.asked)}
    gpus = {panel.title for board in BOARDS for panel in board.panels if panel.empty}
    assert {name.partition(": ")[2] for name, why in empty.items() if why != "only moments"} == gpus


def test_moments_are_marked(watched: Watched) -> None:
    for mark in BOARDS[0].annotations:
        text = fill_in(mark.expression, 60, watched.values)
        assert watched.server.query_range(text, watched.began, watched.asked + 30, 5), mark.name


def test_every_rule_reads_series_that_exist_and_none_fires(watched: Watched) -> None:
    for alert in ALERTS:
        for metric in set(re.findall(r"\bray_\w+", alert.expression)):
            found = watched.server.query(f"{metric}", at=watched.asked)
            assert found or alert.empty, f"{alert.name} reads {metric}, which nobody publishes"
    assert {rule["health"] for rule in watched.server.rules()} == {"ok"}
    # Those of nodes, whose disks may be full, say nothing about the run.
    about = [alert["labels"] for rule in watched.server.rules() for alert in rule["alerts"] if "run" in alert["labels"]]
    assert [labels for labels in about if labels["run"] == RUN] == []


def test_the_killed_worker_shows_and_its_counters_are_not_added_twice(watched: Watched) -> None:
    def value(expression: str) -> float:
        (series,) = watched.server.query(expression)
        return float(series["value"][1])

    recovery = next(record for record in records(watched.folder) if record["kind"] == "recovery")
    assert value(f'sum(ray_training_restarts_total{{run="{RUN}"}})') == 1
    assert value(f'sum(ray_training_failures_total{{run="{RUN}", reason="worker"}})') == 1
    lost = value(f'sum(ray_training_lost_iterations_total{{run="{RUN}"}})')
    assert lost == recovery["lost_iterations"] > 0
    last = done(watched.folder)
    assert value(f'max(max_over_time(ray_training_iteration{{run="{RUN}"}}[10m]))') == last
    workers = watched.server.query(f'ray_training_iterations_total{{run="{RUN}", rank="0"}}')
    assert len(workers) == 2, "the worker before and the one after"
    after = min(float(series["value"][1]) for series in workers)
    assert after < last
    speed = [record["images_per_second"] for record in records(watched.folder) if record["kind"] == "train"]
    assert value(f'sum(rate(ray_training_images_total{{run="{RUN}"}}[1m] @ {watched.asked}))') < 2 * max(speed)


def test_seconds_by_part_add_up_to_the_iterations(watched: Watched) -> None:
    for record in records(watched.folder):
        if record["kind"] == "train":
            parts = sum(value for key, value in record.items() if key.startswith("seconds_") and key != "seconds_left")
            assert parts == pytest.approx(record["seconds"], rel=0.05, abs=0.05)


def test_a_dashboard_can_be_drawn_without_grafana(watched: Watched, tmp_path: Path) -> None:
    for board in BOARDS:
        picture = tmp_path / f"{board.uid}.png"
        shown = draw(board, watched.server, watched.began, watched.asked, watched.values, str(picture))
        assert picture.stat().st_size > 10_000
        assert {title for title, series in shown.items() if not series} == {p.title for p in board.panels if p.empty}
    if keep := os.environ.get("KEEP_PICTURES"):
        shutil.copytree(tmp_path, keep, dirs_exist_ok=True)
