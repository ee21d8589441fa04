"""Which trials a sweep has."""

import itertools
import math

import pytest

from aligngan.config import resolve
from tune.checks import checked_points
from tune.points import SEED, Point, listed_points
from tune.settings import Range, base_config, parse_settings, read_space, space_names, varied

PIX, GAN = "loss.lambda_id_pix", "loss.lambda_gan_feat"


def weights(points: list[Point]) -> list[tuple[float, float]]:
    return [(point.values[PIX], point.values[GAN]) for point in points if point.reference is None]


@pytest.mark.parametrize("name", space_names())
def test_every_sweep_that_comes_with_the_package_is_sound_and_within_its_budget(name: str) -> None:
    settings = read_space(name)
    assert settings.about
    checked_points(settings, base_config(settings))


def test_figure4_varies_one_weight_at_a_time_around_the_papers_values_beside_the_baseline() -> None:
    settings = read_space("figure4")
    points = listed_points(settings, base_config(settings))
    assert {seed for seed in settings.seeds} == {point.values[SEED] for point in points} == {0, 1, 2}
    first = weights([point for point in points if point.values[SEED] == 0])
    assert first[0] == (1.0, 0.1)
    assert all(pix == 1.0 or gan == 0.1 for pix, gan in first)
    assert len(first) == len(set(first)) == 9
    for values in (sorted({pix for pix, _ in first}), sorted({gan for _, gan in first})):
        steps = [math.log10(after / before) for before, after in itertools.pairwise(values)]
        assert all(0.4 < step < 0.6 for step in steps), values
    baselines = [point for point in points if point.reference == "baseline"]
    assert [varied(resolve(), dict(point.values)).method for point in baselines] == ["baseline"] * 3


def test_a_sweep_cut_short_has_all_points_of_its_first_seed() -> None:
    settings = read_space("figure4")
    points = listed_points(settings, base_config(settings))
    assert [point.values[SEED] for point in points] == [0] * 10 + [1] * 10 + [2] * 10


def test_a_grid_has_all_combinations_once() -> None:
    settings = read_space("grid2d")
    found = weights(listed_points(settings, base_config(settings)))
    assert len(found) == len(set(found)) == 25


def test_drawn_points_are_the_same_each_time_and_lie_in_their_range() -> None:
    settings = read_space("asha")
    points = listed_points(settings, base_config(settings))
    assert points == listed_points(settings, base_config(settings))
    assert len(set(weights(points))) == 20
    assert all(0.05 <= pix <= 20 and 0.005 <= gan <= 2 for pix, gan in weights(points))
    assert sum(pix < 1 for pix, _ in weights(points)) in range(5, 16), "a log scale halves its range at 1"


def test_a_range_gives_a_grid_its_points_with_both_bounds() -> None:
    tree = {"search": "one-at-a-time", "space": {GAN: {"low": 0.01, "high": 1.0, "points": 5}}}
    settings = parse_settings(tree, "test")
    values = sorted(point.values[GAN] for point in listed_points(settings, resolve()))
    assert values == [0.01, 0.03162, 0.1, 0.3162, 1.0]


def test_rounding_does_not_leave_the_range() -> None:
    axis = Range(low=0.123456, high=0.654321)
    assert (axis.at(0), axis.at(1)) == (0.1235, 0.6543)
    assert Range(low=0.01, high=0.12346).rounded(0.12346) == 0.12346


def test_any_key_can_vary_and_names_say_what_differs() -> None:
    tree = {"space": {"optimizer.betas": [[0.5, 0.999], [0.9, 0.999]], "method": ["pixalign", "aligngan"]}}
    points = checked_points(parse_settings(tree, "test"), resolve())
    assert [point.name for point in points][:2] == [
        "betas-0.5-0.999.method-pixalign.seed-0",
        "betas-0.5-0.999.method-aligngan.seed-0",
    ]
    assert varied(resolve(), dict(points[2].values)).optimizer.betas == (0.9, 0.999)


def test_another_preset_takes_the_place_of_the_sweeps_own_settings() -> None:
    settings = read_space("asha")
    assert base_config(settings).evaluation.every == 25
    paper = base_config(settings, preset="released", overrides=("loss.lambda_cyc=3",))
    assert paper.evaluation.every == resolve("released").evaluation.every
    assert paper.loss.lambda_cyc == 3
