"""What a worker's process needs before torch.distributed starts in it."""

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

import ray.util
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

from cluster.interruption import heed_sigterm

SIOCGIFADDR = 0x8915


@dataclass
class ProcessGroupConfig(TorchConfig):
    """TorchConfig for nodes whose host name resolves to the loopback address, and workers that heed SIGTERM."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """Ray Train's torch backend with the preparation of each process before."""
        return _PreparedBackend


class _PreparedBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(prepare_process)
        super().on_start(worker_group, backend_config)


def prepare_process() -> None:
    """Take SIGTERM as a notice, and let gloo use the interface that Ray uses; runs in a worker's main thread."""
    heed_sigterm()
    interface = interface_of(ray.util.get_node_ip_address())
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


def interface_of(address: str) -> str | None:
    """Return the name of the network interface with an IPv4 address, or None where no interface has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without an IPv4 address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
