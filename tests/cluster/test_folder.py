"""A run's folder, wherever it is."""

import os
import pickle
from pathlib import Path

import pytest
from pyarrow import fs

from cluster.config import RunSettings
from cluster.errors import RunExists, StorageUnreachable
from cluster.folder import RunFolder, run_folder


@pytest.fixture(params=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    if request.param == "local":
        return RunFolder(str(tmp_path / "run"))
    filesystem, path = fs.FileSystem.from_uri("mock://bucket/run")
    return RunFolder.on(filesystem, path)


def test_a_file_comes_back_as_it_was_written(folder: RunFolder) -> None:
    folder.write_bytes("pictures/one.png", b"\x00first")
    folder.write_bytes("pictures/one.png", b"\x00second")
    assert folder.read_bytes("pictures/one.png") == b"\x00second"
    assert folder.list("pictures") == ["one.png"]
    assert folder.digest("pictures/one.png")[1] == 7
    folder.delete("pictures")
    assert not folder.exists("pictures/one.png")


def test_a_folder_that_cannot_be_made_is_named_with_the_key() -> None:
    with pytest.raises(StorageUnreachable, match=r"/proc/runs/run cannot be reached.*set run\.storage to a path"):
        RunFolder("/proc/runs/run").claim("refuse")


def test_a_location_of_an_unknown_kind_is_named() -> None:
    with pytest.raises(StorageUnreachable, match=r"unknown://bucket/run cannot be reached: Unrecognized filesystem"):
        RunFolder("unknown://bucket/run")


def test_a_new_run_is_not_mixed_into_an_old_one(folder: RunFolder) -> None:
    assert folder.claim("refuse") is False
    folder.write_bytes("config.yaml", b"")
    with pytest.raises(RunExists, match="resume"):
        folder.claim("refuse")
    assert folder.claim("resume") is True


def test_a_crash_while_writing_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(str(tmp_path))
    folder.write_bytes("scores.json", b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        folder.write_bytes("scores.json", b"new")
    assert folder.read_bytes("scores.json") == b"old"
    assert folder.list() == ["scores.json"]


def test_a_run_is_named_by_its_settings_or_by_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = run_folder(RunSettings(name="mine", storage="runs"), "demo")
    assert named.local_path == tmp_path / "runs" / "mine"
    assert (named.name, named.storage) == ("mine", str(tmp_path / "runs"))
    assert run_folder(RunSettings(storage="runs"), "demo").name.startswith("demo-20")


def test_an_object_store_keeps_its_options() -> None:
    folder = run_folder(RunSettings(name="mine", storage="s3://bucket/runs?region=eu-west-1"), "demo")
    assert folder.location == "s3://bucket/runs/mine?region=eu-west-1"
    assert (folder.name, folder.storage) == ("mine", "s3://bucket/runs?region=eu-west-1")
    assert folder.local_path is None
    assert pickle.loads(pickle.dumps(folder)).path("config.yaml") == "bucket/runs/mine/config.yaml"
