"""Machines of their own for Ray's nodes: network namespaces joined by a bridge, which lives in a namespace too."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.processes import SECONDS, end, finish, start

RAY = str(Path(sys.executable).with_name("ray"))
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
DRAIN_SECONDS = 12


def why_not() -> str | None:
    """Return why this machine cannot have network namespaces, or None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"agp{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    veth = subprocess.run(
        ["ip", "-n", probe, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"],
        capture_output=True,
        text=True,
    )
    ip("netns", "del", probe)
    return f"no virtual network devices: {veth.stderr.strip()}" if veth.returncode else None


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Host:
    """One machine: a namespace with an address of its own."""

    def __init__(self, network: "Network", name: str, number: int) -> None:
        self.network, self.name = network, name
        self.namespace = f"{network.prefix}-{name}"
        self.address = f"10.77.0.{number}"
        self.device = f"v-{name}"
        self.processes: list[subprocess.Popen[str]] = []
        switch = network.switch
        ip("netns", "add", self.namespace)
        ip("link", "add", self.device, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        ip("-n", switch, "link", "set", self.device, "master", "br0", "up")
        ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("eth0", "lo"):
            ip("-n", self.namespace, "link", "set", link, "up")

    def run(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command on this machine."""
        process = start(["ip", "netns", "exec", self.namespace, *command], **ENVIRONMENT, **environment)
        self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        return [int(pid) for pid in ip("netns", "pids", self.namespace).split()]

    def workers(self) -> list[int]:
        """Processes of training workers on this machine."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def cut(self) -> None:
        ip("-n", self.network.switch, "link", "set", self.device, "down")

    def mend(self) -> None:
        ip("-n", self.network.switch, "link", "set", self.device, "up")

    def kill(self) -> None:
        """Take the machine away without notice."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            end(process)


class Network:
    """Machines and the bridge between them; a context manager that leaves nothing behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.prefix = f"ag{os.getpid()}"
        self.switch = f"{self.prefix}-sw"
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> "Network":
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        for link in ("br0", "lo"):
            ip("-n", self.switch, "link", "set", link, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            host.kill()
            ip("netns", "del", host.namespace)
        ip("netns", "del", self.switch)

    def host(self, name: str) -> Host:
        self.hosts[name] = Host(self, name, len(self.hosts) + 1)
        return self.hosts[name]

    def head(self) -> Host:
        """Start Ray's head on a new machine; no worker is placed there."""
        host = self.host("head")
        host.run(
            *(RAY, "start", "--head", "--block", f"--node-ip-address={host.address}", "--port=6379", "--num-cpus=0"),
            *("--dashboard-host=0.0.0.0", "--object-store-memory=100000000", f"--temp-dir={self.directory}/head"),
        )
        wait_until(lambda: self.nodes() is not None, host)
        return host

    def node(self, name: str, private: Path | None = None) -> Host:
        """Start a Ray node with one CPU on a new machine.

        Args:
            private: folder in whose place this machine has one of its own.
        """
        host = self.host(name)
        joined = f"exec {RAY} start --block --address={self.hosts['head'].address}:6379 --num-cpus=1"
        joined += f" --node-ip-address={host.address} --temp-dir={self.directory}/{name}"
        joined += " --object-store-memory=100000000"
        if private is not None:
            joined = f"mount -t tmpfs tmpfs {private} && {joined}"
        host.run("bash", "-c", joined, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=str(DRAIN_SECONDS))
        wait_until(lambda: host.address in (self.nodes() or {}).values(), host)
        return host

    def nodes(self) -> dict[str, str] | None:
        """Return the addresses of the nodes that Ray holds for alive, by their id, or None before it answers."""
        url = "http://10.77.0.1:8265/api/v0/nodes"
        ask = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=10).read().decode())"
        command = ["ip", "netns", "exec", self.hosts["head"].namespace, sys.executable, "-c", ask]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return None
        listed = json.loads(done.stdout)["data"]["result"]["result"]
        return {node["node_id"]: node["node_ip"] for node in listed if node["state"] == "ALIVE"}

    def job(self, laptop: Host, *arguments: str) -> "subprocess.Popen[str]":
        """Run `ray job` on a machine that is no node of the cluster."""
        head = self.hosts["head"].address
        return laptop.run(RAY, "job", *arguments, RAY_API_SERVER_ADDRESS=f"http://{head}:8265")


def wait_until(holds: Callable[[], bool], host: Host | None = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if host is not None and (status := host.processes[-1].poll()) is not None:
            raise AssertionError(f"ended with {status}: {finish(host.processes[-1])}")
        assert time.monotonic() < deadline
        time.sleep(0.2)
