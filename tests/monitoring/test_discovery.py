"""Which addresses Prometheus is told to ask, also where Rays come, go and do not answer."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.monitoring import discovery
from cluster.monitoring.discovery import Discovery, targets_of
from tests.processes import free_port


def groups(*addresses: str) -> list[dict[str, Any]]:
    return [{"targets": list(addresses), "labels": {"job": "ray"}}]


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere.invalid:{port}", "127.0.0.1"])
def test_a_ray_that_is_not_there_holds_nobody_up(address: str) -> None:
    began = time.monotonic()
    assert targets_of(address.format(port=free_port())) == []
    assert time.monotonic() - began < 5


def test_the_file_follows_the_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, now = tmp_path / "targets.json", groups("a:1", "b:1")
    monkeypatch.setattr(discovery, "SECONDS", 0.01)
    monkeypatch.setattr(discovery, "discovered", lambda address: now)
    with Discovery(file):
        wait_for(file, now)
        now = groups("b:1")
        wait_for(file, now)


def test_a_ray_that_never_answers_delays_neither_start_nor_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def never(address: str | None) -> list[dict[str, Any]]:
        answer.wait(60)
        return groups()

    monkeypatch.setattr(discovery, "discovered", never)
    began = time.monotonic()
    with Discovery(tmp_path / "targets.json"):
        pass
    assert time.monotonic() - began < 10
    answer.set()


def wait_for(file: Path, content: list[dict[str, Any]]) -> None:
    deadline = time.monotonic() + 30
    while not file.exists() or json.loads(file.read_text(encoding="utf-8")) != content:
        assert time.monotonic() < deadline
        time.sleep(0.01)
