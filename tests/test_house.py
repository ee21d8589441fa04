"""The rooms of the house and the direction of its arrows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "loaders": set(),
    "cluster": set(),
    "aligngan": {"loaders", "cluster"},
    "tune": {"aligngan", "cluster"},
}
ROOMS = {*MAY_IMPORT, "tests", "k8s"}
NETWORKS_MUST_NOT_KNOW = {"aligngan.losses", "aligngan.methods", "aligngan.training", "ray", "torch.distributed"}
LOSSES_MUST_NOT_KNOW = {"aligngan.networks", "aligngan.methods", "aligngan.training", "ray", "torch.optim"}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported_modules(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT).with_suffix("").parts[: -node.level]
            modules.add(".".join([*package, node.module or ""]))
    return modules


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if (ROOT / room).is_dir()])
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    assert python_files(room), f"{room}/ holds no code"
    for file in python_files(room):
        rooms = {module.split(".")[0] for module in imported_modules(file)} & ROOMS
        assert rooms <= MAY_IMPORT[room] | {room}, f"{file.relative_to(ROOT)} imports {rooms}"


def test_loaders_know_nothing_of_ray() -> None:
    for file in python_files("loaders"):
        assert not any(module.split(".")[0] == "ray" for module in imported_modules(file)), file


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("aligngan/networks", NETWORKS_MUST_NOT_KNOW),
        ("aligngan/losses", LOSSES_MUST_NOT_KNOW),
        ("aligngan/methods", {"ray", "aligngan.training"}),
    ],
)
def test_the_method_knows_nothing_of_what_runs_it(folder: str, forbidden: set[str]) -> None:
    assert python_files(folder)
    for file in python_files(folder):
        found = {
            name for name in imported_modules(file) for bad in forbidden if name == bad or name.startswith(bad + ".")
        }
        assert not found, f"{file.relative_to(ROOT)} imports {found}"


def test_files_fit_in_ones_head() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for room in MAY_IMPORT
        for file in python_files(room)
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 320
    }
    assert not long
