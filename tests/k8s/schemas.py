"""Strict validation of Kubernetes objects: against the schemas of Kubernetes itself and of the operators."""

import copy
import functools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import ROOT, Object

OPERATORS = ("ray.io", "kueue.x-k8s.io", "monitoring.coreos.com")
SCHEMAS = Path(os.environ.get("CRD_SCHEMAS", ROOT.parent / "shared" / "crds"))
"""Folder of CustomResourceDefinitions, one file each, of kuberay v1.7.0, kueue v0.19.2 and prometheus-operator v0.93.0;
not part of the project, docs/kubernetes.md says where they are."""


def is_custom(found: Object) -> bool:
    """Return whether an operator defines the object's kind."""
    return found["apiVersion"].partition("/")[0] in OPERATORS


def custom_resource_errors(found: Object) -> list[str]:
    """Return what the schema of an operator's object objects to, unknown fields included."""
    import jsonschema  # type: ignore[import-untyped,unused-ignore]

    validator = jsonschema.Draft202012Validator(_schema(found["apiVersion"], found["kind"]))
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(found)]


@functools.cache
def _schema(api_version: str, kind: str) -> dict[str, Any]:
    group, _, version = api_version.partition("/")
    if not SCHEMAS.is_dir():
        pytest.skip(f"no CustomResourceDefinitions in {SCHEMAS}; docs/kubernetes.md says how to get them")
    for file in sorted(SCHEMAS.glob(f"{group}_*.yaml")):
        definition = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if definition["spec"]["names"]["kind"] == kind:
            served = {entry["name"]: entry for entry in definition["spec"]["versions"] if entry["served"]}
            assert version in served, f"{kind}: {version} is not among the versions served, {', '.join(served)}"
            assert served[version]["storage"], f"{kind}: {version} is served but not the version that is kept"
            schema = strict(served[version]["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            return schema
    raise AssertionError(f"no CustomResourceDefinition of {kind} in {SCHEMAS}")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI schema as a JSON schema that refuses unknown fields, as `kubectl apply` does."""
    schema = copy.copy(schema)
    for noise in ("description", "default", "format", "x-kubernetes-validations"):
        schema.pop(noise, None)
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in schema:
        properties = schema["properties"]
        # The API server fills in defaults before it looks for what is missing.
        required = [name for name in schema.get("required", []) if "default" not in properties.get(name, {})]
        schema["required"] = required
        schema["properties"] = {name: strict(inner) for name, inner in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            schema[key] = strict(schema[key]) if key != "not" else schema[key]
    if schema.get("nullable") and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema
