"""Whether what docs/kubernetes.md tells people to type exists."""

import re
import shlex

from tests.k8s.manifests import APPLIED, ROOT, SIZES, environment, of_kind, ray_cluster_specs, ray_container, render
from tests.k8s.test_running import DRIVER_LOG
from tests.k8s.test_schemas import KUBERNETES

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line]


def test_every_overlay_that_is_applied_exists_and_each_overlay_is_named() -> None:
    applied = {name for command in COMMANDS for name in re.findall(r"-k k8s/overlays/(\S+)", command)}
    assert applied <= set(APPLIED)
    assert set(SIZES) <= applied
    for part in ("train", "sweep", "evaluate", "monitoring", "prepare-data", "data-shell"):
        assert f"`{part}`" in PAGE


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"(?<![\w/])k8s/[\w./-]+\w", PAGE)) | {
        f"k8s/{path}" for path in re.findall(r"`((?:overlays|components)/[\w./-]+)`", PAGE)
    }
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]


def test_objects_that_commands_wait_for_are_in_the_manifests() -> None:
    everything = [found for name in APPLIED for found in render(name)]
    for kind, word in (("Job", "job"), ("RayCluster", "raycluster"), ("Pod", "pod")):
        names = {found["metadata"]["name"] for found in of_kind(everything, kind)}
        waited = {name for command in COMMANDS for name in re.findall(rf"kubectl.* wait .*\b{word}/(\S+)", command)}
        assert waited
        assert waited <= names
    for job in re.findall(r"get rayjob (\w+)", PAGE):
        assert job in {found["metadata"]["name"] for found in of_kind(everything, "RayJob")}


def test_the_trainings_that_are_submitted_are_accepted() -> None:
    from aligngan.config import resolve
    from aligngan.train import parser

    submitted = [shlex.split(command.partition(" -- ")[2]) for command in COMMANDS if "aligngan.train" in command]
    assert submitted
    for words in submitted:
        assert words[:3] == ["python", "-m", "aligngan.train"]
        given = parser().parse_intermixed_args(words[3:])
        assert resolve(given.preset or "demo", given.config, given.overrides).run.storage == "/runs"


def test_what_a_job_prints_is_read_where_ray_keeps_it() -> None:
    assert any(DRIVER_LOG in command for command in COMMANDS)


def test_the_examination_of_the_cluster_is_accepted() -> None:
    from cluster.doctor.__main__ import parser

    (words,) = (shlex.split(command.partition(" -- ")[2]) for command in COMMANDS if "cluster.doctor" in command)
    assert parser().parse_args(words[3:]).storage == "/runs"


def test_what_a_training_prints_in_the_table_is_what_the_program_prints() -> None:
    program = " ".join(
        re.sub(r"\{[^{}]*\}", "…", file.read_text(encoding="utf-8")) for file in (ROOT / "cluster").rglob("*.py")
    )
    messages = re.findall(r"^\| training: `([^`]+)`", PAGE, re.MULTILINE)
    assert len(messages) >= 3
    for message in messages:
        if "Read-only file system" not in message:  # the operating system's words
            assert all(part.strip() in program for part in message.split("…")), message


def test_the_times_of_a_preemption_are_those_of_the_manifests() -> None:
    paragraph = PAGE[PAGE.index("**Preemption.**") : PAGE.index("**The head**")]
    (spec,) = ray_cluster_specs(render("gpu"))
    for group in spec["workerGroupSpecs"]:
        drain = environment(ray_container(group))["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]
        grace = group["template"]["spec"]["terminationGracePeriodSeconds"]
        assert f"{drain} s" in paragraph
        assert f"{grace} s" in paragraph


def test_the_versions_are_those_that_are_tested() -> None:
    assert f"Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}" in PAGE
    (cluster,) = of_kind(render("dev"), "RayCluster")
    version = cluster["spec"]["rayVersion"]
    assert f"ray[default]=={version}" in PAGE
    assert f"Ray {version.rpartition('.')[0]}" in PAGE
    schemas = (ROOT / "tests" / "k8s" / "schemas.py").read_text(encoding="utf-8")
    for operator in ("kuberay", "kueue", "prometheus-operator"):
        (tag,) = set(re.findall(rf"raw\.githubusercontent\.com/\S+/{operator}/(v[\d.]+)/", PAGE))
        assert f"{operator} {tag}" in schemas
