"""Whether what docs/kubernetes.md tells people to type exists."""

import re
import shlex

from tests.k8s.manifests import APPLIED, ROOT, SIZES, of_kind, render
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


def test_the_versions_are_those_that_are_tested() -> None:
    assert f"Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}" in PAGE
    (cluster,) = of_kind(render("dev"), "RayCluster")
    version = cluster["spec"]["rayVersion"]
    assert f"ray[default]=={version}" in PAGE
    assert f"Ray {version.rpartition('.')[0]}" in PAGE
