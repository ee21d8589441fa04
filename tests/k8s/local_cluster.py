"""The pods of a RayJob on hosts of their own, started as the KubeRay operator would and spoken to as it does."""

import json
import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.network import Network, ip
from tests.k8s.kuberay import worker_pod
from tests.k8s.local_pod import LocalPod, answer
from tests.k8s.manifests import Object, environment, ray_cluster_specs, ray_container, render
from tests.processes import finish


class Cluster:
    """The pods of a RayJob, as the operator would start them."""

    def __init__(self, network: Network, job: Object) -> None:
        self.network, self.job = network, job
        self.name, self.token = f"{job['metadata']['name']}-x7k2p", secrets.token_hex(32)
        self.spec = job["spec"]["rayClusterSpec"]
        self.claims = {name: network.directory / name for name in ("aligngan-data", "aligngan-runs")}
        for folder in self.claims.values():
            folder.mkdir()
            os.chown(folder, 10001, 10001)
        self.pods: dict[str, LocalPod] = {}
        self.submission = ""

    @property
    def address(self) -> str:
        return f"http://{self.network.hosts['head'].address}:8265"

    def start(self, name: str, pod: Object) -> LocalPod:
        host = self.network.host(name)
        ip("-n", host.namespace, "route", "add", "default", "dev", "eth0")
        names = {"localhost": "127.0.0.1", name: host.address}
        names[f"{self.name}-head-svc.aligngan.svc.cluster.local"] = self.network.hosts["head"].address
        folder = self.network.directory / name
        folder.mkdir()
        self.pods[name] = LocalPod(pod, host, folder, self.claims, names, self.token)
        return self.pods[name]

    def start_ready(self, name: str, pod: Object) -> LocalPod:
        """Start a pod and wait until the readiness probe passes that the operator gives it."""
        started = self.start(name, pod)
        probe = pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        url = f"http://{started.host.address}:{probe['port']}{probe['path']}"
        wait(lambda: answer(started.host, url, None)[0] == 200, started)
        return started

    def worker(self, name: str) -> LocalPod:
        """Start a worker, with the shorter notice that the manifests give to preemptible ones."""
        (group,) = self.spec["workerGroupSpecs"]
        pod, notice = worker_pod(self.spec, group, self.name), "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
        (spec,) = ray_cluster_specs(render("gpu"))
        (spot,) = (group for group in spec["workerGroupSpecs"] if group["groupName"] == "gpu-spot")
        pod["spec"]["terminationGracePeriodSeconds"] = spot["template"]["spec"]["terminationGracePeriodSeconds"]
        for entry in pod["spec"]["containers"][0]["env"]:
            if entry["name"] == notice:
                entry["value"] = environment(ray_container(spot))[notice]
        return self.start_ready(name, pod)

    def ask(self, path: str, body: Object | None = None) -> Object:
        status, found = answer(self.network.hosts["head"], f"{self.address}{path}", self.token, body)
        assert status == 200, found
        return json.loads(found)

    def submit(self, entrypoint: str) -> None:
        """Submit a job as the operator does in HTTPMode."""
        self.submission = self.ask("/api/jobs/", {"entrypoint": entrypoint})["submission_id"]

    def status(self) -> str:
        return self.ask(f"/api/jobs/{self.submission}")["status"]

    def has(self, kind: str, iteration: int = 0, run: str = "demo") -> bool:
        """Return whether a run has a record of a kind beyond an iteration; fails where the job has ended."""
        assert self.status() in ("PENDING", "RUNNING"), self.log()
        return any(record["iteration"] > iteration for record in self.records(kind, run))

    def succeeds(self) -> None:
        """Wait until the job has ended; fails where it did not end well."""
        wait(lambda: self.status() not in ("PENDING", "RUNNING"), seconds=240)
        assert self.status() == "SUCCEEDED", self.log()

    def log(self) -> str:
        return self.ask(f"/api/jobs/{self.submission}/logs")["logs"]

    def records(self, kind: str, run: str = "demo") -> list[dict[str, Any]]:
        file = self.claims["aligngan-runs"] / run / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def wait(holds: Callable[[], bool], pod: LocalPod | None = None, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if pod is not None and pod.process.poll() is not None:
            raise AssertionError(f"the pod ended: {finish(pod.process)}")
        assert time.monotonic() < deadline
        time.sleep(0.5)
