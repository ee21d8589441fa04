"""A pod of the manifests as processes of this machine, with what the container runtime would give it.

Its first container's command, arguments and environment are taken as they are. It runs as the user that the manifests
name, without capabilities, in a process namespace of its own, on a read-only root: this machine's files stand in for
the image. Empty directories are memory of their size, claims are folders, names of services come from
/etc/hosts, and the network is that of a host made by tests/cluster/network.py.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster.network import Host
from tests.k8s.manifests import ROOT, Object
from tests.k8s.quantities import number

WORKING_DIRECTORY = "/home/aligngan"
"""WORKDIR and HOME of the image."""


class LocalPod:
    """A running pod.

    Args:
        pod: as Kubernetes would get it.
        host: machine whose network it has.
        directory: an empty folder for its own use.
        claims: folder of each claim.
        names: address of each service.
        secret: value of every key of every secret.
    """

    def __init__(
        self, pod: Object, host: Host, directory: Path, claims: dict[str, Path], names: dict[str, str], secret: str
    ) -> None:
        self.pod, self.host = pod, host
        self._shared = pod["spec"].get("shareProcessNamespace", False)
        container = pod["spec"]["containers"][0]
        self.environment = {entry["name"]: entry.get("value", secret) for entry in container.get("env", [])} | {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": WORKING_DIRECTORY,
        }
        root = directory / "root"
        command = [*container["command"], *container.get("args", [])]
        script = [
            "set -eu",
            *_image(root, directory),
            f"printf '%s\\n' {shlex.quote(_hosts(names))} >> {root}/etc/hosts",
            # Nobody answers for other names, and at once.
            f"rm -f {root}/etc/resolv.conf; echo nameserver 127.0.0.1 > {root}/etc/resolv.conf",
            *_mounts(root, pod, claims),
            # The folders that stand in for the image where a memory disk hides them.
            *_kept(root),
            f"mount -o remount,ro {root}" if container["securityContext"]["readOnlyRootFilesystem"] else "true",
            # What stands for the sandbox's process 1 takes leave of processes whose parents are gone.
            f"chroot {root} {shlex.join(self._as_user(command))} & wait $!"
            if self._shared
            else f"exec chroot {root} {shlex.join(self._as_user(command))}",
        ]
        self.process = host.run(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", "\n".join(script)),
        )

    def run(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in the pod, as `kubectl exec` does."""
        return self.host.run("nsenter", "-t", str(self.main_process()), "-m", "-p", "-r", *self._as_user([*command]))

    def main_process(self) -> int:
        """Return the container's first process, which gets the kubelet's signals, by its number on this machine."""
        first = _children(self.process.pid)[0]
        return _children(first)[0] if self._shared else first

    def terminate(self) -> int:
        """Send SIGTERM as the kubelet does, and SIGKILL after the grace period; return the exit status.

        Raises:
            subprocess.TimeoutExpired: where the grace period was not enough.
        """
        main = self.main_process()
        os.kill(main, signal.SIGTERM)
        try:
            return self.process.wait(timeout=self.pod["spec"]["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            os.kill(main, signal.SIGKILL)
            raise

    def _as_user(self, command: list[str]) -> list[str]:
        context = self.pod["spec"]["securityContext"]
        user = [f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}", "--clear-groups"]
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        return [
            *("setpriv", *user, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
            *("env", "-i", f"--chdir={WORKING_DIRECTORY}", *assignments, *command),
        ]


def _children(pid: int) -> list[int]:
    """The children of a process, the oldest first."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def _image(root: Path, directory: Path) -> list[str]:
    layer = directory / "layer"
    return [
        "mount --make-rprivate /",
        f"mkdir -p {root} {layer} && mount -t tmpfs tmpfs {layer} && mkdir {layer}/upper {layer}/work",
        f"mount -t overlay overlay -o lowerdir=/,upperdir={layer}/upper,workdir={layer}/work {root}",
        f"chmod 755 {root}/root",
        f"mount -t proc proc {root}/proc && mount --rbind /sys {root}/sys && mount --rbind /dev {root}/dev",
        f"mkdir -p {root}{WORKING_DIRECTORY}",
    ]


def _mounts(root: Path, pod: Object, claims: dict[str, Path]) -> list[str]:
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    lines = []
    for mount in pod["spec"]["containers"][0]["volumeMounts"]:
        volume, target = volumes[mount["name"]], f"{root}{mount['mountPath']}"
        lines.append(f"mkdir -p {target}")
        if "emptyDir" in volume:
            size = int(number(volume["emptyDir"]["sizeLimit"]))
            lines.append(f"mount -t tmpfs -o size={size},mode=1777 tmpfs {target}")
        else:
            claim = volume["persistentVolumeClaim"]
            lines.append(f"mount --bind {claims[claim['claimName']]} {target}")
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,ro,bind {target}")
    return lines


def _kept(root: Path) -> list[str]:
    # An environment made by venv leads to the interpreter that made it.
    kept = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], ROOT}
    return [f"mkdir -p {root}{path} && mount --bind {path} {root}{path}" for path in sorted(kept)]


def _hosts(names: dict[str, str]) -> str:
    return "\n".join(f"{address} {name}" for name, address in names.items())


def answer(host: Host, url: str, token: str | None, body: Object | None = None) -> tuple[int, str]:
    """Ask a server inside a host's network as the operator's client does; returns the status and the answer."""
    ask = (
        "import json, sys, urllib.request as u, urllib.error as e\n"
        "url, token, body = json.load(sys.stdin)\n"
        "request = u.Request(url, data=None if body is None else json.dumps(body).encode())\n"
        "request.add_header('Content-Type', 'application/json')\n"
        "token and request.add_header('x-ray-authorization', f'Bearer {token}')\n"
        "try: answer = u.urlopen(request, timeout=60)\n"
        "except e.HTTPError as error: answer = error\n"
        "except OSError: print(json.dumps([0, ''])); sys.exit()\n"
        "print(json.dumps([answer.status, answer.read().decode()]))\n"
    )
    done = subprocess.run(
        ["ip", "netns", "exec", host.namespace, sys.executable, "-c", ask],
        input=json.dumps([url, token, body]), capture_output=True, text=True, check=True, timeout=90,
    )  # fmt: skip
    status, text = json.loads(done.stdout)
    return status, text
