"""Two commands that would train in one run folder."""

import errno
import fcntl
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import lock
from cluster.errors import RunInUse
from cluster.folder import RunFolder
from cluster.lock import LOCK, locked

HOLDER = """
import sys
from cluster.folder import RunFolder
from cluster.lock import locked
with locked(RunFolder(sys.argv[1])):
    print("holds", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another command that trains in the folder until it is ended."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_command_is_refused_and_told_of_the_first(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "ENDING_SECONDS", 0.1)
    words = rf"{tmp_path} is trained by another command, {socket.gethostname()} process {holder.pid}.*delete .*{LOCK}"
    with pytest.raises(RunInUse, match=words), locked(RunFolder(str(tmp_path))):
        pass


def test_a_command_that_was_killed_keeps_nobody_out(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    with locked(RunFolder(str(tmp_path))):
        pass
    with locked(RunFolder(str(tmp_path))):
        pass


def test_a_command_that_is_ending_is_waited_for(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    ending = threading.Timer(0.5, holder.kill)
    ending.start()
    with locked(RunFolder(str(tmp_path))):
        ending.join()


def test_another_machine_is_waited_for_as_it_may_be_lost(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).write_text("elsewhere process 7", encoding="utf-8")
    monkeypatch.setattr(lock, "ENDING_SECONDS", 0.0)
    ending = threading.Timer(0.5, holder.kill)
    ending.start()
    with locked(RunFolder(str(tmp_path))):
        ending.join()
    assert (tmp_path / LOCK).read_text(encoding="utf-8").startswith(socket.gethostname())


def test_another_machine_is_not_waited_for_without_end(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).write_text("elsewhere process 7", encoding="utf-8")
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.1)
    with pytest.raises(RunInUse, match="elsewhere process 7"), locked(RunFolder(str(tmp_path))):
        pass


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(RunFolder(str(tmp_path))):
        pass
