"""The equations against slow references that follow the paper's text word by word, in float64."""

import math

import pytest
import torch
from torch import Tensor

from aligngan.losses.adversarial import judged_fake, judged_real, loss_discriminator, loss_gan_feat, loss_gan_pix
from aligngan.losses.identity import classification, loss_cls_feat, loss_tri_feat, loss_tri_pix, triplet
from aligngan.losses.pixel import cycle_consistency, identity_mapping, loss_feat, loss_pix

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine(left: Tensor, right: Tensor) -> float:
    lengths = math.sqrt(sum(float(x) ** 2 for x in left)) * math.sqrt(sum(float(x) ** 2 for x in right))
    return sum(float(x) * float(y) for x, y in zip(left, right, strict=True)) / lengths if lengths else 0.0


def slow_triplet(sets: tuple[Tensor, Tensor, Tensor], labels: tuple[Tensor, Tensor, Tensor], margin: float) -> float:
    """Eq. 3, one anchor at a time."""
    terms = []
    for anchor, label in zip(sets[0], labels[0], strict=True):
        positives = [cosine(anchor, row) for row, other in zip(sets[1], labels[1], strict=True) if other == label]
        negatives = [cosine(anchor, row) for row, other in zip(sets[2], labels[2], strict=True) if other != label]
        if positives and negatives:
            terms.append(max(0.0, margin - min(positives) + max(negatives)))
    return sum(terms) / len(terms) if terms else 0.0


TRIPLETS = {
    "random": ((random(6, 5), random(6, 5, seed=1), random(6, 5, seed=2)), (LABELS, LABELS, LABELS)),
    "sets of different sizes": (
        (random(3, 4), random(5, 4, seed=1), random(4, 4, seed=2)),
        (torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0, 0, 1]), torch.tensor([0, 1, 1, 2])),
    ),
    "an anchor without a positive": (
        (random(3, 4), random(4, 4, seed=1), random(4, 4, seed=2)),
        (torch.tensor([0, 1, 7]), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 2])),
    ),
    "an anchor without a negative": (
        (random(3, 4), random(3, 4, seed=1), random(2, 4, seed=2)),
        (torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), torch.tensor([1, 1])),
    ),
    "one person": (
        (random(4, 3), random(4, 3, seed=1), random(4, 3, seed=2)),
        (torch.zeros(4, dtype=torch.int64),) * 3,
    ),
    "equal embeddings": ((torch.ones(6, 3, dtype=torch.float64),) * 3, (LABELS, LABELS, LABELS)),
    "zero embeddings": ((torch.zeros(6, 3, dtype=torch.float64),) * 3, (LABELS, LABELS, LABELS)),
    "one zero embedding": (
        (random(6, 3) * torch.tensor([[1.0], [0], [1], [1], [1], [1]]), random(6, 3, seed=1), random(6, 3, seed=2)),
        (LABELS, LABELS, LABELS),
    ),
}


@pytest.mark.parametrize("margin", [0.3, 1.0])
@pytest.mark.parametrize("case", TRIPLETS)
def test_the_triplet_loss_is_equation_3(case: str, margin: float) -> None:
    sets, labels = TRIPLETS[case]
    assert triplet(*sets, *labels, margin).item() == pytest.approx(slow_triplet(sets, labels, margin), abs=1e-12)


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-22, 1e-20, 1e-15, 1e-12, 1e15, 1e30])
def test_the_triplet_loss_and_its_gradient_are_finite_at_any_length_of_embedding(length: float) -> None:
    rows = (random(6, 8).float() * length).requires_grad_()
    loss = triplet(rows, rows, rows, LABELS, LABELS, LABELS, 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


def test_the_triplet_loss_has_the_gradient_of_its_value() -> None:
    sets = [random(6, 5, seed=seed).requires_grad_() for seed in range(3)]
    assert torch.autograd.gradcheck(lambda a, p, n: triplet(a, p, n, LABELS, LABELS, LABELS, 1.0), sets)


def test_the_feature_triplet_term_takes_anchors_of_both_modalities() -> None:
    ir, fake = random(6, 5), random(6, 5, seed=1)
    labels = (LABELS, LABELS, LABELS)
    there, back = slow_triplet((ir, fake, fake), labels, 1.0), slow_triplet((fake, ir, ir), labels, 1.0)
    assert there != pytest.approx(back, abs=1e-3)
    assert loss_tri_feat(ir, fake, LABELS, LABELS, 1.0).item() == pytest.approx(there + back)
    assert loss_tri_pix(ir, fake, LABELS, LABELS, 1.0).item() == pytest.approx((there + back) / 2)
    assert loss_tri_pix(ir, fake, LABELS, LABELS, 1.0, weight=1.0).item() == pytest.approx(there + back)


def slow_cross_entropy(logits: Tensor, labels: Tensor) -> list[float]:
    return [
        math.log(sum(math.exp(float(x)) for x in row)) - float(row[label])
        for row, label in zip(logits, labels, strict=True)
    ]


def test_classification_of_the_union_is_a_mean_over_all_pictures_and_the_sum_of_means_is_twice_it() -> None:
    ir, fake = random(6, 4), random(6, 4, seed=1)
    every = slow_cross_entropy(ir, LABELS) + slow_cross_entropy(fake, LABELS)
    assert classification(ir, LABELS).item() == pytest.approx(sum(every[:6]) / 6)
    assert loss_cls_feat(ir, fake, LABELS, "union").item() == pytest.approx(sum(every) / 12)
    assert loss_cls_feat(ir, fake, LABELS, "sum").item() == pytest.approx(sum(every) / 6)


def probability(logit: Tensor) -> float:
    return 1 / (1 + math.exp(-float(logit)))


def slow_judgement(logits: Tensor, real: bool, form: str) -> float:
    """Mean over patches of -log D or -log(1 - D), or of the squared distance from 1 or 0."""
    flat = logits.flatten()
    if form == "lsgan":
        return sum((float(x) - real) ** 2 for x in flat) / len(flat)
    return sum(-math.log(probability(x) if real else 1 - probability(x)) for x in flat) / len(flat)


@pytest.mark.parametrize("form", ["bce", "lsgan"])
def test_adversarial_losses_are_equations_7_to_10_with_their_signs_put_right(form: str) -> None:
    real, *others = (random(3, 1, 2, 2, seed=seed) for seed in range(5))
    on_real, on_fake = loss_discriminator(real, others, form)
    assert on_real.item() == pytest.approx(slow_judgement(real, True, form))
    assert on_fake.item() == pytest.approx(sum(slow_judgement(x, False, form) for x in others) / 4)
    wanted = sum(slow_judgement(x, True, form) for x in others[:2]) / 2
    assert loss_gan_pix(others[:2], form).item() == pytest.approx(wanted)
    assert loss_gan_feat(others[:2], form).item() == pytest.approx(wanted)


@pytest.mark.parametrize("form", ["bce", "lsgan"])
def test_a_sure_discriminator_still_teaches(form: str) -> None:
    """The non-saturating form: the gradient of a fooled-by-nothing generator does not vanish, nor does it overflow."""
    logits = torch.full((1, 1, 2, 2), -200.0, requires_grad=True)
    judged_real(logits, form).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad <= -0.2).all()
    assert torch.isfinite(judged_fake(-logits, form))


