"""Writes what Prometheus' operator and Grafana read, from the rules and dashboards of cluster/monitoring.

    python k8s/monitoring/generate.py

One definition of each rule and dashboard: tests/k8s/test_monitoring.py fails where these files are not current.
"""

from pathlib import Path
from typing import Any

import yaml

from cluster.monitoring.generate import DASHBOARDS, RULES
from cluster.monitoring.prometheus import DROPPED_LABELS, SCRAPE_SECONDS

FOLDER = Path(__file__).parent
HEAD_PORTS = ("metrics", "as-metrics", "dash-metrics")
WORKER_PORTS = ("metrics",)


def pod_monitor(name: str, node_type: str, ports: tuple[str, ...]) -> dict[str, Any]:
    """Return what makes Prometheus scrape the pods of one kind, with the labels that it has elsewhere too."""
    endpoint = {
        "interval": f"{SCRAPE_SECONDS}s",
        "relabelings": [
            {"targetLabel": "job", "replacement": "ray"},
            {"sourceLabels": ["__meta_kubernetes_pod_label_ray_io_cluster"], "targetLabel": "ray_io_cluster"},
        ],
        "metricRelabelings": [{"action": "labeldrop", "regex": DROPPED_LABELS}],
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/part-of": "aligngan", "ray.io/node-type": node_type}},
            "podMetricsEndpoints": [{"port": port} | endpoint for port in ports],
        },
    }


def contents() -> dict[str, str]:
    """Return every generated file of this folder."""
    monitors = [pod_monitor("ray-head", "head", HEAD_PORTS), pod_monitor("ray-workers", "worker", WORKER_PORTS)]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "aligngan"},
        "spec": yaml.safe_load(RULES.read_text(encoding="utf-8")),
    }
    files = {"pod-monitors.yaml": _text(*monitors), "prometheus-rule.yaml": _text(rule)}
    for file in sorted(DASHBOARDS.glob("*.json")):
        dashboard = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"dashboard-{file.stem}", "labels": {"grafana_dashboard": "1"}},
            "data": {file.name: file.read_text(encoding="utf-8")},
        }
        files[f"dashboard-{file.stem}.yaml"] = _text(dashboard)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*sorted(files), "network-policy.yaml"],
    }
    return files | {"kustomization.yaml": _text(kustomization)}


def main() -> None:
    """Write all files; a dashboard that is gone loses its file."""
    files = contents()
    for path in FOLDER.glob("dashboard-*.yaml"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    pass


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _written)


def _text(*objects: dict[str, Any]) -> str:
    note = "# Written by k8s/monitoring/generate.py from cluster/monitoring.\n"
    return note + yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=1000)


if __name__ == "__main__":
    main()
