"""What of an examination would make a training fail, and what would hurt it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cluster.doctor.examination import Examination
from cluster.doctor.probe import PACKAGES, PROJECT

LEAST_DISK, ENOUGH_DISK = 500e6, 5e9
LEAST_SHARED_MEMORY, ENOUGH_SHARED_MEMORY = 64e6, 1e9
ENOUGH_MEMORY = 2e9
TOLERATED_SKEW = 1.0
SLOW_LINK = 100e6
"""Bytes/s below which the gradients of a small network take longer than its iteration."""
SLOW_SHARE = 0.5
"""A link below this share of the median link slows all others down."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    fails: bool
    """Whether a training would fail, rather than be slow or fragile."""
    text: str


def findings(found: Examination) -> list[Finding]:
    """Return what is wrong, the worst first; nothing where all is well."""
    everything = [*_answers(found), *_versions(found), *_storage(found), *_space(found), *_clocks(found)]
    everything += [*_links(found), *_placement(found)]
    return sorted(everything, key=lambda finding: not finding.fails)


def _answers(found: Examination) -> Iterator[Finding]:
    for node in found.nodes:
        if node.error:
            yield Finding(True, f"{node.name} does not answer: {node.error}")


def _versions(found: Examination) -> Iterator[Finding]:
    nodes = [node for node in found.nodes if node.facts]
    for package in ("python", *PACKAGES, PROJECT):
        versions = {node.name: node.facts["versions"][package] for node in nodes}
        missing = [name for name, version in versions.items() if version == "missing"]
        if missing:
            yield Finding(True, f"{package} is not installed on {', '.join(missing)}")
        counts = Counter(version for version in versions.values() if version != "missing")
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            others = ", ".join(f"{name} has {version}" for name, version in versions.items() if version != usual)
            # Ray refuses another Python or Ray; other torch versions may disagree about how tensors are exchanged.
            fails = package in ("python", "ray", "torch", PROJECT)
            yield Finding(fails, f"{package} is {usual} elsewhere, but {others}")


def _storage(found: Examination) -> Iterator[Finding]:
    for node in found.nodes:
        if not node.storage:
            continue
        if not node.storage["sees"] or node.storage["writes"] is None:
            why = node.storage["error"] or "it is another folder than the driver's"
            yield Finding(
                True,
                f"{node.name} cannot share run.storage={found.storage} ({why}): use a path that is mounted on every "
                "node, or a URI such as s3://bucket/runs",
            )


def _space(found: Examination) -> Iterator[Finding]:
    for node in found.nodes:
        if not node.facts:
            continue
        for key, what, least, enough in (
            ("disk_free", "free on its temporary disk, where checkpoints are written first", LEAST_DISK, ENOUGH_DISK),
            ("shared_memory_free", "free in /dev/shm", LEAST_SHARED_MEMORY, ENOUGH_SHARED_MEMORY),
            ("memory_available", "of memory available", 0.0, ENOUGH_MEMORY),
        ):
            free = node.facts[key]
            if free < enough:
                yield Finding(free < least, f"{node.name} has {size(free)} {what}; {size(enough)} would do")


def _clocks(found: Examination) -> Iterator[Finding]:
    for node in found.nodes:
        if abs(node.skew) - node.skew_uncertainty > TOLERATED_SKEW:
            yield Finding(
                False,
                f"the clock of {node.name} is {abs(node.skew):.1f} s {'ahead' if node.skew > 0 else 'behind'}: notice "
                "of a preemption is read against it; run a time service on every node",
            )


def _links(found: Examination) -> Iterator[Finding]:
    if found.links_error:
        yield Finding(
            True,
            f"the nodes cannot exchange tensors over {found.backend}: {found.links_error}; open all ports between "
            "them, or set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to the interface that joins them",
        )
    linked = [node for node in found.nodes if node.links]
    if len(linked) < 2:
        return
    speeds = sorted(node.links["to_next"] for node in linked)
    median = speeds[len(speeds) // 2]
    for node, following in zip(linked, [*linked[1:], linked[0]], strict=True):
        speed = node.links["to_next"]
        if speed < SLOW_SHARE * median or speed < SLOW_LINK:
            yield Finding(False, f"from {node.name} to {following.name} only {size(speed)}/s get through")


def _placement(found: Examination) -> Iterator[Finding]:
    if found.placement_error:
        yield Finding(True, found.placement_error)
    if found.waits_for_nodes:
        yield Finding(
            False,
            "the workers do not fit now: a training asks the autoscaler for nodes and waits for them three times "
            "run.start_timeout",
        )


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
