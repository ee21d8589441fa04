"""Every object of every overlay against the schemas of its API, in each version of Kubernetes that is supported."""

import copy
from pathlib import Path

import pytest

from tests.k8s.manifests import APPLIED, CLUSTER_SCOPED, OVERLAYS, Object, render, the
from tests.k8s.schemas import custom_resource_errors, is_custom

KUBERNETES = ("1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
"""Versions that docs/kubernetes.md names."""


def kubernetes_errors(found: Object, version: str) -> str:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", APPLIED)
def test_every_object_is_valid_and_has_no_unknown_field(name: str) -> None:
    objects = render(name)
    assert objects
    for found in objects:
        label = f"{name}: {found['kind']} {found['metadata']['name']}"
        if is_custom(found):
            assert not custom_resource_errors(found), label
        else:
            for version in KUBERNETES:
                assert not kubernetes_errors(found, version), f"{label}, Kubernetes {version}"


@pytest.mark.parametrize("name", APPLIED)
def test_objects_are_in_the_teams_namespace_and_named_once(name: str) -> None:
    objects = render(name)
    for found in objects:
        assert ("namespace" in found["metadata"]) == (found["kind"] not in CLUSTER_SCOPED), found["metadata"]
    assert len({found["metadata"].get("namespace") for found in objects} - {None}) == 1
    identities = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(identities)) == len(identities)


def test_every_kustomization_is_applied_or_part_of_one_that_is() -> None:
    parts = {"settings", "cluster", "queues", "team", "job-cluster"}
    folders = {str(file.parent.relative_to(OVERLAYS)) for file in Path(OVERLAYS).rglob("kustomization.yaml")}
    assert {folder for folder in folders if Path(folder).name not in parts} == set(APPLIED)


def test_the_validators_refuse_a_field_that_is_misspelt() -> None:
    objects = render("dev")
    cluster = copy.deepcopy(the(objects, "RayCluster"))
    container = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    container["imag"] = container.pop("image")
    assert any("imag" in error for error in custom_resource_errors(cluster))
    cluster = copy.deepcopy(the(objects, "RayCluster"))
    cluster["spec"]["headGroupSpec"]["resources"]["CPU"] = 0
    assert any("'string'" in error for error in custom_resource_errors(cluster))
    budget = copy.deepcopy(the(objects, "PodDisruptionBudget"))
    budget["spec"]["minAvailble"] = budget["spec"].pop("minAvailable")
    assert "minAvailble" in kubernetes_errors(budget, KUBERNETES[-1])
