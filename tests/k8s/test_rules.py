"""What the operators and the cluster ask of the manifests beyond their schemas."""

import copy
import importlib.metadata

import pytest

from tests.k8s.kuberay import head_pod, ray_start_command, ray_start_parameters, worker_pod
from tests.k8s.manifests import (
    APPLIED,
    JOBS,
    SIZES,
    Object,
    environment,
    of_kind,
    ray_cluster_specs,
    ray_container,
    render,
    the,
)
from tests.k8s.quantities import number
from tests.k8s.rules import cluster_errors, job_errors, name_errors

WITH_CLUSTERS = [name for name in APPLIED if name in SIZES or name.endswith(JOBS)]


def groups(spec: Object) -> list[Object]:
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def volume(group: Object, name: str) -> Object:
    (found,) = (volume for volume in group["template"]["spec"]["volumes"] if volume["name"] == name)
    return found


def every_group() -> list[tuple[str, Object, Object]]:
    return [
        (name, spec, group)
        for name in WITH_CLUSTERS
        for spec in ray_cluster_specs(render(name))
        for group in groups(spec)
    ]


@pytest.mark.parametrize("name", WITH_CLUSTERS)
def test_kuberay_accepts_every_cluster_and_job(name: str) -> None:
    objects = render(name)
    assert ray_cluster_specs(objects)
    for cluster in of_kind(objects, "RayCluster"):
        assert not name_errors("RayCluster", cluster["metadata"]["name"]) + cluster_errors(cluster["spec"])
    for job in of_kind(objects, "RayJob"):
        assert not job_errors(job)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": "0"}), "resources in rayStartParams"),
        (lambda spec: spec["workerGroupSpecs"][0].pop("minReplicas"), "needed without an autoscaler"),
        (lambda spec: spec.update(rayVersion="2.51.0"), "needs rayVersion 2.52"),
        (lambda spec: spec.update(networkPolicy={"mode": "DenyAll"}), "feature gate"),
        (lambda spec: spec["workerGroupSpecs"][0].update(priority=3), "autoscaler v2"),
        (lambda spec: spec["workerGroupSpecs"][0].update(replicas=9), "outside"),
    ],
)
def test_the_rules_refuse_what_kuberay_refuses(change: object, complaint: str) -> None:
    spec = copy.deepcopy(the(render("dev"), "RayCluster")["spec"])
    change(spec)  # type: ignore[operator]
    assert any(complaint in error for error in cluster_errors(spec))


def test_the_manifests_name_the_version_of_ray_that_is_installed() -> None:
    for name, spec, _ in every_group():
        assert spec["rayVersion"] == importlib.metadata.version("ray"), name


