"""Commands that tests start as users do, and how they end them with everything that was started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.checkpoints import checkpoint_names
from cluster.folder import RunFolder

ROOT = Path(__file__).parents[1]
SECONDS = 300


def start(command: list[str], **environment: str) -> "subprocess.Popen[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        end(process)
    return process.returncode, out, err


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process that was started here and everything that it started."""
    if process.poll() is None:
        for member in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        process.wait()


def descendants(pid: int) -> set[int]:
    """Return the processes that a process started, and theirs."""
    parents = parents_of_processes()
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def parents_of_processes() -> dict[int, int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    return parents


def wait_until_gone(family: set[int]) -> None:
    deadline = time.monotonic() + SECONDS
    while left := family & parents_of_processes().keys():
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.5)


def wait_for_checkpoint(folder: RunFolder, process: "subprocess.Popen[str]") -> None:
    wait_for(lambda: bool(checkpoint_names(folder)), process)


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for what a process that was started here does while it runs."""
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ray_job(client: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return start([str(Path(sys.executable).with_name("ray")), "job", *arguments], **client)


def wait_for_jobs(client: dict[str, str], head: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while finish(ray_job(client, "list"))[0] != 0:
        assert head.poll() is None, head.communicate()
        assert time.monotonic() < deadline
        time.sleep(1)
