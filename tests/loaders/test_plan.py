"""What a batch plan promises: the same batches from anywhere, aligned, covering everybody, shared by ranks."""

import time
from collections import Counter

import numpy as np
import pytest

from loaders.dataset import Modality, Picture
from loaders.plan import BatchPlan, PlannedHalf, PlannedRows

SIZE = (64, 32)
SEEDS = range(12)

# Seed 5, step 9 of the plan in `test_the_batches_of_a_seed_never_change`.
GOLDEN_LABELS: list[int] = [0, 0, 2, 2, 5, 5]
GOLDEN_RGB: list[int] = [0, 4, 16, 19, 43, 42]
GOLDEN_IR: list[int] = [5, 7, 21, 22, 47, 46]
GOLDEN_CROP: list[list[int]] = [[-1, 0], [-2, 0], [-2, 0], [-2, -1], [2, -2], [-2, 0]]
GOLDEN_BOX: list[int] = [26, 10, 17, 7]


def pictures_of(persons: int, rgb: int = 5, ir: int = 3) -> list[Picture]:
    """Persons 10, 20, 30, ..., each with `rgb` and `ir` pictures."""
    counts: list[tuple[Modality, int]] = [("rgb", rgb), ("ir", ir)]
    return [
        Picture(f"{modality}/{10 * person}/{number}.jpg", 10 * person, 1 if modality == "rgb" else 3, modality, number)
        for person in range(1, persons + 1)
        for modality, count in counts
        for number in range(1, count + 1)
    ]


def plan_of(pictures: list[Picture], persons: int, each: int, seed: int = 0, **options) -> BatchPlan:  # type: ignore[no-untyped-def]
    return BatchPlan(pictures, persons, each, seed=seed, image_size=SIZE, **options)


def halves(rows: PlannedRows) -> tuple[PlannedHalf, PlannedHalf]:
    return rows.rgb, rows.ir


def as_bytes(rows: PlannedRows) -> bytes:
    arrays: list[np.ndarray] = [rows.labels]
    for half in halves(rows):
        arrays += [half.pictures, half.flip, half.crop, half.erase]
    return b"".join(array.tobytes() for array in arrays)


def persons_at(plan: BatchPlan, step: int) -> list[int]:
    """The persons of a step's blocks, in order."""
    return plan.rows(step).labels[:: plan.images_per_person].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_is_the_same_from_a_fresh_plan_and_after_any_other_steps(seed: int) -> None:
    pictures = pictures_of(11)
    options = {"flip": 0.5, "pad": 3, "erase": 0.5}
    first = plan_of(pictures, 4, 2, seed, **options)
    in_order = [as_bytes(first.rows(step)) for step in range(60)]
    assert len(set(in_order)) == 60
    again = plan_of(pictures, 4, 2, seed, **options)
    for step in np.random.default_rng(seed).permutation(60).tolist():
        assert as_bytes(again.rows(step)) == in_order[step]


def test_seeds_and_streams_give_different_batches() -> None:
    pictures = pictures_of(11)
    plans = [plan_of(pictures, 4, 2, seed, stream=stream) for seed in SEEDS for stream in (0, 1)]
    assert len({as_bytes(plan.rows(3)) for plan in plans}) == len(plans)


def test_the_batches_of_a_seed_never_change() -> None:
    """A run that is continued with a later version must see the batches that it would have seen."""
    rows = plan_of(pictures_of(7), 3, 2, seed=5, pad=2, erase=1.0).rows(9)
    assert rows.labels.tolist() == GOLDEN_LABELS
    assert rows.rgb.pictures.tolist() == GOLDEN_RGB
    assert rows.ir.pictures.tolist() == GOLDEN_IR
    assert rows.rgb.crop.tolist() == GOLDEN_CROP
    assert rows.ir.erase[0].tolist() == GOLDEN_BOX


