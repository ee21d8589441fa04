"""Ray's own autoscaler brings the nodes that a training asks for; its provider makes them on this machine."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.config import RunSettings
from cluster.connection import Placement, share_gpus
from cluster.errors import NotEnoughResources
from cluster.folder import RunFolder
from cluster.progress import read_metrics
from tests.processes import end, finish, free_port, start, wait_for_jobs

HEAD = "f" * 51 + "00000"
"""Name that the provider of nodes on one machine has for the head."""
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
MOST = 2
"""Workers' nodes of one CPU each that the autoscaler may make; the head has none."""


@pytest.fixture(scope="module")
def autoscaled() -> Iterator[dict[str, str]]:
    """A head without CPUs and the autoscaler; yields the environment of its clients."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as directory:
        port, dashboard, agent = (free_port() for _ in range(3))
        scaling = {
            "cluster_name": "fake_multinode",
            "max_workers": MOST,
            "idle_timeout_minutes": 10,
            "upscaling_speed": 10,
            **{f"{which}setup_commands": [] for which in ("", "head_", "worker_")},
            **{"initialization_commands": [], "file_mounts": {}, "cluster_synced_files": [], "auth": {}, "docker": {}},
            **{"head_start_ray_commands": [], "worker_start_ray_commands": []},
            "provider": {
                **{"type": "external", "module": PROVIDER, "head_node_id": HEAD, "launch_multiple": True},
                "gcs_address": f"{node_address()}:{port}",
            },
            "head_node_type": "ray.head.default",
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "worker": {
                    "resources": {"CPU": 1, "object_store_memory": 100_000_000},
                    "node_config": {},
                    **{"min_workers": 0, "max_workers": MOST},
                },
            },
        }
        Path(directory, "autoscaling.yaml").write_text(yaml.safe_dump(scaling), encoding="utf-8")
        environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        command = [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=0"),
            *(f"--port={port}", f"--temp-dir={directory}/head", f"--dashboard-port={dashboard}"),
            *(f"--dashboard-agent-listen-port={agent}", "--dashboard-host=127.0.0.1"),
            *("--object-store-memory=100000000", f"--autoscaling-config={directory}/autoscaling.yaml"),
        ]
        provider = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_CLOUD_INSTANCE_ID": HEAD}
        process = start(
            command, **environment, **provider, RAY_enable_autoscaler_v2="1", RAY_OVERRIDE_NODE_ID_FOR_TESTING=HEAD
        )
        client = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        try:
            wait_for_jobs(client, process)
            yield environment | {"RAY_ADDRESS": f"{node_address()}:{port}"}
        finally:
            end(process)


@pytest.mark.slow
def test_a_training_asks_the_autoscaler_for_nodes_that_are_not_there(
    autoscaled: dict[str, str], tmp_path: Path
) -> None:
    status, out, err = finish(start([*toy(tmp_path, "grown"), "workers=2", "autoscaler=true"], **autoscaled))
    assert status == 0, out + err
    assert "there are not enough nodes for 2 workers now" in err
    assert read_metrics(RunFolder(f"{tmp_path}/grown"))[-1]["iteration"] == 8


@pytest.mark.slow
def test_the_doctor_says_that_nodes_would_have_to_come(autoscaled: dict[str, str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "cluster.doctor",
        "--storage",
        str(tmp_path),
        "--workers=9",
        "--gpu=no",
        "--autoscaler",
    ]
    status, out, err = finish(start(command, **autoscaled))
    assert status == 0, out + err
    assert "the workers do not fit now: a training asks the autoscaler" in " ".join(out.split())


@pytest.mark.slow
def test_what_the_autoscaler_does_not_bring_is_not_waited_for_without_end(
    autoscaled: dict[str, str], tmp_path: Path
) -> None:
    status, out, err = finish(
        start([*toy(tmp_path, "large"), "workers=3", "start_timeout=5", "autoscaler=true"], **autoscaled)
    )
    assert status == 1, out + err
    assert err.count("the workers did not start (attempt") == 2
    assert "failed: " in err


@pytest.mark.slow
def test_without_being_told_of_the_autoscaler_a_run_is_refused_with_the_remedy(
    autoscaled: dict[str, str], tmp_path: Path
) -> None:
    status, _, err = finish(start([*toy(tmp_path, "refused"), "workers=9"], **autoscaled))
    assert status == 1
    assert "9 workers with 1 CPU each do not fit" in err
    assert "set run.autoscaler=true" in err


@pytest.mark.slow
def test_an_elastic_run_does_not_wait_without_end_either(autoscaled: dict[str, str], tmp_path: Path) -> None:
    command = [*toy(tmp_path, "elastic"), "workers=9:10", "start_timeout=2", "autoscaler=true"]
    status, _, err = finish(start(command, **autoscaled))
    assert status == 1
    assert "no room for 9 workers in 6 s" in err


def test_workers_that_an_autoscaler_brings_have_a_gpu_each() -> None:
    run = RunSettings.model_validate({"workers": 4, "gpu": "auto", "autoscaler": True})
    assert share_gpus(run, 1) == Placement(1, 1, "nccl")
    with pytest.raises(NotEnoughResources, match=r"set run\.gpu=yes or run\.gpu=no"):
        share_gpus(run, 0)


def toy(storage: Path, name: str) -> list[str]:
    return [sys.executable, "-m", "tests.cluster.toy", str(storage), name]


def node_address() -> str:
    from ray._private.services import get_node_ip_address

    return get_node_ip_address()
