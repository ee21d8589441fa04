"""The pods that the KubeRay operator (v1.7) makes of a RayCluster: its additions, written down from its source.

Only a real operator shows that this is still what it does; the tests use it to know the whole pod that the manifests
lead to, its `ray start` command above all.
"""

import copy
import json
import math
from typing import Any

from tests.k8s.manifests import Object
from tests.k8s.quantities import number

AGENT_PORT = "52365"
_WAITING = """
SECONDS=0
while true; do
    if ray health-check --address {address} > /dev/null 2>&1; then echo "GCS is ready."; break; fi
    echo "$SECONDS seconds elapsed: Waiting for GCS to be ready."
    sleep 5
done
"""


def head_pod(spec: Object, cluster: str, namespace: str = "aligngan") -> Object:
    """Return the head's pod."""
    group = spec["headGroupSpec"]
    pod = _pod(spec, group, "head", "headgroup", cluster, namespace)
    if spec.get("enableInTreeAutoscaling"):
        pod["spec"]["restartPolicy"] = "Never"
        pod["spec"].setdefault("serviceAccountName", cluster)
        pod["spec"]["containers"].append(_autoscaler(spec, pod, cluster))
    return pod


def worker_pod(spec: Object, group: Object, cluster: str, namespace: str = "aligngan") -> Object:
    """Return one pod of a worker group."""
    pod = _pod(spec, group, "worker", group["groupName"], cluster, namespace)
    container = pod["spec"]["containers"][0]
    resources = {"cpu": "200m", "memory": "256Mi"}
    waiting = copy.deepcopy(container) | {
        "name": "wait-gcs-ready",
        "args": [_WAITING.format(address=_address(cluster, namespace))],
        "resources": {"requests": resources, "limits": resources},
    }
    for key in ("ports", "livenessProbe", "readinessProbe"):
        waiting.pop(key, None)
    pod["spec"].setdefault("initContainers", []).append(waiting)
    return pod


def ray_start_parameters(spec: Object, group: Object, cluster: str, namespace: str = "aligngan") -> dict[str, str]:
    """Return the parameters of `ray start` without their dashes, as the operator completes them."""
    parameters = dict(group["rayStartParams"])
    custom = {}
    for name, quantity in group.get("resources", {}).items():
        if name.lower() == "cpu":
            parameters["num-cpus"] = f"{math.ceil(number(quantity))}"
        else:
            custom[name] = number(quantity)
    if custom:
        parameters["resources"] = f"'{json.dumps(custom, separators=(',', ':'))}'"
    if group is spec["headGroupSpec"]:
        parameters.setdefault("dashboard-host", "0.0.0.0")
        if spec.get("enableInTreeAutoscaling"):
            parameters["no-monitor"] = "true"
    else:
        parameters.setdefault("address", _address(cluster, namespace))
    parameters.setdefault("metrics-export-port", "8080")
    parameters.setdefault("dashboard-agent-listen-port", AGENT_PORT)
    parameters["block"] = "true"
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    parameters.setdefault("num-cpus", f"{math.ceil(number(limits['cpu']))}")
    parameters.setdefault("memory", f"{int(number(limits['memory']))}")
    if "nvidia.com/gpu" in limits:
        parameters.setdefault("num-gpus", f"{int(number(limits['nvidia.com/gpu']))}")
    return parameters


def ray_start_command(parameters: dict[str, str], head: bool) -> str:
    """Return the shell command that the container runs."""
    flags = " ".join(
        f"--{name}" if value == "true" else f"--{name}={value}" for name, value in sorted(parameters.items())
    )
    return f"ulimit -n ${{RAY_START_ULIMIT_OPEN_FILES:-65536}}; ray start {'--head ' if head else ''}{flags}"


def _pod(spec: Object, group: Object, kind: str, group_name: str, cluster: str, namespace: str) -> Object:
    pod: Object = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(group["template"])}
    pod["metadata"]["name"] = f"{cluster}-{group_name}"
    pod["metadata"]["namespace"] = namespace
    pod["metadata"]["labels"] |= {
        "ray.io/is-ray-node": "yes", "ray.io/cluster": cluster, "ray.io/node-type": kind, "ray.io/group": group_name,
    }  # fmt: skip
    container = pod["spec"]["containers"][0]
    parameters = ray_start_parameters(spec, group, cluster, namespace)
    container["command"] = ["/bin/bash", "-c", "--"]
    container["args"] = [ray_start_command(parameters, head=kind == "head")]
    container["env"] = container.get("env", []) + _added_environment(spec, kind, cluster, namespace)
    probe = {"httpGet": {"path": "/api/healthz", "port": int(AGENT_PORT)}, "periodSeconds": 5}
    container.setdefault("livenessProbe", probe)
    container.setdefault("readinessProbe", probe)
    return pod


def _added_environment(spec: Object, kind: str, cluster: str, namespace: str) -> list[Any]:
    added: list[Any] = [
        {"name": "RAY_ADDRESS", "value": "127.0.0.1:6379" if kind == "head" else _address(cluster, namespace)}
    ]
    if spec.get("authOptions", {}).get("mode") == "token":
        secret = spec["authOptions"].get("secretName", cluster)
        added += [
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "auth_token"}}},
        ]
    return added


def _autoscaler(spec: Object, pod: Object, cluster: str) -> Object:
    options = spec["autoscalerOptions"]
    mounts = [*options.get("volumeMounts", []), {"name": "ray-logs", "mountPath": "/tmp/ray"}]
    pod["spec"]["volumes"].append({"name": "ray-logs", "emptyDir": {}})
    pod["spec"]["containers"][0]["volumeMounts"].append(mounts[-1])
    return {
        "name": "autoscaler",
        "image": pod["spec"]["containers"][0]["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/bash", "-c", "--"],
        "args": [f"ray kuberay-autoscaler --cluster-name {cluster} --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"],
        "resources": options["resources"],
        "securityContext": options["securityContext"],
        "volumeMounts": mounts,
    }


def _address(cluster: str, namespace: str) -> str:
    return f"{cluster}-head-svc.{namespace}.svc.cluster.local:6379"
