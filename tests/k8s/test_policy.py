"""Security: a maintained scanner over every pod that the manifests lead to, and Kubernetes' standard `restricted`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.k8s.kuberay import head_pod, worker_pod
from tests.k8s.manifests import APPLIED, ROOT, SIZES, Object, of_kind, render, the

CHECKOV = "checkov==3.3.30"
SPOILED = "spoiled-on-purpose.yaml"
UNRESTRICTED_VOLUMES = {"hostPath", "nfs", "iscsi", "gcePersistentDisk", "awsElasticBlockStore", "flexVolume"}


def with_pods_of_clusters(name: str) -> list[Object]:
    """Return a kustomization's objects, Ray clusters and jobs replaced by the pods that the operator makes of them."""
    found = []
    for entry in render(name):
        if entry["kind"] not in ("RayCluster", "RayJob"):
            found.append(entry)
            continue
        spec, metadata = entry["spec"].get("rayClusterSpec", entry["spec"]), entry["metadata"]
        found.append(head_pod(spec, metadata["name"], metadata["namespace"]))
        found += [
            worker_pod(spec, group, metadata["name"], metadata["namespace"]) for group in spec["workerGroupSpecs"]
        ]
    return found


def scan(folder: Path) -> dict[str, dict]:
    """Return what checkov says of a folder, by framework.

    Its dependencies contradict the project's, so uv runs it in an environment of its own, which it makes once and
    keeps in its cache.
    """
    beside_python = Path(sys.executable).with_name("uv")
    uv = str(beside_python) if beside_python.exists() else shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed; pip install uv")
    command = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", CHECKOV, "checkov"]
    command += ["--directory", str(folder), "--config-file", str(ROOT / "k8s" / "checkov.yaml"), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    reports = json.loads(done.stdout)
    return {report["check_type"]: report for report in (reports if isinstance(reports, list) else [reports])}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What the scanner says of everything that is applied, of the Dockerfile, and of a pod that may become root."""
    folder = tmp_path_factory.mktemp("scanned")
    for name in APPLIED:
        text = yaml.safe_dump_all(with_pods_of_clusters(name))
        (folder / f"{name.replace('/', '-')}.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "k8s" / "image" / "Dockerfile", folder)
    spoiled = head_pod(the(render("dev"), "RayCluster")["spec"], "name")
    spoiled["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    (folder / SPOILED).write_text(yaml.safe_dump(spoiled), encoding="utf-8")
    return scan(folder)


def test_a_scanner_finds_nothing_in_the_pods_and_the_image(reports: dict[str, dict]) -> None:
    assert reports.keys() == {"kubernetes", "dockerfile"}
    for report in reports.values():
        failed = [check for check in report["results"]["failed_checks"] if SPOILED not in check["file_path"]]
        assert not [(check["check_id"], check["check_name"], check["resource"]) for check in failed]
        assert report["summary"]["parsing_errors"] == 0
    assert reports["kubernetes"]["summary"]["passed"] > 2000


def test_the_scanner_finds_a_container_that_may_become_root(reports: dict[str, dict]) -> None:
    failed = [check for check in reports["kubernetes"]["results"]["failed_checks"] if SPOILED in check["file_path"]]
    assert [check["check_id"] for check in failed] == ["CKV_K8S_20"]


@pytest.mark.parametrize("name", APPLIED)
def test_every_pod_is_allowed_where_the_restricted_standard_is_enforced(name: str) -> None:
    objects = with_pods_of_clusters(name)
    pods = of_kind(objects, "Pod")
    pods += [owner["spec"]["template"] for kind in ("Job", "StatefulSet") for owner in of_kind(objects, kind)]
    assert pods or name.endswith("monitoring")
    for pod in pods:
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not any(UNRESTRICTED_VOLUMES & volume.keys() for volume in spec.get("volumes", []))
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert "hostPort" not in {key for port in container.get("ports", []) for key in port}


def test_the_namespace_enforces_the_restricted_standard() -> None:
    for size in SIZES:
        labels = the(render(size), "Namespace")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
