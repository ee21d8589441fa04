"""Each method of Table 4: what its phases train, what they leave alone, and what they are given to judge."""

import contextlib
import copy

import pytest
import torch
from torch import Tensor

from aligngan.methods.method import Method
from aligngan.methods.phase import Phase, only_trains
from tests.method.small import IMAGES, METHODS, PERSONS, Pairs, batch, small_config, small_method

FEATURE = ("feature_generator", "classifier", "embedder")
PIXEL = ("translator_ir", "translator_rgb")
PHASES: dict[str, dict[str, tuple[str, ...]]] = {
    "baseline": {"feature": FEATURE},
    "pixalign": {"feature": FEATURE, "pixel": PIXEL, "discriminator": ("discriminator_rgb", "discriminator_ir")},
    "featalign": {"feature": FEATURE, "discriminator": ("discriminator_feature",)},
    "aligngan-minus": {
        "feature": FEATURE,
        "pixel": PIXEL,
        "discriminator": ("discriminator_rgb", "discriminator_ir", "discriminator_feature"),
    },
    "aligngan": {
        "feature": FEATURE,
        "pixel": PIXEL,
        "discriminator": ("discriminator_rgb", "discriminator_joint"),
    },
}
VALUES = {
    "baseline": {"feature": {"cls_feat", "tri_feat"}},
    "pixalign": {"feature": {"cls_feat", "tri_feat"}},
    "featalign": {"feature": {"cls_feat", "tri_feat", "gan_feat"}},
    "aligngan-minus": {"feature": {"cls_feat", "tri_feat", "gan_feat"}},
    "aligngan": {"feature": {"cls_feat", "tri_feat", "gan_feat"}},
}
RECIPES = [("demo", method) for method in METHODS] + [("released", "aligngan"), ("released", "aligngan-minus")]


