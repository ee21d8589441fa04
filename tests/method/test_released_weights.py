"""Weights of the released model become a checkpoint whose networks compute what the released ones do."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aligngan.config import resolve
from aligngan.import_released import main
from aligngan.networks.backbone import FeatureGenerator, pool
from aligngan.training.state import TrainingState
from cluster.checkpoints import load_checkpoint, newest_checkpoint
from cluster.folder import RunFolder
from tests.method.released_layout import released_networks, save
from tests.method.small import judged

STEP, CLASSES = 25100, 7
SMALL = ["translator.width=4", "discriminator.width=4", "backbone.name=resnet18"]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[nn.Module], Path]:
    networks = released_networks(CLASSES)
    folder = tmp_path_factory.mktemp("released")
    save(networks, folder, STEP)
    return networks, folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    save(released_networks(CLASSES, width=4, backbone="resnet18"), folder, STEP)
    return folder


def imported(run: Path) -> TrainingState:
    folder = RunFolder(str(run))
    name = newest_checkpoint(folder)
    assert name == f"step_{STEP:09d}"
    config = resolve("demo", str(run / "config.yaml"))
    state = TrainingState(config, CLASSES, torch.device("cpu"))
    state.load_state_dict(load_checkpoint(folder, name))
    state.method.networks.eval()
    return state


def assert_close(found: Tensor, expected: Tensor, name: str) -> None:
    # In float64, so that what is left is not the order of summation.
    assert (found - expected).abs().max().item() < 1e-9 * expected.abs().max().item(), name


@torch.no_grad()
def test_imported_networks_compute_what_the_released_ones_do(
    released: tuple[list[nn.Module], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks, folder = [network.double() for network in released[0]], released[1]
    assert main([str(folder), "--out", str(tmp_path / "run")]) == 0
    assert f"{CLASSES} identities, step {STEP}" in capsys.readouterr().out
    state = imported(tmp_path / "run")
    ours = state.method.networks.double()
    assert state.iteration == STEP

    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(2, 3, 128, 128, generator=generator, dtype=torch.float64) * 2 - 1
    for number, name in enumerate(
        (
            "translator_ir",
            "translator_rgb",
            "discriminator_rgb",
            "",
            "warmup_discriminator_rgb",
            "warmup_discriminator_ir",
        )
    ):
        if name:
            assert_close(ours[name](pictures), networks[number](pictures), name)
    large = torch.randn(2, 3, 96, 48, generator=generator, dtype=torch.float64)
    maps = networks[6](large)
    backbone = ours["feature_generator"]
    assert isinstance(backbone, FeatureGenerator)
    assert_close(backbone.trunk(large), maps, "feature_generator")
    assert_close(
        judged(ours["discriminator_joint"], pictures, maps), networks[3](pictures, maps), "discriminator_joint"
    )
    logits, embedding = networks[7](maps)
    assert_close(ours["classifier"](pool(maps)), logits, "classifier")
    assert_close(ours["embedder"](pool(maps)), embedding, "embedder")


def test_the_newest_whole_set_is_taken_and_an_existing_run_is_kept(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "weights"
    shutil.copytree(small, source)
    (source / "model-3_99999.pkl").write_bytes(b"half")
    arguments = [str(source), "--out", str(tmp_path / "run"), *SMALL]
    assert main(arguments) == 0
    assert imported(tmp_path / "run").iteration == STEP
    assert main(arguments) == 2
    assert "holds a run already" in capsys.readouterr().err


def changed(small: Path, target: Path, number: int, change: str) -> Path:
    shutil.copytree(small, target)
    path = target / f"model-{number}_{STEP}.pkl"
    if change == "gone":
        path.unlink()
        return target
    if change == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
        return target
    state = torch.load(path, weights_only=True)
    if change == "missing":
        del state["module.model.0.weight"]
    elif change == "unexpected":
        state["module.model.99.weight"] = torch.zeros(1)
    elif change == "shape":
        state["module.model.0.weight"] = torch.zeros(2, 2)
    elif change == "prefix":
        state = {key.removeprefix("module."): value for key, value in state.items()}
    torch.save(state, path)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gone", f"missing model-1_{STEP}.pkl"),
        ("cut off", f"model-1_{STEP}.pkl cannot be read"),
        ("missing", "key module.model.0.weight is missing"),
        ("unexpected", "key module.model.99.weight is not expected"),
        ("shape", "module.model.0.weight has shape [2, 2], expected [4, 3, 7, 7]"),
        ("prefix", "does not start with module."),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    small: Path, tmp_path: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = changed(small, tmp_path / "weights", 1, change)
    assert main([str(source), "--out", str(tmp_path / "run"), *SMALL]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_file_that_could_run_code_is_not_run(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "weights"
    shutil.copytree(small, source)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path, "ran"),))  # type: ignore[return-value]

    torch.save({"module.x": Evil()}, source / f"model-5_{STEP}.pkl")
    assert main([str(source), "--out", str(tmp_path / "run"), *SMALL]) == 2
    assert "model-5" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