@pytest.mark.parametrize("seed", SEEDS)
def test_both_halves_show_the_same_person_in_every_row_in_blocks(seed: int) -> None:
    pictures = pictures_of(9)
    plan = plan_of(pictures, 4, 3, seed)
    for step in range(20):
        rows = plan.rows(step)
        assert len(rows.labels) == 12
        for half, modality in zip(halves(rows), ("rgb", "ir"), strict=True):
            drawn = [pictures[index] for index in half.pictures]
            assert {picture.modality for picture in drawn} == {modality}
            assert [picture.person for picture in drawn] == [plan.persons[label] for label in rows.labels]
        blocks = rows.labels.reshape(4, 3)
        assert (blocks == blocks[:, :1]).all()


@pytest.mark.parametrize(("persons", "size"), [(12, 4), (13, 4), (7, 5), (5, 5), (8, 6), (9, 2), (395, 18)])
def test_every_person_comes_once_an_epoch_and_never_twice_in_a_batch(persons: int, size: int) -> None:
    pictures = pictures_of(persons)
    for seed in (0, 1, 2):
        plan = plan_of(pictures, size, 2, seed)
        # As many epochs as it takes for the end of a batch to meet the end of an epoch, and some more.
        epochs = 2 * size + 1
        batches = [persons_at(plan, step) for step in range(-(-epochs * persons // size))]
        assert all(len(set(batch)) == size for batch in batches)
        drawn = [person for batch in batches for person in batch]
        for epoch in range(epochs):
            assert sorted(drawn[epoch * persons : (epoch + 1) * persons]) == list(range(persons))


def test_epochs_are_in_different_orders() -> None:
    plan = plan_of(pictures_of(12), 4, 2)
    epochs = {tuple(tuple(persons_at(plan, 3 * epoch + batch)) for batch in range(3)) for epoch in range(20)}
    assert len(epochs) == 20


def test_every_pair_of_persons_meets_about_equally_often() -> None:
    plan = plan_of(pictures_of(7), 3, 1)
    steps = 7000
    met = np.zeros((7, 7))
    for step in range(steps):
        batch = persons_at(plan, step)
        met[np.ix_(batch, batch)] += 1
    pairs = met[~np.eye(7, dtype=bool)] / steps
    # Three of seven persons meet with probability 1/7; batches across two epochs shift it a little.
    assert pairs.min() > 0.12
    assert pairs.max() < 0.165


@pytest.mark.parametrize(("rgb", "ir", "each"), [(5, 3, 2), (8, 4, 4), (7, 9, 4), (4, 4, 4)])
def test_pictures_of_a_person_are_used_up_before_any_comes_again(rgb: int, ir: int, each: int) -> None:
    for seed in (0, 1, 2):
        plan = plan_of(pictures_of(5, rgb, ir), 2, each, seed)
        seen: dict[tuple[int, int], list[int]] = {}
        for step in range(5 * 24 // 2):
            rows = plan.rows(step)
            for number, half in enumerate(halves(rows)):
                for block, label in zip(half.pictures.reshape(2, each), rows.labels[::each], strict=True):
                    assert len(set(block.tolist())) == each, "a picture is twice in a batch"
                    seen.setdefault((number, int(label)), []).extend(block.tolist())
        for (number, _), order in seen.items():
            count = (rgb, ir)[number]
            assert len(order) == 24 * each
            for start in range(0, len(order) - count + 1, count):
                assert len(set(order[start : start + count])) == count


@pytest.mark.parametrize(("count", "each"), [(1, 4), (2, 4), (3, 4), (3, 5), (4, 10)])
def test_fewer_pictures_than_k_are_cycled_through_evenly(count: int, each: int) -> None:
    plan = plan_of(pictures_of(3, rgb=count, ir=count), 3, each)
    used: Counter[int] = Counter()
    orders = set()
    for step in range(4 * count):
        for block in plan.rows(step).rgb.pictures.reshape(3, each):
            used.update(block.tolist())
            orders.add(tuple((block - block.min()).tolist()))
    assert set(used.values()) == {4 * each}
    assert count == 1 or len(orders) > 1, "the deck is never reshuffled"


@pytest.mark.parametrize("world", [2, 3, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_ranks_rows_one_below_the_other_are_the_batch_of_one(seed: int, world: int) -> None:
    plan = plan_of(pictures_of(13), 6, 2, seed, pad=4, erase=0.5)
    for step in (0, 1, 2, 17, 1000):
        whole = plan.rows(step)
        parts = [plan.rows(step, rank, world) for rank in range(world)]
        assert np.array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
        for name in ("rgb", "ir"):
            for field in ("pictures", "flip", "crop", "erase"):
                joined = np.concatenate([getattr(getattr(part, name), field) for part in parts])
                assert np.array_equal(joined, getattr(getattr(whole, name), field)), (name, field)
        persons = [set(part.labels.tolist()) for part in parts]
        assert sum(map(len, persons)) == len(set.union(*persons)) == 6, "a person is on two ranks"


def test_flips_crops_and_boxes_are_drawn_as_asked() -> None:
    plan = plan_of(pictures_of(8), 8, 4, flip=0.25, pad=3, erase=0.4)
    drawn = [half for step in range(200) for half in halves(plan.rows(step))]
    flip = np.concatenate([half.flip for half in drawn])
    crop = np.concatenate([half.crop for half in drawn])
    erase = np.concatenate([half.erase for half in drawn])
    assert abs(flip.mean() - 0.25) < 0.02
    assert [sorted(set(column.tolist())) for column in crop.T] == [list(range(-3, 4))] * 2
    assert np.abs(crop.mean(axis=0)).max() < 0.1
    boxes = erase[erase[:, 2] > 0]
    assert abs(len(boxes) / len(erase) - 0.4) < 0.02
    assert (erase[erase[:, 2] == 0] == 0).all()
    top, left, tall, wide = boxes.T
    assert (boxes >= 0).all()
    assert (top + tall <= SIZE[0]).all()
    assert (left + wide <= SIZE[1]).all()
    share = tall * wide / (SIZE[0] * SIZE[1])
    assert 0.01 < share.min() < 0.03
    assert 0.3 < share.max() < 0.42


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    plan = plan_of(pictures_of(8), 8, 4, flip=0.0, pad=0, erase=0.0)
    for half in halves(plan.rows(3)):
        assert not half.flip.any()
        assert not half.crop.any()
        assert not half.erase.any()


def test_persons_with_one_modality_are_not_drawn_but_keep_their_label() -> None:
    pictures = [p for p in pictures_of(6) if not (p.person == 20 and p.modality == "ir")]
    plan = plan_of(pictures, 5, 2)
    assert plan.persons == (10, 20, 30, 40, 50, 60)
    assert plan.drawn_persons == (10, 30, 40, 50, 60)
    assert {label for step in range(10) for label in persons_at(plan, step)} == {0, 2, 3, 4, 5}


def test_too_few_persons_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"takes 8 persons .* only 6 of the 6"):
        plan_of(pictures_of(6), 8, 2)


def test_workers_that_cannot_share_the_persons_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="persons_per_batch is 6, which 4 workers"):
        plan_of(pictures_of(6), 6, 2).rows(0, 0, 4)


def test_a_border_as_large_as_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="pad is 32"):
        plan_of(pictures_of(6), 6, 2, pad=32)


def test_a_step_of_a_set_as_large_as_sysu_mm01_takes_about_a_millisecond() -> None:
    plan = plan_of(pictures_of(395, rgb=57, ir=30), 18, 4, seed=3, pad=2, erase=0.5)
    times = []
    for step in range(200):
        start = time.process_time()
        plan.rows(step)
        times.append(time.process_time() - start)
    # Once every person has been drawn a step takes well under 1 ms; the bound leaves room for a busy machine.
    assert np.median(times) < 0.003
