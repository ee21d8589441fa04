"""What the manifests start, started: their pods on hosts of their own, the job submitted as the operator submits it.

Left to a real cluster: scheduling, storage classes, the operator itself, the policies' enforcement, GPUs.
"""

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.network import Host, Network, why_not
from tests.k8s.kuberay import head_pod
from tests.k8s.local_cluster import Cluster, wait
from tests.k8s.local_pod import answer
from tests.k8s.manifests import ROOT, environment, ray_container, render, the
from tests.processes import finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

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
DRIVER_LOG = "/tmp/ray/session_latest/logs/job-driver-*.log"
TWO_POINTS = {"search": "one-at-a-time", "space": {"loss.lambda_id_pix": [0.1, 1.0]}}


def training(iterations: int) -> str:
    """Return the entrypoint of the training, made small."""
    return f"{the(render('dev/train'), 'RayJob')['spec']['entrypoint']} {TINY} train.iterations={iterations}"


def sweep(space: str, iterations: int) -> str:
    """Return the entrypoint of the sweep over the points of a file, made small."""
    entrypoint = the(render("dev/sweep"), "RayJob")["spec"]["entrypoint"].replace("--space demo", f"--space {space}")
    return f"{entrypoint} {TINY} train.iterations={iterations} checkpoint.every=10"


def kill(host: Host, words: bytes) -> None:
    """Kill the processes of a host that have these words in their command, without notice."""
    for pid in host.pids():
        with contextlib.suppress(OSError):
            if words in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "):
                os.kill(pid, signal.SIGKILL)


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


def test_every_port_that_the_manifests_name_is_listened_on(cluster: Cluster) -> None:
    """The network policies and the monitors speak of these ports."""
    for name in ("head", "w1"):
        for port in cluster.pods[name].pod["spec"]["containers"][0]["ports"]:
            place = f"/dev/tcp/{cluster.network.hosts[name].address}/{port['containerPort']}"
            status, _, err = finish(cluster.network.hosts["w2"].run("timeout", "10", "bash", "-c", f": <> {place}"))
            assert status == 0, f"{name}: {port}: {err}"


def test_a_worker_waits_for_the_head_as_the_operator_lets_it(cluster: Cluster) -> None:
    pod = cluster.pods["w1"]
    (waiting,) = pod.pod["spec"]["initContainers"]
    status, out, err = finish(pod.run(*waiting["command"], *waiting["args"]))
    assert status == 0, out + err


def test_the_doctor_says_that_a_training_would_run(cluster: Cluster) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ray job submit -- (python -m cluster\.doctor .*)$", page, re.MULTILINE)
    cluster.submit(command)
    cluster.succeeds()
    assert "a training would run here" in cluster.log()


def test_a_job_that_is_stopped_makes_a_last_checkpoint_in_the_time_that_the_manifests_give(cluster: Cluster) -> None:
    cluster.submit(training(ENDLESS))
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
    cluster.submit(training(ENDLESS))
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
    cluster.submit(training(last + 3))
    cluster.succeeds()
    said = finish(cluster.pods["head"].run("sh", "-c", f"cat {DRIVER_LOG}"))[1]
    assert "run folder: /runs/demo (resumed)" in said, "where docs/kubernetes.md looks for it"
    assert "run folder: /runs/demo (resumed)" in cluster.log()
    assert "all-search, single-shot: Rank-1" in cluster.log()
    assert (cluster.claims["aligngan-runs"] / "demo" / "scores.json").exists()


def test_the_evaluation_finds_the_scores_that_the_training_ended_with(cluster: Cluster) -> None:
    cluster.submit(the(render("dev/evaluate"), "RayJob")["spec"]["entrypoint"])
    cluster.succeeds()
    run = cluster.claims["aligngan-runs"] / "demo"
    (file,) = (run / "evaluated").glob("*/scores.json")
    at_the_end, again = (json.loads(path.read_text(encoding="utf-8")) for path in (run / "scores.json", file))
    assert again["iteration"] == at_the_end["iteration"]
    # The similarities, because a few iterations leave ranks to the last digits.
    assert again["iccs"] == pytest.approx(at_the_end["iccs"], abs=1e-3)
    for found, wanted in zip(again["searches"], at_the_end["searches"], strict=True):
        assert found["mean"] == pytest.approx(wanted["mean"], abs=5), (found["mean"], wanted["mean"])


def test_a_sweep_whose_driver_is_lost_goes_on_when_the_operator_runs_its_job_again(cluster: Cluster) -> None:
    runs = cluster.claims["aligngan-runs"]
    (runs / "two.yaml").write_text(yaml.safe_dump(TWO_POINTS), encoding="utf-8")
    entrypoint = sweep("/runs/two.yaml", 40)
    cluster.submit(entrypoint)
    first, second = (f"sweep/trials/sweep.lambda_id_pix-{value}.seed-0" for value in ("1", "0.1"))
    wait(lambda: cluster.has("checkpoint", run=first))
    kill(cluster.network.hosts["head"], b"tune.sweep")
    wait(lambda: cluster.status() == "FAILED")
    assert "2 workers a trial, room for 2 workers and 16 drivers: 1 at once, the others queue" in cluster.log()
    begun = len(cluster.records("train", first))
    cluster.submit(entrypoint)
    cluster.succeeds()
    trials = json.loads((runs / "sweep" / "trials.json").read_text(encoding="utf-8"))
    assert [trial["status"] for trial in trials] == ["finished", "finished"]
    later = [record["iteration"] for record in cluster.records("train", first)[begun:]]
    assert later[0] > 10, "from its checkpoint"
    assert later[-1] == cluster.records("train", second)[-1]["iteration"] == 40
    assert (runs / "sweep" / "report" / "index.html").exists()


def test_a_cluster_that_is_taken_away_as_a_whole_leaves_a_last_checkpoint(cluster: Cluster) -> None:
    """As when Kueue suspends a job, or somebody deletes it: all pods are told to go at once."""
    cluster.submit(training(ENDLESS))
    begun = cluster.records("train")[-1]["iteration"] if cluster.records("train") else 0
    wait(lambda: cluster.has("train", begun + 10))
    workers = [cluster.pods[name] for name in cluster.pods if re.fullmatch(r"w\d", name)]
    running = [worker for worker in workers if worker.process.poll() is None]
    assert len(running) == 2
    done = cluster.records("train")[-1]["iteration"]
    for pod in (cluster.pods["head"], *running):
        os.kill(pod.main_process(), signal.SIGTERM)
    wait(lambda: all(worker.process.poll() is not None for worker in running))
    assert cluster.records("checkpoint")[-1]["iteration"] >= done