def test_a_generator_that_is_believed_loses_less() -> None:
    for form in ("bce", "lsgan"):
        assert judged_real(torch.tensor([0.9]), form) < judged_real(torch.tensor([0.1]), form)
        assert judged_fake(torch.tensor([0.9]), form) > judged_fake(torch.tensor([0.1]), form)


def slow_l1(left: Tensor, right: Tensor) -> float:
    pairs = list(zip(left.flatten(), right.flatten(), strict=True))
    return sum(abs(float(x) - float(y)) for x, y in pairs) / len(pairs)


def test_cycle_consistency_is_equation_1() -> None:
    rgb, cycled_rgb, ir, cycled_ir = (random(2, 3, 2, 2, seed=seed) for seed in range(4))
    expected = slow_l1(cycled_rgb, rgb) + slow_l1(cycled_ir, ir)
    assert cycle_consistency(rgb, cycled_rgb, ir, cycled_ir).item() == pytest.approx(expected)
    assert identity_mapping(rgb, cycled_rgb, ir, cycled_ir).item() == pytest.approx(expected)


def test_the_overall_losses_are_equations_4_and_6() -> None:
    gan, cyc, cls, tri = (torch.tensor(value) for value in (2.0, 3.0, 5.0, 7.0))
    assert loss_pix(gan, cyc, cls, tri, lambda_cyc=10.0, lambda_id_pix=0.5).item() == 2 + 30 + 6
    assert loss_feat(cls, tri, gan, lambda_gan_feat=0.1).item() == pytest.approx(12.2)


def test_losses_have_the_gradients_of_their_values() -> None:
    logits, pictures = [random(4, 3).requires_grad_()], [random(1, 3, 2, 2, seed=s).requires_grad_() for s in range(4)]
    for form in ("bce", "lsgan"):
        assert torch.autograd.gradcheck(lambda x, form=form: judged_real(x, form), logits)
        assert torch.autograd.gradcheck(lambda x, form=form: judged_fake(x, form), logits)
    assert torch.autograd.gradcheck(lambda x: classification(x, torch.tensor([0, 1, 2, 2])), logits)
    assert torch.autograd.gradcheck(cycle_consistency, pictures)


@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32])
def test_under_autocast_losses_are_computed_in_float32(given: torch.dtype) -> None:
    """Each equals the float64 value of the numbers it was given far closer than bfloat16 could (2 ** -8)."""
    rows = [random(32, 64, seed=seed).to(given) for seed in range(4)]
    labels = torch.arange(8).repeat_interleave(4)
    losses = {
        "triplet": lambda a, b, c, d: loss_tri_feat(a, b, labels, labels, 1.0),
        "classification": lambda a, b, c, d: loss_cls_feat(a, b, labels, "union"),
        "bce": lambda a, b, c, d: torch.stack(loss_discriminator(a, [b, c], "bce")).sum(),
        "lsgan": lambda a, b, c, d: loss_gan_pix([a, b], "lsgan"),
        "cycle": cycle_consistency,
    }
    for name, loss in losses.items():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss(*rows)
        assert found.dtype == torch.float32, name
        assert found.item() == pytest.approx(loss(*(row.double() for row in rows)).item(), rel=2e-6), name
