"""What the manifests start, started: their pods on hosts of their own, the job submitted as the operator submits it.

Left to a real cluster: scheduling, storage classes, the operator itself, the policies' enforcement, GPUs.
"""

import copy
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.network import Network, ip, why_not
from tests.k8s.kuberay import head_pod, worker_pod
from tests.k8s.local_pod import LocalPod, answer
from tests.k8s.manifests import Object, environment, ray_cluster_specs, ray_container, render, the
from tests.processes import finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ENDLESS = 1_000_000
TINY = " ".join(
    [
        *("data.image_size=[32,32]", "data.persons_per_batch=4", "data.images_per_person=2"),
        *("data.synthetic.persons=16", "data.synthetic.pictures=2", "backbone.image_size=[48,24]"),
        *("translator.width=4", "discriminator.width=4", "stages.feature_warmup=2", "stages.pixel_warmup=2"),
        *("train.report_every=1", "checkpoint.every=1000000", "evaluation.before_training=false"),
    ]
)
"""Added to the entrypoint, so that an iteration takes a moment. The last word on a key holds."""


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

    def submit_training(self, iterations: int) -> None:
        """Submit the job's entrypoint as the operator does in HTTPMode, with few and small pictures."""
        entrypoint = f"{self.job['spec']['entrypoint']} {TINY} train.iterations={iterations}"
        self.submission = self.ask("/api/jobs/", {"entrypoint": entrypoint})["submission_id"]

    def status(self) -> str:
        return self.ask(f"/api/jobs/{self.submission}")["status"]

    def has(self, kind: str, iteration: int = 0) -> bool:
        """Return whether the run has a record of a kind beyond an iteration; fails where the job has ended."""
        assert self.status() in ("PENDING", "RUNNING"), self.log()
        return any(record["iteration"] > iteration for record in self.records(kind))

    def log(self) -> str:
        return self.ask(f"/api/jobs/{self.submission}/logs")["logs"]

    def records(self, kind: str) -> list[dict[str, Any]]:
        file = self.claims["aligngan-runs"] / "demo" / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def wait(holds: Callable[[], bool], pod: LocalPod | None = None, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if pod is not None and pod.process.poll() is not None:
            raise AssertionError(f"the pod ended: {finish(pod.process)}")
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The cluster of the job that `kubectl apply -k k8s/overlays/dev/train` makes, its data prepared."""
    if reason := why_not():
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    directory.chmod(0o755)
    try:
        with Network(directory) as network:
            cluster = Cluster(network, the(render("dev/train"), "RayJob"))
            preparation = copy.deepcopy(the(render("dev"), "Job", "prepare-data")["spec"]["template"])
            preparation["spec"]["containers"][0]["args"][0] += " --persons 16 --pictures 2"
            head = head_pod(cluster.spec, cluster.name)
            cluster.start_ready("head", head)
            status, out, err = finish(cluster.start("prepare", preparation).process)
            assert status == 0, out + err
            for name in ("w1", "w2"):
                cluster.worker(name)
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_the_dashboard_answers_only_with_the_clusters_token(cluster: Cluster) -> None:
    host = cluster.network.hosts["w1"]
    assert answer(host, f"{cluster.address}/api/jobs/", None)[0] == 401
    assert answer(host, f"{cluster.address}/api/jobs/", "wrong")[0] == 403
    assert answer(host, f"{cluster.address}/api/jobs/", cluster.token)[0] == 200


def test_pods_write_nowhere_but_where_volumes_are(cluster: Cluster) -> None:
    for pod in (cluster.pods["head"], cluster.pods["w1"]):
        status = Path(f"/proc/{pod.main_process()}/status").read_text(encoding="utf-8")
        assert set(re.findall(r"^Uid:(.*)$", status, re.MULTILINE)) == {"\t10001" * 4}
        assert set(re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE)) == {"0" * 16}, "no capabilities"
        script = "touch /runs/written /tmp/written; touch /written /data/written"
        _, _, err = finish(pod.run("bash", "-c", script))
        assert err.count("Read-only file system") == 2, err


def test_prometheus_reads_every_node_without_the_token(cluster: Cluster) -> None:
    for name in ("head", "w1", "w2"):
        host = cluster.network.hosts[name]
        url = f"http://{host.address}:8080/metrics"
        wait(lambda host=host, url=url: "ray_node_mem_used" in answer(host, url, None)[1])  # type: ignore[misc]


def test_a_job_that_is_stopped_makes_a_last_checkpoint_in_the_time_that_the_manifests_give(cluster: Cluster) -> None:
    cluster.submit_training(ENDLESS)
    wait(lambda: cluster.has("train", 10))
    asked = time.monotonic()
    cluster.ask(f"/api/jobs/{cluster.submission}/stop", {})
    wait(lambda: cluster.status() == "STOPPED")
    head = environment(ray_container(cluster.spec["headGroupSpec"]))
    assert time.monotonic() - asked < float(head["RAY_JOB_STOP_WAIT_TIME_S"]), "it ended by itself"
    last = cluster.records("train")[-1]["iteration"]
    assert cluster.records("checkpoint")[-1]["iteration"] == last
    assert f"stopped by SIGTERM, with a checkpoint of iteration {last}" in cluster.log()


def test_the_job_goes_on_and_loses_nothing_when_a_preemptible_worker_is_evicted(cluster: Cluster) -> None:
    last = cluster.records("train")[-1]["iteration"]
    cluster.submit_training(ENDLESS)
    wait(lambda: cluster.has("train", last + 10))
    # The kubelet's SIGTERM goes to the first process, which has to be `ray start` and not KubeRay's shell around it.
    evicted = cluster.pods["w2"]
    assert evicted.terminate() in (0, 1), finish(evicted.process)
    cluster.worker("w3")
    wait(lambda: cluster.has("recovery"))
    (recovery,) = cluster.records("recovery")
    assert recovery["lost_iterations"] == 0
    wait(lambda: cluster.has("train", recovery["iteration"] + 3))
    iterations = [record["iteration"] for record in cluster.records("train")]
    assert iterations == list(range(1, iterations[-1] + 1)), "none lost, none done twice, over a stop and an eviction"
    cluster.ask(f"/api/jobs/{cluster.submission}/stop", {})
    wait(lambda: cluster.status() == "STOPPED")


def test_the_same_job_run_to_its_end_prints_and_keeps_its_scores(cluster: Cluster) -> None:
    last = cluster.records("train")[-1]["iteration"]
    cluster.submit_training(last + 3)
    wait(lambda: cluster.status() not in ("PENDING", "RUNNING"))
    assert cluster.status() == "SUCCEEDED", cluster.log()
    assert "run folder: /runs/demo (resumed)" in cluster.log()
    assert "all-search, single-shot: Rank-1" in cluster.log()
    assert (cluster.claims["aligngan-runs"] / "demo" / "scores.json").exists()
