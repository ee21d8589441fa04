"""Who reaches whom under the network policies, decided as a network that enforces them would."""

import pytest

from tests.k8s.kuberay import head_pod, worker_pod
from tests.k8s.manifests import APPLIED, SIZES, Object, of_kind, ray_cluster_specs, render, the

Place = tuple[dict[str, str], str]
"""A pod's labels and its namespace; "" stands for an address outside the cluster."""
TEAM = "team"


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    return selector is None or selector.get("matchLabels", {}).items() <= labels.items()


def lets(rules: list[Object], direction: str, other: Place, port: int) -> bool:
    labels, namespace = other
    for rule in rules:
        if "ports" in rule and port not in {entry["port"] for entry in rule["ports"]}:
            continue
        if direction not in rule:
            return True
        for peer in rule[direction]:
            spaces = peer.get("namespaceSelector")
            in_space = (
                namespace == TEAM
                if spaces is None
                else namespace == spaces["matchLabels"]["kubernetes.io/metadata.name"]
            )
            if "ipBlock" not in peer and in_space and matches(peer.get("podSelector"), labels):
                return True
    return False


def reaches(policies: list[Object], source: Place, target: Place, port: int) -> bool:
    """Return whether a connection is let out at one end and in at the other."""
    for place, other, kind, rules, direction in (
        (source, target, "Egress", "egress", "to"),
        (target, source, "Ingress", "ingress", "from"),
    ):
        if place[1] != TEAM:
            continue
        about = [
            policy["spec"]
            for policy in policies
            if kind in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], place[0])
        ]
        if about and not any(lets(policy.get(rules, []), direction, other, port) for policy in about):
            return False
    return True


@pytest.mark.parametrize("size", SIZES)
def test_everybody_reaches_what_they_need_and_nothing_else(size: str) -> None:
    objects = [found for name in APPLIED if name.partition("/")[0] == size for found in render(name)]
    policies = of_kind(objects, "NetworkPolicy")
    spec = ray_cluster_specs(render(size))[0]
    head: Place = (head_pod(spec, "c")["metadata"]["labels"], TEAM)
    worker: Place = (worker_pod(spec, spec["workerGroupSpecs"][0], "c")["metadata"]["labels"], TEAM)
    operator: Place = ({"app.kubernetes.io/name": "kuberay-operator"}, "kuberay-system")
    prometheus: Place = ({"app.kubernetes.io/name": "prometheus"}, "monitoring")
    client: Place = ({"app.kubernetes.io/component": "job-client"}, TEAM)
    stranger: Place = ({}, TEAM)
    elsewhere: Place = ({"app.kubernetes.io/component": "job-client"}, "default")
    names: Place = ({}, "kube-system")
    internet: Place = ({}, "")

    for source, target in ((worker, head), (head, worker), (worker, worker)):
        assert reaches(policies, source, target, 6379)
        assert reaches(policies, source, target, 43217)
    for visitor in (operator, client):
        assert reaches(policies, visitor, head, 8265)
        assert not reaches(policies, visitor, head, 6379)
        assert not reaches(policies, visitor, worker, 8265)
    for port in (8080, 44217, 44227):
        assert reaches(policies, prometheus, head, port)
    assert reaches(policies, prometheus, worker, 8080)
    assert not reaches(policies, prometheus, head, 8265)
    for outsider in (stranger, elsewhere, internet, (operator[0], "default"), (prometheus[0], "default")):
        for port in (6379, 8080, 8265, 10001, 52365):
            assert not reaches(policies, outsider, head, port), (outsider, port)
    for source in (head, worker, client, stranger):
        assert reaches(policies, source, names, 53)
    assert not reaches(policies, worker, internet, 443)
    assert not reaches(policies, stranger, internet, 443)
    scaled = bool(spec.get("enableInTreeAutoscaling"))
    assert reaches(policies, head, internet, 443) == scaled, "only an autoscaler talks to the API server"


def test_only_heads_reach_redis() -> None:
    objects = render("gpu")
    policies = of_kind(objects, "NetworkPolicy")
    spec = the(objects, "RayCluster")["spec"]
    redis: Place = (the(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"], TEAM)
    head: Place = (head_pod(spec, "c")["metadata"]["labels"], TEAM)
    worker: Place = (worker_pod(spec, spec["workerGroupSpecs"][0], "c")["metadata"]["labels"], TEAM)
    assert reaches(policies, head, redis, 6379)
    assert not reaches(policies, worker, redis, 6379)
    assert not reaches(policies, redis, head, 8265)
    assert the(objects, "Service", "aligngan-redis")["spec"]["selector"].items() <= redis[0].items()
    address = spec["gcsFaultToleranceOptions"]["redisAddress"]
    assert address == "aligngan-redis:6379"
