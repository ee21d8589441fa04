"""Whether the pods have room for the workers that the jobs ask for, by the numbers of both."""

import copy

import pytest

from cluster.connection import share_gpus
from tests.k8s.entrypoints import run_settings
from tests.k8s.kuberay import ray_start_parameters
from tests.k8s.manifests import JOBS, SIZES, Object, of_kind, ray_container, render, the
from tests.k8s.quantities import number


def ray_nodes(spec: Object) -> list[dict[str, float]]:
    """What each node of the cluster will offer to Ray."""
    nodes = []
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        parameters = ray_start_parameters(spec, group, "name")
        offer: dict[str, float] = {"CPU": float(parameters["num-cpus"]), "GPU": float(parameters.get("num-gpus", 0))}
        nodes += [dict(offer) for _ in range(group.get("replicas", 1))]
    return nodes


def pods_requests(spec: Object) -> dict[str, float]:
    """What all pods of the cluster ask Kubernetes for."""
    total: dict[str, float] = {}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        for name, quantity in ray_container(group)["resources"]["requests"].items():
            total[name] = total.get(name, 0) + number(quantity) * group.get("replicas", 1)
    return total


@pytest.mark.parametrize("job", ["train", "evaluate"])
@pytest.mark.parametrize("size", SIZES)
def test_the_workers_of_each_job_fill_the_nodes_of_its_cluster(size: str, job: str) -> None:
    found = the(render(f"{size}/{job}"), "RayJob")
    run = run_settings(found)
    nodes = ray_nodes(found["spec"]["rayClusterSpec"])
    assert run.gpu == ("no" if size == "dev" else "yes"), "said, so that a cluster without GPUs is refused"
    placement = share_gpus(run, sum(node["GPU"] for node in nodes))
    room = sum(int(min(node.get(name, 0) // amount for name, amount in placement.resources.items())) for node in nodes)
    assert room == run.workers, "as many as asked for, and no node for nothing"
    assert nodes[0]["CPU"] == 0, "no worker on the head"


@pytest.mark.parametrize("size", SIZES)
def test_jobs_of_a_size_run_on_clusters_that_differ_only_in_name_and_priority(size: str) -> None:
    """So that what runs on the cluster of one runs on those of the others."""
    specs = [copy.deepcopy(the(render(f"{size}/{job}"), "RayJob")["spec"]["rayClusterSpec"]) for job in JOBS]
    for spec in specs:
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            del group["template"]["metadata"]["labels"]["app.kubernetes.io/instance"]
            del group["template"]["spec"]["priorityClassName"]
    assert specs[0] == specs[1] == specs[2]


@pytest.mark.parametrize(("size", "trials"), [("dev", 1), ("gpu", 3), ("gpu-multi-tenant", 3)])
def test_trials_of_a_sweep_fill_the_nodes_and_their_drivers_the_head(size: str, trials: int) -> None:
    from tune.capacity import DRIVER, divided

    found = the(render(f"{size}/sweep"), "RayJob")
    run = run_settings(found)
    nodes = ray_nodes(found["spec"]["rayClusterSpec"])
    nodes[0][DRIVER] = number(found["spec"]["rayClusterSpec"]["headGroupSpec"]["resources"][DRIVER])
    placement = share_gpus(run, sum(node["GPU"] for node in nodes))
    capacity = divided(nodes, placement, run.min_workers, None)
    assert capacity.at_once == trials
    assert capacity.driver == {DRIVER: 1.0}
    assert trials * run.min_workers == sum(1 for node in nodes if node["CPU"]), "no node for nothing"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("job", ["train", "sweep"])
def test_a_retry_goes_on_with_what_was_begun(size: str, job: str) -> None:
    run = run_settings(the(render(f"{size}/{job}"), "RayJob"))
    assert run.name is not None
    assert run.if_exists == "resume"
    assert run.storage == "/runs"


def test_the_interactive_cluster_grows_to_the_size_of_a_training() -> None:
    (cluster,) = of_kind(render("gpu"), "RayCluster")
    run = run_settings(the(render("gpu/train"), "RayJob"))
    most = {group["groupName"]: group["maxReplicas"] for group in cluster["spec"]["workerGroupSpecs"]}
    assert most["gpu-spot"] >= run.workers
    assert all(group["replicas"] == 0 for group in cluster["spec"]["workerGroupSpecs"])


def test_the_teams_quota_has_room_for_its_training_beside_the_interactive_cluster() -> None:
    objects = render("gpu-multi-tenant")
    quota: dict[str, float] = {}
    for group in the(objects, "ClusterQueue")["spec"]["resourceGroups"]:
        for flavor in group["flavors"]:
            assert the(objects, "ResourceFlavor", flavor["name"])
            assert [resource["name"] for resource in flavor["resources"]] == group["coveredResources"]
            for resource in flavor["resources"]:
                quota[resource["name"]] = quota.get(resource["name"], 0) + number(resource["nominalQuota"])
    training = pods_requests(the(render("gpu-multi-tenant/train"), "RayJob")["spec"]["rayClusterSpec"])
    interactive = pods_requests(the(objects, "RayCluster")["spec"])
    assert training.keys() | interactive.keys() <= quota.keys(), "Kueue lets in nothing that it has no quota for"
    for name, amount in training.items():
        assert amount + interactive.get(name, 0) <= quota[name], name


def test_jobs_of_the_shared_cluster_wait_in_the_teams_queue() -> None:
    objects = render("gpu-multi-tenant")
    queue = the(objects, "LocalQueue")
    assert queue["spec"]["clusterQueue"] == the(objects, "ClusterQueue")["metadata"]["name"]
    namespaces = the(objects, "ClusterQueue")["spec"]["namespaceSelector"]["matchLabels"]
    assert namespaces == {"kubernetes.io/metadata.name": queue["metadata"]["namespace"]}
    priorities = {found["metadata"]["name"]: found["value"] for found in of_kind(objects, "WorkloadPriorityClass")}
    queued = [the(render(f"gpu-multi-tenant/{job}"), "RayJob") for job in ("train", "sweep", "evaluate")]
    for found in [*queued, the(objects, "RayCluster")]:
        labels = found["metadata"]["labels"]
        assert labels["kueue.x-k8s.io/queue-name"] == queue["metadata"]["name"]
        assert labels["kueue.x-k8s.io/priority-class"] in priorities
        spec = found["spec"].get("rayClusterSpec", found["spec"])
        assert not spec.get("enableInTreeAutoscaling"), "Kueue counts quota by fixed sizes"
        assert len(spec["workerGroupSpecs"]) + 1 <= 8, "Kueue takes eight groups of pods at most"
    for found in queued:
        assert found["spec"]["shutdownAfterJobFinishes"], "Kueue refuses a job that keeps its cluster"
    by_name = {found["metadata"]["name"]: found["metadata"]["labels"] for found in queued}
    value = {name: priorities[labels["kueue.x-k8s.io/priority-class"]] for name, labels in by_name.items()}
    assert value["train"] > value["sweep"]
