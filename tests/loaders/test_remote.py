"""Data sets in an object store, and in whatever else fsspec opens."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import fsspec
import pytest
import torch
from pyarrow import fs

from loaders.batches import Batch, BatchLoader, read_pictures
from loaders.cache import Files, open_files, opening
from loaders.catalog import open_dataset
from loaders.check.__main__ import main as check
from loaders.config import DataSettings, SyntheticSettings
from loaders.dataset import Dataset, DatasetError
from loaders.plan import BatchPlan
from loaders.storage import file_name, is_folder, list_files, read_file, tidy
from loaders.synthetic import make
from tests.processes import ROOT, end, free_port

pytestmark = pytest.mark.timeout(180)
SIZE = (32, 16)


class Store:
    """An S3 server with the bucket `pictures`, and the log of what it was asked for."""

    def __init__(self, port: int, log: Path) -> None:
        self.host = f"127.0.0.1:{port}"
        self._log = log
        self._files = fs.S3FileSystem(endpoint_override=self.host, scheme="http", allow_bucket_creation=True)
        self._files.create_dir("pictures")

    def upload(self, folder: Path, prefix: str) -> None:
        fs.copy_files(str(folder), f"pictures/{prefix}", fs.LocalFileSystem(), self._files)

    def put(self, key: str, content: bytes) -> None:
        with self._files.open_output_stream(f"pictures/{key}") as stream:
            stream.write(content)

    def reads(self) -> Counter[str]:
        """How often each picture was read."""
        return Counter(re.findall(r"GET /pictures/(\S+\.jpg)", self._log.read_text(errors="replace")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    port, log = free_port(), tmp_path_factory.mktemp("store") / "log"
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    with pytest.MonkeyPatch.context() as patch, open(log, "wb") as file:
        for name, value in environment.items():
            patch.setenv(name, value)
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            text=True,
        )
        try:
            deadline = time.monotonic() + 60
            while not answers(f"http://127.0.0.1:{port}/moto-api/"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)
            yield Store(port, log)
        finally:
            end(process)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("local") / "set"
    make(str(root), SyntheticSettings(persons=12, pictures=2, seed=3))
    return root


@pytest.fixture(scope="module")
def remote(store: Store, local: Path) -> str:
    store.upload(local, "sets/sysu")
    return "s3://pictures/sets/sysu"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "memory"
    place.mkdir()
    monkeypatch.setattr(opening, "SHARED_MEMORY", place)
    return place


def settings(root: str, name: str = "sysu-mm01", **more: object) -> DataSettings:
    return DataSettings(name=name, root=root, image_size=SIZE, **more)  # type: ignore[arg-type]


def batches(dataset: Dataset, files: Files | None) -> list[Batch]:
    plan = BatchPlan(dataset.train, 3, 2, seed=1, image_size=SIZE)
    with BatchLoader(plan, "threads", SIZE, 0, 1, 0, threads=2, files=files) as loader:
        return list(islice(loader, 5))


def described(dataset: Dataset) -> list[tuple[object, ...]]:
    """The pictures without their folder and times."""
    return [
        (p.path.removeprefix(dataset.root), p.person, p.camera, p.modality, p.number, p.size)
        for p in (*dataset.train, *dataset.test)
    ]


def test_a_bucket_is_read_like_a_folder(local: Path, remote: str) -> None:
    here, there = open_dataset(settings(str(local))), open_dataset(settings(remote + "/"))
    assert described(here) == described(there)
    assert there.root == remote
    for left, right in zip(batches(here, None), batches(there, None), strict=True):
        assert torch.equal(left.rgb, right.rgb)
        assert torch.equal(left.ir, right.ir)


def test_remote_files_are_read_once_for_all_workers_of_a_node(remote: str, store: Store) -> None:
    dataset = open_dataset(settings(remote))
    before = store.reads()
    with open_files(settings(remote), dataset.train) as one, open_files(settings(remote), dataset.train) as other:
        first = batches(dataset, one)
        assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(first, batches(dataset, other), strict=True))
        list(read_pictures([p.path for p in dataset.train], SIZE, "dali-cpu", 8, 2, files=other))
    read = store.reads() - before
    assert len(read) == len(dataset.train)
    assert set(read.values()) == {1}


def test_remote_files_stream_where_they_do_not_fit(
    remote: str, store: Store, memory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(settings(remote))
    monkeypatch.setattr(opening, "available_memory", lambda: 1000)
    before = store.reads()
    with open_files(settings(remote), dataset.train) as files:
        assert len(batches(dataset, files)) == 5
    assert "read anew each time" in caplog.text
    assert (store.reads() - before).total() >= 5 * 12
    assert not list(memory.iterdir())


def test_an_object_that_is_replaced_is_read_anew(store: Store, local: Path, tmp_path: Path) -> None:
    source = next((local / "cam1").rglob("*.jpg"))
    for prefix in ("rgb/a", "rgb/b", "ir/a", "ir/b"):
        store.put(f"sets/own/{prefix}/1.jpg", source.read_bytes())
    chosen = settings("s3://pictures/sets/own", "folder", cache="files", cache_folder=str(tmp_path / "kept"))
    for content in (source.read_bytes(), source.read_bytes() + b"more"):
        store.put("sets/own/rgb/a/1.jpg", content)
        dataset = open_dataset(chosen)
        both = (*dataset.train, *dataset.test)
        with open_files(chosen, both) as files:
            assert files.encoded("s3://pictures/sets/own/rgb/a/1.jpg").tobytes() == content


def test_options_of_the_store_may_stand_in_the_root(remote: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    root = f"{remote}?scheme=http&endpoint_override={store.host}&region=us-east-1"
    dataset = open_dataset(settings(root))
    assert file_name(dataset.train[0].path) == "0001.jpg"
    assert len(batches(dataset, None)) == 5


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("s3://pictures/sets/nowhere", r"no data set folder s3://pictures/sets/nowhere.*data\.root"),
        ("s3://no-such-bucket/set", r"no data set folder s3://no-such-bucket/set"),
        ("nonsense://set", r"nonsense://set.*fsspec"),
    ],
)
def test_a_root_that_cannot_be_opened_is_named(root: str, says: str, store: Store) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(settings(root))


def test_what_fsspec_opens_is_a_root_too(local: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    for path in local.rglob("*"):
        if path.is_file():
            filesystem.pipe(f"/sets/{path.relative_to(local).as_posix()}", path.read_bytes())
    here, there = open_dataset(settings(str(local))), open_dataset(settings("memory://sets"))
    assert described(here) == described(there)
    with open_files(settings("memory://sets"), there.train) as files:
        for left, right in zip(batches(here, None), batches(there, files), strict=True):
            assert torch.equal(left.rgb, right.rgb)


def test_local_and_remote_listings_say_the_same(local: Path, remote: str) -> None:
    assert [(name, entry.size) for name, entry in list_files(str(local)).items()] == [
        (name, entry.size) for name, entry in list_files(remote).items()
    ]
    assert list_files(str(local), "nowhere") == list_files(remote, "nowhere") == {}
    assert read_file(f"{remote}/exp/train_id.txt") == (local / "exp" / "train_id.txt").read_bytes()
    assert not is_folder(f"{remote}/exp/train_id.txt")
    assert tidy("s3://b/set/?region=x") == "s3://b/set?region=x"
    assert tidy(f"{local}{os.sep}") == str(local)
    with pytest.raises(FileNotFoundError):
        read_file(f"{remote}/exp/nothing.txt")


def test_a_bucket_is_checked_like_a_folder(
    store: Store, local: Path, remote: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check([remote]) == 0
    assert "can be trained on" in capsys.readouterr().out
    store.upload(local, "sets/cut")
    broken = open_dataset(settings("s3://pictures/sets/cut")).train[0].path
    store.put(broken.removeprefix("s3://pictures/"), b"not a picture")
    assert check(["s3://pictures/sets/cut"]) == 1
    assert broken in capsys.readouterr().err
    assert check(["s3://pictures/nowhere"]) == 1