def test_workers_have_time_for_a_checkpoint_before_they_are_killed() -> None:
    for name, _, group in every_group():
        drain = float(environment(ray_container(group))["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        grace = group["template"]["spec"]["terminationGracePeriodSeconds"]
        assert 15 <= drain <= grace - 10, f"{name}: {group.get('groupName', 'head')}"


def test_a_job_that_is_told_to_stop_may_finish_its_last_checkpoint() -> None:
    from cluster.config import RunSettings

    for name, spec, _ in every_group():
        head = environment(ray_container(spec["headGroupSpec"]))
        assert float(head["RAY_JOB_STOP_WAIT_TIME_S"]) > RunSettings().stop_timeout, name


def test_shared_memory_holds_the_object_store_and_counts_against_memory() -> None:
    for name, _, group in every_group():
        shared = volume(group, "shared-memory")["emptyDir"]
        assert shared["medium"] == "Memory"
        size = number(shared["sizeLimit"])
        assert int(group["rayStartParams"]["object-store-memory"]) + 2**29 <= size, name
        assert size <= number(ray_container(group)["resources"]["limits"]["memory"]) / 2, name


def test_temporary_files_fit_into_the_requested_disk() -> None:
    for name, _, group in every_group():
        sizes = sum(number(volume(group, which)["emptyDir"]["sizeLimit"]) for which in ("temporary", "home"))
        assert sizes < number(ray_container(group)["resources"]["limits"]["ephemeral-storage"]), name


def test_requests_equal_limits_so_that_no_ray_pod_is_evicted_for_what_others_use() -> None:
    for name, _, group in every_group():
        resources = ray_container(group)["resources"]
        assert resources["requests"] == resources["limits"], name
        assert number(resources["limits"]["cpu"]).is_integer(), "KubeRay rounds CPUs up: Ray would promise too many"


def test_data_is_mounted_read_only_and_runs_by_all_nodes_at_one_path() -> None:
    for name, _, group in every_group():
        mounts = {mount["name"]: mount for mount in ray_container(group)["volumeMounts"]}
        assert mounts["data"]["readOnly"], name
        assert volume(group, "data")["persistentVolumeClaim"]["readOnly"], name
        assert mounts["runs"]["mountPath"] == environment(ray_container(group))["ALIGNGAN_RUNS"]
        assert mounts["data"]["mountPath"] == environment(ray_container(group))["ALIGNGAN_DATA"]


def test_claims_can_be_mounted_by_many_nodes_but_for_the_laptop() -> None:
    for name, modes in (
        ("dev", ["ReadWriteOnce"]),
        ("gpu", ["ReadWriteMany"]),
        ("gpu-multi-tenant", ["ReadWriteMany"]),
    ):
        claims = of_kind(render(name), "PersistentVolumeClaim")
        assert {claim["metadata"]["name"] for claim in claims} == {"aligngan-data", "aligngan-runs"}
        assert all(claim["spec"]["accessModes"] == modes for claim in claims), name


def test_each_job_has_its_own_head_protected_and_its_pods_named_for_it() -> None:
    for name in WITH_CLUSTERS:
        objects = render(name)
        (budget,) = of_kind(objects, "PodDisruptionBudget")
        owners = of_kind(objects, "RayJob") or of_kind(objects, "RayCluster")
        expected = owners[0]["metadata"]["name"] if owners[0]["kind"] == "RayJob" else "interactive"
        assert budget["metadata"]["name"] == expected
        # The owner of the pods has no scale resource: Kubernetes accepts only a whole minAvailable.
        assert budget["spec"]["minAvailable"] == 1
        selector = budget["spec"]["selector"]["matchLabels"].items()
        (spec,) = ray_cluster_specs(objects)
        assert selector <= head_pod(spec, "name")["metadata"]["labels"].items()
        for group in spec["workerGroupSpecs"]:
            labels = worker_pod(spec, group, "name")["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == expected
            assert not selector <= labels.items()


def test_sweeps_give_way_to_trainings_and_every_class_exists() -> None:
    for size in ("dev", "gpu", "gpu-multi-tenant"):
        values = {found["metadata"]["name"]: found["value"] for found in of_kind(render(size), "PriorityClass")}
        used = {}
        for job in ("train", "sweep", "evaluate"):
            (spec,) = ray_cluster_specs(render(f"{size}/{job}"))
            used[job] = {group["template"]["spec"]["priorityClassName"] for group in spec["workerGroupSpecs"]}
            head = spec["headGroupSpec"]["template"]["spec"]["priorityClassName"]
            assert values[head] > max(values[name] for name in used[job])
        assert used["sweep"] == {"aligngan-sweep"}
        assert used["train"] == used["evaluate"] == {"aligngan-training"}
        assert values["aligngan-training"] > values["aligngan-sweep"]


def test_the_head_runs_no_work_and_offers_drivers_of_trials_their_resource() -> None:
    (spec,) = ray_cluster_specs(render("gpu/sweep"))
    command = ray_start_command(ray_start_parameters(spec, spec["headGroupSpec"], "name"), head=True)
    assert "--num-cpus=0 " in command
    assert """--resources='{"train_driver":16.0}'""" in command


def test_preemptible_workers_have_a_group_of_their_own_and_heads_stay_off_it() -> None:
    (spec,) = ray_cluster_specs(render("gpu"))
    groups = {group["groupName"]: group["template"]["spec"] for group in spec["workerGroupSpecs"]}
    assert groups.keys() == {"gpu", "gpu-spot"}
    assert groups["gpu-spot"]["terminationGracePeriodSeconds"] == 30

    def terms(pod: Object) -> list[Object]:
        affinity = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        return [rule for term in affinity["nodeSelectorTerms"] for rule in term["matchExpressions"]]

    spot = {(rule["key"], *rule["values"]) for rule in terms(groups["gpu-spot"]) if rule["operator"] == "In"}
    for pod in (groups["gpu"], spec["headGroupSpec"]["template"]["spec"]):
        assert {(rule["key"], *rule["values"]) for rule in terms(pod) if rule["operator"] == "NotIn"} == spot


def test_workers_spread_over_nodes_within_their_own_cluster() -> None:
    for name, spec, group in every_group():
        if group is not spec["headGroupSpec"]:
            (spread,) = group["template"]["spec"]["topologySpreadConstraints"]
            assert spread["topologyKey"] == "kubernetes.io/hostname"
            assert spread["matchLabelKeys"] == ["ray.io/cluster"]
            labels = group["template"]["metadata"]["labels"].items()
            assert spread["labelSelector"]["matchLabels"].items() <= labels, name
