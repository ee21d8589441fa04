"""Which addresses Prometheus has to ask: every node of every Ray cluster that this machine takes part in.

A cluster with a dashboard lists its nodes itself, at `/api/prometheus/sd`. A Ray that a command started for itself has
no dashboard, so here its nodes are read from where Ray keeps them.
"""

import json
import logging
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 5.0
ALIVE = 0
ADDRESSES_OF_OTHERS = (b"DashboardMetricsAddress", b"AutoscalerMetricsAddress")

logger = logging.getLogger(__name__)


def targets_of(address: str, timeout: float = 5.0) -> list[str]:
    """Return the `host:port` of everything in a Ray cluster that serves metrics; nothing where it does not answer.

    Args:
        address: host and port of the head, as in RAY_ADDRESS.
        timeout: seconds to wait for an answer.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    if not is_reachable(address):  # which Ray's own client takes most of a minute to find out
        return []
    try:
        client = GcsClient(address=address)
        nodes = client.get_all_node_info(timeout=timeout).values()
        others = [client.internal_kv_get(key, None) for key in ADDRESSES_OF_OTHERS]
    except Exception as error:  # a cluster may end at any moment
        logger.info("Ray at %s does not answer: %s", address, error)
        return []
    found = [f"{node.node_manager_address}:{node.metrics_export_port}" for node in nodes if node.state == ALIVE]
    return sorted({*found, *(other.decode() for other in others if other)})


def is_reachable(address: str, timeout: float = 2.0) -> bool:
    """Return whether anything listens at an address, `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout):
            return True
    except (OSError, ValueError):
        return False


def local_clusters() -> list[str]:
    """Return the addresses of the Ray clusters that have a process on this machine."""
    from ray._private import services

    services.find_gcs_addresses.cache_clear()
    return sorted(services.find_gcs_addresses())


def discovered(address: str | None = None) -> list[dict[str, Any]]:
    """Return target groups as Prometheus reads them from files, one for each cluster.

    Args:
        address: the only cluster to list; left out, all that have a process on this machine.
    """
    clusters = [address] if address else local_clusters()
    groups = [(cluster, targets_of(cluster)) for cluster in clusters]
    return [
        {"targets": targets, "labels": {"job": "ray", "ray_io_cluster": cluster}}
        for cluster, targets in groups
        if targets
    ]


class Discovery:
    """Keeps a file of targets up to date in a thread; a context manager.

    Nobody waits for clusters that do not answer: not those who enter it, nor those who leave.
    """

    def __init__(self, file: Path, address: str | None = None) -> None:
        self._file, self._address = file, address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="discovery", daemon=True)

    def __enter__(self) -> "Discovery":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=1)

    def write(self) -> None:
        """Write the targets of this moment, in one step so that Prometheus never reads half a file."""
        content = json.dumps(discovered(self._address), indent=1)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, self._file)

    def _repeat(self) -> None:
        while not self._stop.is_set():
            self.write()
            self._stop.wait(SECONDS)
