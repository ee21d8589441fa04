"""What a checkpoint gives back to a training, and what the configuration it is resumed with decides."""

import torch

from aligngan.training.state import TrainingState
from tests.method.small import IMAGES, PERSONS, small_config

CPU = torch.device("cpu")


def test_changed_settings_of_the_optimisers_hold_for_a_resumed_run() -> None:
    before = trained()
    changed = ("optimizer.pixel_lr=1e-5", "optimizer.head_lr=0.3", "optimizer.backbone_lr=0.04")
    after = TrainingState(small_config("aligngan", *changed), PERSONS, CPU)
    after.load_state_dict(before.state_dict())
    pixel, feature = (after.steps[name].optimizer for name in ("pixel", "feature"))
    assert [group["initial_lr"] for group in pixel.param_groups] == [1e-5]
    assert [group["initial_lr"] for group in feature.param_groups] == [0.04, 0.3]
    step(after)
    assert [group["lr"] for group in pixel.param_groups] == [1e-5]
    assert [group["lr"] for group in feature.param_groups] == [0.04, 0.3]


def test_what_the_optimisers_gathered_comes_back() -> None:
    before, after = trained(), TrainingState(small_config("aligngan"), PERSONS, CPU)
    after.load_state_dict(before.state_dict())
    for name, expected in before.steps.items():
        torch.testing.assert_close(
            after.steps[name].optimizer.state_dict(), expected.optimizer.state_dict(), rtol=0, atol=0
        )


def trained() -> TrainingState:
    state = TrainingState(small_config("aligngan"), PERSONS, CPU)
    step(state)
    return state


def step(state: TrainingState) -> None:
    size = (PERSONS * IMAGES, 3, *state.config.data.image_size)
    labels = torch.arange(PERSONS).repeat_interleave(IMAGES)
    for phase in state.method.phases:
        state.steps[phase.name].run(torch.rand(size) * 2 - 1, torch.rand(size) * 2 - 1, labels, 1.0)
