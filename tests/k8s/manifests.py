"""What the kustomizations of k8s/ render to."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "k8s" / "overlays"
SIZES = ("dev", "gpu", "gpu-multi-tenant")
JOBS = ("train", "sweep", "evaluate")
APPLIED = (
    *SIZES,
    *(f"{size}/{part}" for size in SIZES for part in (*JOBS, "monitoring")),
    *(f"{size}/{part}" for size in SIZES[1:] for part in ("prepare-data", "data-shell")),
)
"""Kustomizations that docs/kubernetes.md applies."""
CLUSTER_SCOPED = (
    "Namespace", "PriorityClass", "ClusterQueue", "ResourceFlavor", "WorkloadPriorityClass",
)  # fmt: skip

Object = dict[str, Any]


def renderer() -> list[str]:
    """Return the command that renders a kustomization, or skip the test."""
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    pytest.skip("neither kustomize nor kubectl is installed")


def render(name: str) -> list[Object]:
    """Return the objects of a kustomization below k8s/overlays."""
    return list(_render(OVERLAYS / name))


def render_folder(folder: Path) -> list[Object]:
    """Return the objects of a kustomization anywhere."""
    return list(_render(folder))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [found for found in objects if found["kind"] == kind]


def the(objects: list[Object], kind: str, name: str | None = None) -> Object:
    (found,) = (found for found in of_kind(objects, kind) if name in (None, found["metadata"]["name"]))
    return found


def ray_cluster_specs(objects: list[Object]) -> list[Object]:
    """Return the specifications of all Ray clusters that objects lead to: their own and those of jobs."""
    return [found["spec"] for found in of_kind(objects, "RayCluster")] + [
        found["spec"]["rayClusterSpec"] for found in of_kind(objects, "RayJob")
    ]


def ray_container(group: Object) -> Object:
    """Return the container that runs Ray in a head or worker group."""
    return group["template"]["spec"]["containers"][0]


def environment(container: Object) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@functools.cache
def _render(folder: Path) -> tuple[Object, ...]:
    # Only the files count, not what the user of this machine has set up for kubectl.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KUBE")}
    done = subprocess.run([*renderer(), str(folder)], capture_output=True, text=True, env=clean, timeout=60)
    assert done.returncode == 0, f"{folder} does not render:\n{done.stderr}"
    return tuple(yaml.safe_load_all(done.stdout))
