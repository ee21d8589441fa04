"""Starting and joining Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.config import RunSettings
from cluster.connection import Placement, connect, share_gpus
from cluster.errors import ClusterError

ROOT = Path(__file__).parents[2]
START_RAY = """
import ray
from cluster.config import RunSettings
from cluster.connection import connect, place

run = RunSettings(workers=5, gpu="no")
with connect(run):
    print(place(run).backend, ray.get(ray.remote(lambda: "from a worker").remote()))
print(ray.is_initialized())
"""


@pytest.mark.parametrize("token", [False, True])
def test_ray_on_this_machine_fits_the_workers_and_ignores_tokens(tmp_path: Path, token: bool) -> None:
    (tmp_path / ".ray").mkdir()
    if token:
        (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", START_RAY],
        cwd=ROOT,
        env=clean | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["gloo from a worker", "False"]
    assert (tmp_path / ".ray" / "auth_token").exists() == token


def test_an_address_without_a_cluster_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"RAY_ADDRESS=127\.0\.0\.1:1"), connect(RunSettings()):
        pass


@pytest.mark.parametrize(
    ("gpu", "gpus", "expected"),
    [
        ("auto", 0, Placement(1, 0, "gloo")),
        ("auto", 4, Placement(1, 1, "nccl")),
        ("auto", 1, Placement(1, 0.25, "gloo")),
        ("auto", 3, Placement(1, 0.5, "gloo")),
        ("no", 4, Placement(1, 0, "gloo")),
        ("yes", 1, Placement(1, 1, "nccl")),
    ],
)
def test_workers_get_a_gpu_each_or_share_those_there_are(gpu: str, gpus: int, expected: Placement) -> None:
    assert share_gpus(RunSettings.model_validate({"workers": 4, "gpu": gpu}), gpus) == expected
