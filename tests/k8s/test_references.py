"""Whether what the manifests refer to exists: claims, accounts, classes, secrets, pods that policies speak of."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.k8s.kuberay import head_pod, worker_pod
from tests.k8s.manifests import (
    APPLIED,
    JOBS,
    ROOT,
    SIZES,
    Object,
    environment,
    of_kind,
    ray_cluster_specs,
    render,
    render_folder,
    the,
)

MADE_BY_HAND = {"aligngan-redis", "aligngan-object-store"}
"""Secrets that docs/kubernetes.md says how to make."""
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def pods(objects: list[Object]) -> list[Object]:
    """All pods that objects lead to."""
    found: list[Object] = [{"metadata": {}} | pod for pod in of_kind(objects, "Pod")]
    for owner in (*of_kind(objects, "Job"), *of_kind(objects, "StatefulSet")):
        found.append(owner["spec"]["template"])
    for spec in ray_cluster_specs(objects):
        found += [
            head_pod(spec, "cluster"),
            *(worker_pod(spec, group, "cluster") for group in spec["workerGroupSpecs"]),
        ]
    return found


def installed(name: str) -> list[Object]:
    """What is in the namespace when a kustomization is applied: itself and the overlay it belongs to."""
    size = name.partition("/")[0]
    return render(size) if size == name else render(size) + render(name)


def selected(selector: Object, pod: Object) -> bool:
    return selector.get("matchLabels", {}).items() <= pod["metadata"]["labels"].items()


def test_claims_accounts_and_classes_that_pods_name_exist() -> None:
    for name in APPLIED:
        objects = installed(name)
        names = {
            kind: {found["metadata"]["name"] for found in of_kind(objects, kind)}
            for kind in ("PersistentVolumeClaim", "ServiceAccount", "PriorityClass")
        }
        for pod in pods(render(name)):
            spec = pod["spec"]
            assert spec["serviceAccountName"] in names["ServiceAccount"], name
            assert spec.get("priorityClassName", "aligngan-head") in names["PriorityClass"], name
            for volume in spec.get("volumes", []):
                if "persistentVolumeClaim" in volume:
                    assert volume["persistentVolumeClaim"]["claimName"] in names["PersistentVolumeClaim"], name
            mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
            declared = {volume["name"] for volume in spec.get("volumes", [])} | {"data"}
            assert mounted <= declared, name


def test_only_the_head_with_an_autoscaler_has_an_account_with_rights_and_its_token() -> None:
    """The operator gives rights to the account that such a head names, or to one with the cluster's own name."""
    for name in APPLIED:
        scaled = any(spec.get("enableInTreeAutoscaling") for spec in ray_cluster_specs(render(name)))
        assert scaled == (name == "gpu")
        for pod in pods(render(name)):
            entitled = scaled and pod["metadata"]["labels"].get("ray.io/node-type") == "head"
            assert pod["spec"]["serviceAccountName"] == ("aligngan-autoscaler" if entitled else "aligngan"), name
            assert pod["spec"]["automountServiceAccountToken"] == entitled, name


def test_no_manifest_holds_a_secret_and_those_that_are_named_are_documented() -> None:
    for name in APPLIED:
        assert not of_kind(render(name), "Secret"), name
        for pod in pods(render(name)):
            for container in pod["spec"]["containers"]:
                for entry in container.get("env", []):
                    if secret := entry.get("valueFrom", {}).get("secretKeyRef"):
                        assert secret["name"] == "cluster" or secret["name"] in MADE_BY_HAND, entry
    for secret in MADE_BY_HAND:
        assert f"create secret generic {secret}" in PAGE


def test_policies_deny_by_default_and_every_other_policy_speaks_of_pods_that_exist() -> None:
    for size in SIZES:
        everything = [found for name in APPLIED if name.partition("/")[0] == size for found in render(name)]
        for policy in of_kind(everything, "NetworkPolicy"):
            selector = policy["spec"]["podSelector"]
            if policy["metadata"]["name"] == "default-deny":
                assert selector == {}
                assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
                assert not {"ingress", "egress"} & policy["spec"].keys()
            else:
                name = policy["metadata"]["name"]
                # Its pods are people's own.
                assert name == "job-client" or any(selected(selector, pod) for pod in pods(everything)), name


@pytest.mark.parametrize(("size", "place"), [("dev", "dev"), ("gpu", "gpu"), ("gpu-multi-tenant", "gpu")])
def test_the_object_store_takes_the_claims_place(size: str, place: str, tmp_path: Path) -> None:
    """Where docs/kubernetes.md says to add it."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    overlays = tmp_path / "k8s" / "overlays"
    file = overlays / place / "cluster" / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    kustomization["components"].append("../../../components/object-store")
    file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    assert f"`overlays/{place}/cluster/kustomization.yaml`" in PAGE
    for name in (size, *(f"{size}/{job}" for job in JOBS)):
        objects = render_folder(overlays / name)
        assert the(objects, "NetworkPolicy", "object-store")
        (spec,) = ray_cluster_specs(objects)
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            assert container["envFrom"] == [{"secretRef": {"name": "aligngan-object-store"}}]
            (runs,) = (entry for entry in container["env"] if entry["name"] == "ALIGNGAN_RUNS")
            assert runs["valueFrom"]["secretKeyRef"] == {"name": "aligngan-object-store", "key": "ALIGNGAN_RUNS"}
            assert "runs" not in {entry["name"] for entry in (*container["volumeMounts"], *pod["volumes"])}
            assert environment(container)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] in ("90", "20")
