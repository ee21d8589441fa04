"""Prometheus and Grafana on the cluster: the same rules and dashboards as anywhere else, and a way to every metric."""

import importlib.util
import json
from types import ModuleType

import pytest

from cluster.monitoring.alerts import rules
from cluster.monitoring.generate import DASHBOARDS
from tests.k8s.kuberay import head_pod, worker_pod
from tests.k8s.manifests import ROOT, SIZES, Object, of_kind, ray_cluster_specs, render, the

FOLDER = ROOT / "k8s" / "monitoring"
LARGEST = 256 * 1024
"""Bytes that `kubectl apply` can keep of an object in its annotation."""


def program() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_generated_files_are_current() -> None:
    written = {path.name for path in FOLDER.glob("*.yaml")} - {"network-policy.yaml"}
    contents = program().contents()
    assert contents.keys() == written
    for name, text in contents.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run python k8s/monitoring/generate.py"


@pytest.mark.parametrize("size", SIZES)
def test_rules_and_dashboards_are_those_of_the_laptop(size: str) -> None:
    objects = render(f"{size}/monitoring")
    assert the(objects, "PrometheusRule")["spec"] == rules()
    files = {name: text for found in of_kind(objects, "ConfigMap") for name, text in found["data"].items()}
    assert files == {file.name: file.read_text(encoding="utf-8") for file in DASHBOARDS.glob("*.json")}
    for found in of_kind(objects, "ConfigMap"):
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1", "what Grafana's sidecar looks for"
        assert len(json.dumps(found)) < LARGEST


@pytest.mark.parametrize("size", SIZES)
def test_prometheus_finds_every_port_with_metrics_and_is_let_in(size: str) -> None:
    objects = render(f"{size}/monitoring")
    (policy,) = of_kind(objects, "NetworkPolicy")
    open_ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    (spec,) = ray_cluster_specs(render(size))
    pods: list[Object] = [head_pod(spec, "c"), *(worker_pod(spec, group, "c") for group in spec["workerGroupSpecs"])]
    for pod in pods:
        labels = pod["metadata"]["labels"].items()
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
        (monitor,) = (
            found
            for found in of_kind(objects, "PodMonitor")
            if found["spec"]["selector"]["matchLabels"].items() <= labels
        )
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        scraped = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        assert scraped == {name for name in ports if name.endswith("metrics")}
        assert {ports[name] for name in scraped} <= open_ports
        assert all(len(name) <= 15 for name in ports), "Kubernetes takes no longer names of ports"
