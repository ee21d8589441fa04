"""Ray's State API, with which Ray Train finds out that the driver of a stopped trial is gone, and frees its workers."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import ray
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

from cluster.errors import ClusterError

START_SECONDS = 60.0
"""What a dashboard that has just been started may take."""


@contextlib.contextmanager
def own_state_api() -> Iterator[None]:
    """Let a Ray that is started inside be found by its own processes, also where another one runs on the machine.

    They look for the State API of the one Ray that runs here, and fail where there are two. So the port of this
    one's head is chosen beforehand, and its processes inherit the address. Nothing is done where a cluster is joined.
    """
    if os.environ.get("RAY_ADDRESS", "") not in ("", "local"):
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    own = {"RAY_GCS_SERVER_PORT": port, "RAY_API_SERVER_ADDRESS": f"127.0.0.1:{port}"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check_state_api() -> None:
    """Raise ClusterError where Ray's State API does not answer.

    Without it the workers of stopped trials would keep their resources and the sweep would wait for ever.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            list_actors(ray.get_runtime_context().gcs_address, limit=1, timeout=5)
        except (RayStateApiException, OSError) as error:
            # A dashboard that has just been started takes some seconds.
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Ray's State API does not answer ({str(error).splitlines()[0]}), and stopped trials would keep "
                    "their workers for ever: start the head with --include-dashboard=true and look whether it is alive"
                ) from None
            time.sleep(1)
        else:
            return
