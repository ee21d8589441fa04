"""What several rooms' tests share."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.config import SyntheticSettings
from loaders.synthetic import make
from tests.processes import end, free_port, start, wait_for_jobs


@pytest.fixture(scope="session")
def small_synthetic(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that name a synthetic set of a few persons, made once."""
    root: Path = tmp_path_factory.mktemp("synthetic") / "set"
    settings = SyntheticSettings(persons=16, pictures=2, seed=1)
    make(str(root), settings)
    return [f"data.root={root}", *(f"data.synthetic.{key}={value}" for key, value in settings.model_dump().items())]


@pytest.fixture(scope="session")
def head() -> Iterator[dict[str, str]]:
    """A Ray cluster of one node that jobs are submitted to; yields the environment of its clients."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as directory:
        port, dashboard, agent = (free_port() for _ in range(3))
        environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        ray = str(Path(sys.executable).with_name("ray"))
        command = [
            *(ray, "start", "--head", "--block", "--num-cpus=3", f"--port={port}", f"--temp-dir={directory}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
            "--object-store-memory=150000000",
        ]
        process = start(command, **environment)
        client = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        try:
            wait_for_jobs(client, process)
            yield client
        finally:
            end(process)