def run(method: Method, phase: Phase, *tensors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Forward and backward as the training does them."""
    with only_trains(phase):
        total, values = phase(*(tensors or batch()))
        total.backward()
    return total, values


def recipe(preset: str, method: str, *overrides: str) -> Method:
    """A method whose phases can run one without the other."""
    return small_method(small_config(method, "train.reuse_fakes=false", *overrides, preset=preset))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_the_phases_of_its_row_in_table_4(method: str) -> None:
    phases = recipe("demo", method).phases_at(0)
    assert {phase.name: phase.trains for phase in phases} == PHASES[method]
    assert [phase.name for phase in phases] == list(PHASES[method])


@pytest.mark.parametrize("method", METHODS)
def test_a_phase_reports_the_terms_of_its_equation(method: str) -> None:
    built = recipe("demo", method)
    judged = [name.removeprefix("discriminator_") for name in PHASES[method].get("discriminator", ())]
    kinds = ("real", "fake", "accuracy_real", "accuracy_fake")
    expected = VALUES[method] | {
        "pixel": {"gan_pix", "gan_rgb", "cyc", "cls_pix", "tri_pix"},
        "discriminator": {f"d_{name}_{kind}" for name in judged for kind in kinds},
    }
    for phase in built.phases:
        _, values = run(built, phase)
        assert set(values) == expected[phase.name]
        assert all(value.dim() == 0 and not value.requires_grad for value in values.values())


@pytest.mark.parametrize(("preset", "method"), RECIPES)
def test_gradients_reach_every_parameter_that_a_phase_trains_and_no_other(preset: str, method: str) -> None:
    built = recipe(preset, method)
    for phase in built.phases:
        built.networks.zero_grad()
        run(built, phase)
        optimised = {id(p) for group in phase.optimizer().param_groups for p in group["params"]}
        for name, network in built.networks.items():
            for key, parameter in network.named_parameters():
                reached = parameter.grad is not None
                assert reached is (name in phase.trains), f"{phase.name}: {name}.{key}"
                assert (id(parameter) in optimised) is reached
                assert parameter.requires_grad


@pytest.mark.parametrize(("preset", "method"), RECIPES)
def test_a_phase_remembers_statistics_of_the_networks_it_trains_and_of_no_other(preset: str, method: str) -> None:
    built = recipe(preset, method)
    for seed, phase in enumerate(built.phases):
        before = copy.deepcopy(dict(built.networks.named_buffers()))
        for repeat in range(3):
            run(built, phase, *batch(10 * seed + repeat))
        for key, buffer in built.networks.named_buffers():
            if "running" in key or key.split(".")[0] not in phase.trains:
                moved = not torch.equal(buffer, before[key])
                assert moved is (key.split(".")[0] in phase.trains), f"{phase.name}: {key}"


def test_leaving_a_phase_undoes_what_entering_it_did_even_after_an_error() -> None:
    method = recipe("released", "aligngan")
    before = copy.deepcopy(method.networks.state_dict())
    phase = next(phase for phase in method.phases if phase.name == "discriminator")
    with contextlib.suppress(ZeroDivisionError), only_trains(phase):
        assert not any(p.requires_grad for p in method.networks["translator_ir"].parameters())
        raise ZeroDivisionError
    assert all(p.requires_grad for p in method.networks.parameters())
    after = method.networks.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize(("preset", "method"), RECIPES)
def test_every_phase_is_finite_in_mixed_precision(preset: str, method: str) -> None:
    # Wider than elsewhere: some processors' bfloat16 convolutions are wrong for maps of two columns (docs/method.md).
    built = recipe(preset, method, "backbone.image_size=[64, 32]")
    for phase in built.phases:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total, values = run(built, phase)
        assert total.dtype == torch.float32
        for name, value in values.items():
            assert torch.isfinite(value), name
        assert all(torch.isfinite(p.grad).all() for p in built.networks.parameters() if p.grad is not None)


@pytest.mark.parametrize("method", METHODS)
def test_steps_of_a_phase_lower_what_it_minimises(method: str) -> None:
    built = small_method(
        small_config(method, "heads.dropout=0", "optimizer.backbone_lr=0.002", "optimizer.head_lr=0.02")
    )
    for phase in built.phases:
        optimizer = phase.optimizer()
        totals = []
        for _ in range(8):
            optimizer.zero_grad()
            total, _ = run(built, phase)
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < totals[0], phase.name


def phase_named(method: Method, name: str) -> Phase:
    return next(phase for phase in method.phases if phase.name == name)


def test_the_joint_discriminator_is_shown_the_pairs_of_equation_8() -> None:
    method = recipe("demo", "aligngan")
    judged, (rgb, ir, labels) = Pairs(method.networks["discriminator_joint"]), batch()
    run(method, phase_named(method, "discriminator"), rgb, ir, labels)
    (real, real_maps), *fakes = judged.shown
    fake, fake_maps = fakes[0]
    assert torch.equal(real, ir)
    assert not torch.equal(fake, ir)
    assert not torch.equal(fake_maps, real_maps)
    assert len(fakes) == 4
    kinds = [(images is fake, maps is fake_maps, maps is real_maps, images is ir) for images, maps in fakes[:3]]
    assert kinds == [(True, True, False, False), (True, False, True, False), (False, True, False, True)]
    other, maps = fakes[3]
    assert maps is real_maps
    persons = [next(row for row in range(len(ir)) if torch.equal(picture, ir[row])) for picture in other]
    assert (labels[persons] != labels).all()
    assert not any(tensor.requires_grad for pair in judged.shown for tensor in pair)


@pytest.mark.parametrize("preset", ["demo", "released"])
def test_generators_are_judged_on_the_pairs_of_equations_9_and_10(preset: str) -> None:
    """Both presets: paper's pairs, and the released recipe's one pair each, whose other half is real and fixed."""
    method = recipe(preset, "aligngan")
    judged, (rgb, ir, labels) = Pairs(method.networks["discriminator_joint"]), batch()
    run(method, phase_named(method, "pixel"), rgb, ir, labels)
    pixel = [(images.requires_grad, maps.requires_grad) for images, maps in judged.shown]
    assert pixel == ([(True, False), (True, True)] if preset == "demo" else [(True, False)])
    judged.clear()
    run(method, phase_named(method, "feature"), rgb, ir, labels)
    feature = [(torch.equal(images, ir), images.requires_grad, maps.requires_grad) for images, maps in judged.shown]
    assert feature == ([(True, False, True), (False, False, True)] if preset == "demo" else [(True, False, True)])


def test_a_batch_that_has_no_other_person_to_pair_with_is_refused() -> None:
    method = recipe("demo", "aligngan")
    rgb, ir, labels = batch()
    for wrong in (
        torch.zeros_like(labels),
        torch.arange(PERSONS).repeat(IMAGES)[torch.tensor([0, 1, 0, 1, 2, 3, 2, 3])],
    ):
        with pytest.raises(ValueError, match="two or more persons in blocks of 2 rows"):
            run(method, phase_named(method, "discriminator"), rgb, ir, wrong)


def test_the_released_recipe_warms_up_in_two_stages_with_discriminators_of_their_own() -> None:
    method = recipe("released", "aligngan")
    names = [[phase.name for phase in method.phases_at(iteration)] for iteration in range(4)]
    joint = ["feature", "pixel", "discriminator"]
    assert names == [["feature_warmup"], ["pixel_warmup", "discriminator_warmup"], joint, joint]
    assert {phase.name: phase.stream for phase in method.phases} == {
        "feature_warmup": "main",
        "pixel_warmup": "pixel",
        "discriminator_warmup": "pixel",
        "feature": "main",
        "pixel": "pixel",
        "discriminator": "pixel",
    }
    fresh = {name: copy.deepcopy(network.state_dict()) for name, network in method.networks.items()}
    phase = phase_named(method, "discriminator_warmup")
    optimizer = phase.optimizer()
    run(method, phase)
    optimizer.step()
    moved = {
        name
        for name, network in method.networks.items()
        if any(not torch.equal(value, fresh[name][key]) for key, value in network.state_dict().items())
    }
    assert moved == {"warmup_discriminator_ir", "warmup_discriminator_rgb"}


def test_the_feature_warmup_sees_real_infrared_pictures_only() -> None:
    method = recipe("released", "aligngan", "heads.dropout=0")
    rgb, ir, labels = batch()
    warmup = phase_named(method, "feature_warmup")
    first, _ = run(method, warmup, rgb, ir, labels)
    without_rgb, _ = run(method, warmup, torch.full_like(rgb, torch.nan), ir, labels)
    assert torch.equal(first, without_rgb)


def test_both_modalities_are_normalised_together_or_apart_as_set() -> None:
    """Apart, a change of the RGB pictures cannot reach the infrared pictures' logits; together it does."""
    rgb, ir, _ = batch()
    for together in (True, False):
        setting = f"backbone.joint_statistics={str(together).lower()}"
        method = small_method(small_config("baseline", setting, "heads.dropout=0"))
        phase = method.phases[0]
        with torch.no_grad():
            first, second = (phase.identify(*phase.maps(ir, pictures))[0] for pictures in (rgb, rgb / 2))
        assert torch.equal(first, second) is not together


@pytest.mark.parametrize("method", METHODS)
def test_retrieval_translates_rgb_pictures_where_there_is_a_pixel_module(method: str) -> None:
    built = recipe("demo", method)
    built.networks.eval()
    rgb, ir, _ = batch()
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert built.features(rgb, "rgb").dtype == torch.float32
        features = {"rgb": built.features(rgb, "rgb"), "ir": built.features(ir, "ir")}
        plain = built.features(rgb, "ir")
        assert features["ir"].shape == (PERSONS * IMAGES, 512)
        pixel_module = "pixel" in PHASES[method]
        assert built.translates is pixel_module
        assert torch.equal(features["rgb"], plain) is not pixel_module
        if pixel_module:
            assert torch.allclose(features["rgb"], built.features(built.translate(rgb, "ir"), "ir"))
            assert not torch.equal(built.translate(ir, "rgb"), built.translate(ir, "ir"))


def test_optimisers_have_the_rates_of_section_4_2() -> None:
    method = recipe("paper", "aligngan")
    groups = {phase.name: phase.optimizer().param_groups for phase in method.phases}
    assert [group["lr"] for group in groups["feature"]] == [0.02, 0.2]
    assert all((g["momentum"], g["nesterov"], g["weight_decay"]) == (0.9, True, 5e-4) for g in groups["feature"])
    assert [(g["lr"], g["betas"]) for g in groups["pixel"] + groups["discriminator"]] == [(2e-4, (0.5, 0.999))] * 2


@pytest.mark.parametrize(
    ("override", "name", "factor"),
    [
        ("loss.lambda_cyc=0", "cyc", 10.0),
        ("loss.lambda_gan_feat=0", "gan_feat", 0.1),
    ],
)
def test_weights_of_the_equations_weigh_their_terms(override: str, name: str, factor: float) -> None:
    phase = "pixel" if name == "cyc" else "feature"
    full, without = (small_method(small_config("aligngan", "heads.dropout=0", *o)) for o in ((), (override,)))
    total, values = run(full, phase_named(full, phase))
    less, _ = run(without, phase_named(without, phase))
    assert (total - less).item() == pytest.approx(factor * values[name].item(), rel=1e-4)
