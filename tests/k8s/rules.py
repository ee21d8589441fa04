"""What the KubeRay operator (v1.7) refuses beyond the schema, as functions that return the complaints."""

import json
import re

import yaml

from tests.k8s.manifests import Object, environment, ray_container

GATED = {
    "networkPolicy": "RayClusterNetworkPolicy", "tlsOptions": "RayClusterMTLS",
    "historyServerOptions": "RayClusterHistoryServer",
}  # fmt: skip
"""Fields that need a feature gate that is off by default."""
_OWN_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}


def name_errors(kind: str, name: str) -> list[str]:
    """Return complaints about the name of a RayCluster or RayJob."""
    longest = 53 if kind == "RayCluster" else 47
    errors = [f"{name}: longer than {longest}"] if len(name) > longest else []
    return errors if re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) else [*errors, f"{name}: no DNS-1035 label"]


def cluster_errors(spec: Object) -> list[str]:
    """Return complaints about the specification of a Ray cluster."""
    groups = {"head": spec["headGroupSpec"]} | {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    errors = [f"{field}: needs the feature gate {gate}" for field, gate in GATED.items() if field in spec]
    for name, group in groups.items():
        errors += [f"{name}: {error}" for error in _group_errors(group)]
    scaled = bool(spec.get("enableInTreeAutoscaling"))
    second = scaled and spec.get("autoscalerOptions", {}).get("version") == "v2"
    for group in spec["workerGroupSpecs"]:
        errors += [f"{group['groupName']}: {error}" for error in _size_errors(group, scaled, second)]
    if second:
        restarts = {group["template"]["spec"].get("restartPolicy", "Never") for group in groups.values()}
        errors += [] if restarts == {"Never"} else ["restartPolicy: autoscaler v2 needs Never, or nothing"]
    if not scaled and "autoscalerOptions" in spec:
        errors.append("autoscalerOptions: of no effect without enableInTreeAutoscaling")
    head = environment(ray_container(spec["headGroupSpec"]))
    if "RAY_enable_autoscaler_v2" in head:
        errors.append("RAY_enable_autoscaler_v2: set autoscalerOptions.version instead")
    return errors + _fault_tolerance_errors(spec, head) + _authentication_errors(spec)


def job_errors(found: Object) -> list[str]:
    """Return complaints about a RayJob, its cluster's included."""
    spec = found["spec"]
    errors = name_errors("RayJob", found["metadata"]["name"]) + cluster_errors(spec["rayClusterSpec"])
    if "clusterSelector" in spec and spec.get("backoffLimit"):
        errors.append("backoffLimit: not with clusterSelector")
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        errors.append("suspend: needs shutdownAfterJobFinishes")
    if spec.get("deletionStrategy", {}).get("deletionRules") and spec.get("shutdownAfterJobFinishes"):
        errors.append("deletionRules: not with shutdownAfterJobFinishes")
    if spec.get("submissionMode") == "SidecarMode" and {"submitterPodTemplate", "submitterConfig"} & spec.keys():
        errors.append("submitterPodTemplate and submitterConfig: not with SidecarMode")
    if spec.get("submissionMode") == "InteractiveMode" and spec.get("backoffLimit"):
        errors.append("backoffLimit: not with InteractiveMode")
    if "upgradeStrategy" in spec["rayClusterSpec"]:
        errors.append("upgradeStrategy: not in the cluster of a RayJob")
    for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        errors += [f"{key}: not positive"] if spec.get(key, 1) <= 0 else []
    for key in ("backoffLimit", "ttlSecondsAfterFinished"):
        errors += [f"{key}: negative"] if spec.get(key, 0) < 0 else []
    if not isinstance(yaml.safe_load(spec.get("runtimeEnvYAML", "{}")), dict):
        errors.append("runtimeEnvYAML: not a mapping")
    return errors


def _group_errors(group: Object) -> list[str]:
    parameters, resources = group["rayStartParams"], group.get("resources", {})
    errors = []
    if resources and _OWN_RESOURCES & parameters.keys():
        errors.append("resources in rayStartParams and in resources")
    if "labels" in parameters:
        errors.append("labels belong into the group's labels, not into rayStartParams")
    if "resources" in parameters:
        json.loads(parameters["resources"].strip("'\"` "))
    if "block" in parameters and parameters["block"] != "true":
        errors.append("block: the operator sets it")
    return errors


def _size_errors(group: Object, scaled: bool, second: bool) -> list[str]:
    errors = []
    least, most = group.get("minReplicas"), group.get("maxReplicas")
    if not scaled and (least is None or most is None):
        errors.append("minReplicas and maxReplicas are needed without an autoscaler")
    if least is not None and most is not None and not 0 <= least <= group.get("replicas", least) <= most:
        errors.append("replicas outside minReplicas to maxReplicas")
    if scaled and group.get("suspend"):
        errors.append("suspend: not with an autoscaler")
    if not second and {"idleTimeoutSeconds", "priority"} & group.keys():
        errors.append("idleTimeoutSeconds and priority: need autoscaler v2")
    return errors


def _fault_tolerance_errors(spec: Object, head: dict[str, str]) -> list[str]:
    options = spec.get("gcsFaultToleranceOptions")
    if options is None:
        return ["RAY_REDIS_ADDRESS: needs gcsFaultToleranceOptions"] if "RAY_REDIS_ADDRESS" in head else []
    errors = []
    if options.get("backend", "redis") == "rocksdb":
        errors.append("backend rocksdb: needs the feature gate GCSFaultToleranceEmbeddedStorage")
    elif "storage" in options:
        errors.append("storage: for the backend rocksdb alone")
    if {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"} & head.keys():
        errors.append("Redis in the head's environment: belongs into gcsFaultToleranceOptions")
    if {"redis-password", "redis-username"} & spec["headGroupSpec"]["rayStartParams"].keys():
        errors.append("Redis in rayStartParams: belongs into gcsFaultToleranceOptions")
    return errors


def _authentication_errors(spec: Object) -> list[str]:
    options = spec.get("authOptions", {})
    if options.get("mode") != "token":
        return ["enableK8sTokenAuth: needs mode token"] if options.get("enableK8sTokenAuth") else []
    version = tuple(int(part) for part in spec.get("rayVersion", "0.0").split(".")[:2])
    return [] if version >= (2, 52) else ["authOptions: token authentication needs rayVersion 2.52 or newer"]
