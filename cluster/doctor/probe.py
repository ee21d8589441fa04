"""What one node says about itself, and what nodes measure between them; runs on the nodes, as Ray actors."""

import importlib.metadata
import os
import platform
import shutil
import socket
import tempfile
import time
from datetime import timedelta
from typing import Any

import ray

from cluster.backend import prepare_process
from cluster.folder import RunFolder

PACKAGES = ("ray", "torch", "torchvision", "numpy", "pyarrow")
PROJECT = "this project"
WRITTEN_BYTES = 16 * 1024 * 1024
REDUCED_BYTES = 32 * 1024 * 1024
ROUNDS = 5
COLLECTIVE_TIMEOUT = 60

Facts = dict[str, Any]


class Probe:
    """One process on one node; made a Ray actor where it is placed."""

    def facts(self) -> Facts:
        """Return versions, free space and devices of the node."""
        return {
            "host": socket.gethostname(),
            "address": ray.util.get_node_ip_address(),
            "versions": {
                "python": platform.python_version(),
                **{name: _version(name) for name in PACKAGES},
                PROJECT: _own_version(),
            },
            "cores": len(os.sched_getaffinity(0)),
            "disk_free": shutil.disk_usage(tempfile.gettempdir()).free,
            "shared_memory_free": shutil.disk_usage("/dev/shm").free,  # noqa: S108 - where Ray's and DALI's memory is
            "memory_available": _memory_available(),
            "gpus": _gpus(),
        }

    def now(self) -> float:
        """Return this node's clock in seconds since the epoch."""
        return time.time()

    def see(self, location: str, name: str, mark: bytes) -> Facts:
        """Say whether the node sees the driver's mark in the storage, and whether and how fast it can write there.

        Args:
            location: the storage's folder.
            name: file that the driver wrote; this node writes another beside it.
            mark: the file's content.

        Returns:
            `sees`, `writes` (the name of the file written, or None), `bytes_per_second` and `error`.
        """
        answer: Facts = {"sees": False, "writes": None, "bytes_per_second": 0.0, "error": ""}
        try:
            folder = RunFolder(location)
            answer["sees"] = folder.exists(name) and folder.read_bytes(name) == mark
            own = f"{name}-{ray.get_runtime_context().get_node_id()}"
            began = time.perf_counter()
            folder.write_bytes(own, os.urandom(WRITTEN_BYTES))
            answer |= {"writes": own, "bytes_per_second": WRITTEN_BYTES / (time.perf_counter() - began)}
        except OSError as error:
            answer["error"] = str(error)
        return answer

    def forget(self, location: str, name: str) -> None:
        """Delete a file that this node wrote into the storage."""
        RunFolder(location).delete(name)

    def open_port(self) -> tuple[str, int]:
        """Return this node's address and a free port on it, where the others meet."""
        with socket.socket() as listener:
            listener.bind(("", 0))
            return ray.util.get_node_ip_address(), listener.getsockname()[1]

    def measure(self, backend: str, meeting: tuple[str, int], rank: int, world: int) -> Facts:
        """Join a process group and time what a training does most: all-reduce, and one message to the next rank.

        Returns:
            `reduced`, bytes/s that the all-reduce moves through each link (bus bandwidth), and `to_next`, bytes/s
            from this rank to the next.
        """
        import torch
        import torch.distributed as dist

        prepare_process()
        host, port = meeting
        device = torch.device("cuda", 0) if backend == "nccl" else torch.device("cpu")
        dist.init_process_group(
            backend,
            init_method=f"tcp://{host}:{port}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=COLLECTIVE_TIMEOUT),
        )
        try:
            payload = torch.ones(REDUCED_BYTES // 4, device=device)
            dist.all_reduce(payload)
            seconds = _timed(lambda: dist.all_reduce(payload), device, ROUNDS)
            moved = 2 * (world - 1) / world * REDUCED_BYTES
            return {"reduced": moved / seconds, "to_next": _to_next(payload, device, rank, world)}
        finally:
            dist.destroy_process_group()


def _to_next(payload: Any, device: Any, rank: int, world: int) -> float:
    """Bytes/s from this rank to the next; the ranks take turns, so that links do not share a node's interface."""
    import torch.distributed as dist

    speed = 0.0
    for sender in range(world):
        receiver = (sender + 1) % world
        dist.barrier()
        if rank == sender:
            speed = REDUCED_BYTES / _timed(lambda to=receiver: dist.send(payload, to), device, 2)
        elif rank == receiver:
            _timed(lambda of=sender: dist.recv(payload, of), device, 2)
    return speed


def _timed(operation: Any, device: Any, rounds: int) -> float:
    import torch

    began = time.perf_counter()
    for _ in range(rounds):
        operation()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / rounds


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _own_version() -> str:
    owners = importlib.metadata.packages_distributions().get(__name__.partition(".")[0])
    return _version(owners[0]) if owners else "the job's files"


def _memory_available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        found = dict(line.split(":") for line in file)
    return int(found["MemAvailable"].split()[0]) * 1024


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
