"""Gradient norms and clipping, moving averages, and a stop with everything named when a loss is no number any more."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aligngan.config import Config, resolve
from aligngan.training.averages import retrieval_weights
from aligngan.training.batches import Batches
from aligngan.training.divergence import diverged
from aligngan.training.loop import run_iteration
from aligngan.training.state import TrainingState
from aligngan.training.telemetry import NotFinite, Telemetry
from cluster.folder import RunFolder
from loaders.catalog import open_dataset
from tests.training.test_equivalence import METHODS, small

CPU = torch.device("cpu")
Training = tuple[TrainingState, Batches]


def training(config: Config) -> Training:
    dataset = open_dataset(config.data)
    state = TrainingState(config, len(dataset.train_persons), CPU)
    return state, Batches(config, dataset, 0, 1, CPU)


@pytest.fixture
def short(small_synthetic: list[str]) -> Iterator[Training]:
    state, batches = training(small("aligngan", small_synthetic))
    with batches:
        yield state, batches


def gradient_norms(state: TrainingState) -> dict[str, float]:
    """The norm of the gradient over what each phase trains when its optimiser steps; filled as phases run."""
    norms: dict[str, float] = {}
    for phase in state.method.phases:
        parameters = [p for name in phase.trains for p in state.method.networks[name].parameters()]

        def remember(*_: object, name: str = phase.name, parameters: list[torch.nn.Parameter] = parameters) -> None:
            squares = [p.grad.double().square().sum().item() for p in parameters if p.grad is not None]
            norms[name] = math.sqrt(sum(squares))

        state.steps[phase.name].optimizer.register_step_pre_hook(remember)
    return norms


def changed(config: Config, *overrides: str) -> Config:
    return resolve("demo", overrides=[*_as_overrides(config.model_dump(mode="json")), *overrides])


def _as_overrides(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _as_overrides(value, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}={'null' if value is None else value}")
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_value_of_every_phase_stays_finite(method: str, precision: str, small_synthetic: list[str]) -> None:
    size = ["backbone.image_size=[96, 48]", f"train.precision={precision}"]
    state, batches = training(changed(small(method, small_synthetic), *size))
    telemetry = Telemetry(1, 4)
    with batches:
        for iteration in range(4):
            telemetry.add(iteration, *run_iteration(state, batches, 0))
    record = telemetry.report(4)
    for phase in state.method.phases_at(0):
        norm = record[f"grad_norm_{phase.name}"]
        assert isinstance(norm, float)
        assert norm > 0


def test_the_gradient_norm_is_that_of_the_networks_which_the_phase_trains(short: Training) -> None:
    state, batches = short
    norms = gradient_norms(state)
    values, _ = run_iteration(state, batches, 0)
    for phase in state.method.phases_at(0):
        assert values[f"grad_norm_{phase.name}"].item() == pytest.approx(norms[phase.name], rel=1e-4)
    assert all(parameter.grad is None for parameter in state.method.networks.parameters()), "the next phase has room"


def test_clipping_cuts_the_gradient_to_the_norm_and_reports_what_it_was(small_synthetic: list[str]) -> None:
    config = small("baseline", small_synthetic)
    found = {}
    for clip in (0.0, 0.5):
        state, batches = training(changed(config, f"optimizer.clip_norm={clip}"))
        with batches:
            norms = gradient_norms(state)
            values, _ = run_iteration(state, batches, 0)
        found[clip] = (values["grad_norm_feature"].item(), norms["feature"])
    assert found[0.0][0] == found[0.5][0] == pytest.approx(found[0.0][1], rel=1e-3)
    assert found[0.0][1] > 0.5
    assert found[0.5][1] == pytest.approx(0.5, rel=1e-3)


def test_averages_follow_the_networks_and_are_what_is_evaluated(small_synthetic: list[str]) -> None:
    state, batches = training(changed(small("aligngan", small_synthetic), "train.ema_decay=0.75"))
    key = "feature_generator.trunk.0.weight"
    seen = []
    with batches:
        for _ in range(3):
            run_iteration(state, batches, 0)
            seen.append(state.method.networks.state_dict()[key].clone())
    expected = seen[0]
    for weights in seen[1:]:
        expected = 0.75 * expected + 0.25 * weights
    evaluated = state.evaluated.networks.state_dict()
    torch.testing.assert_close(evaluated[key], expected)
    assert not torch.equal(evaluated[key], seen[-1])
    key = "classifier.classifier.weight"
    assert torch.equal(evaluated[key], state.method.networks.state_dict()[key])
    assert all(value.isfinite().all() for value in evaluated.values())


def test_a_checkpoint_carries_the_averages_and_retrieval_reads_them(small_synthetic: list[str]) -> None:
    config = changed(small("aligngan", small_synthetic), "train.ema_decay=0.75")
    state, batches = training(config)
    with batches:
        for _ in range(2):
            run_iteration(state, batches, 0)
    saved = state.state_dict()
    resumed, _ = training(config)
    resumed.load_state_dict(saved)
    evaluated = state.evaluated.networks.state_dict()
    for name, weights in resumed.evaluated.networks.state_dict().items():
        assert torch.equal(weights, evaluated[name]), name
    for name, weights in retrieval_weights(saved).items():
        assert torch.equal(weights, evaluated[name]), name


def test_without_averages_the_networks_themselves_are_evaluated(short: Training) -> None:
    state, _ = short
    assert state.evaluated is state.method
    saved = state.state_dict()
    assert retrieval_weights(saved) == saved["networks"]


def test_the_first_value_that_is_not_finite_is_named_with_its_iteration() -> None:
    telemetry = Telemetry(1, 10)
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    telemetry.add(0, {"cyc": good, "cls_pix": good}, 0.0)
    telemetry.add(1, {"cyc": good, "cls_pix": bad}, 0.0)
    telemetry.add(2, {"cyc": bad, "cls_pix": bad}, 0.0)
    with pytest.raises(NotFinite) as caught:
        telemetry.report(3)
    assert (caught.value.iteration, caught.value.names, caught.value.mine) == (1, ["cls_pix"], True)


def test_the_batch_of_a_loss_that_is_no_number_is_saved_and_named(short: Training, tmp_path: Path) -> None:
    state, batches = short
    for _ in range(2):
        run_iteration(state, batches, 0)
    expected = batches.read("main", 1)
    run_iteration(state, batches, 0)  # noticed later than it happened
    message = str(diverged(NotFinite(1, ["tri_pix", "cyc"], True), state, batches, RunFolder(str(tmp_path)), 0))
    assert "tri_pix of phase pixel is not finite at iteration 2" in message
    saved = torch.load(tmp_path / "failures" / "000000002-rank0.pt", weights_only=True)
    assert saved["iteration"] == 1
    assert saved["not_finite"] == ["tri_pix", "cyc"]
    main = saved["streams"]["main"]
    assert torch.equal(main["rgb"], expected.rgb)
    assert torch.equal(main["ir"], expected.ir)
    for path in (*expected.rgb_paths, *expected.ir_paths):
        assert path in message
        assert path in main["rgb_paths"] + main["ir_paths"]


def test_skipped_pictures_are_counted_and_the_training_goes_on(small_synthetic: list[str], tmp_path: Path) -> None:
    config = changed(small("baseline", small_synthetic), "data.on_error=skip")
    dataset = open_dataset(config.data)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    spoiled = replace(dataset, train=tuple(replace(p, path=str(broken)) if p.number == 1 else p for p in dataset.train))
    state = TrainingState(config, len(dataset.train_persons), CPU)
    telemetry = Telemetry(1, 3)
    with Batches(config, spoiled, 0, 1, CPU) as batches:
        for iteration in range(3):
            telemetry.add(iteration, *run_iteration(state, batches, 0))
    skipped = telemetry.report(3)["skipped_pictures"]
    assert isinstance(skipped, float)
    assert 0 < skipped < 16
