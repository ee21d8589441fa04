"""The report of a sweep, from made-up scores."""

import csv
import math
from pathlib import Path

import pytest
import yaml

from aligngan.config import resolve
from tests.tune.fabricated import fabricate
from tune.figures import heat_map, weights_picture
from tune.points import SEED, Point
from tune.report import main
from tune.results import SweepResults, read_results
from tune.settings import read_space
from tune.trial_figures import courses_picture, parallel_coordinates

PIX, GAN = "loss.lambda_id_pix", "loss.lambda_gan_feat"


def rank1(point: Point) -> float:
    """Highest at (0.3, 0.3); the seeds differ by one."""
    if point.reference:
        return 8.0 + point.values[SEED]
    pix, gan = point.values[PIX], point.values[GAN]
    return 20 - abs(math.log10(pix / 0.3)) - 2 * abs(math.log10(gan / 0.3)) + point.values[SEED]


def results(folder: Path, space: str, unfinished: dict[str, str] | None = None) -> SweepResults:
    tree = read_space(space).model_dump(mode="json") | {"asha": None}
    return read_results(fabricate(folder, tree, rank1, unfinished))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def figure4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole sweep with its report."""
    folder = tmp_path_factory.mktemp("sweeps") / "mine"
    results(folder, "figure4")
    assert main([str(folder)]) == 0
    return folder


def test_a_report_has_one_page_and_every_figure_as_png_and_svg(figure4: Path) -> None:
    page = (figure4 / "report" / "index.html").read_text(encoding="utf-8")
    for name in ("figure-4", "parallel-coordinates", "courses"):
        assert f'id="picture-{name}"' in page
        assert (figure4 / "report" / "pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (figure4 / "report" / "pictures" / f"{name}.svg").read_bytes()
    assert "http" not in page.replace("http-equiv", "")


def test_the_table_has_mean_and_spread_over_seeds_of_every_point_and_the_baseline(figure4: Path) -> None:
    points = rows(figure4 / "report" / "tables" / "points.csv")
    assert len(points) == 10
    paper = next(row for row in points if row["lambda_id_pix"] == "1" and row["lambda_gan_feat"] == "0.1")
    expected = rank1(Point("", {PIX: 1.0, GAN: 0.1, SEED: 1}))
    assert float(paper["Rank-1"]) == pytest.approx(expected)
    assert float(paper["Rank-1 standard deviation"]) == pytest.approx(1.0)
    assert (points[-1]["lambda_id_pix"], float(points[-1]["Rank-1"])) == ("baseline", 9.0)


def test_the_csv_of_trials_has_every_score_and_the_run_folder(figure4: Path) -> None:
    trials = rows(figure4 / "report" / "tables" / "trials.csv")
    assert len(trials) == 30
    for trial in trials:
        assert trial["status"] == "finished"
        assert Path(trial["run folder"], "config.yaml").exists()
        assert float(trial["all-single R10"]) == pytest.approx(2 * float(trial["all-single R1"]))
        assert float(trial["seconds"]) == 180


def test_the_best_configuration_is_ready_for_a_training_of_its_own(figure4: Path) -> None:
    file = figure4 / "report" / "best.yaml"
    config = resolve(file=str(file))
    # One weight at a time: the gain of moving lambda_gan_feat to its best is the larger one.
    assert (config.loss.lambda_id_pix, config.loss.lambda_gan_feat) == (1.0, 0.3)
    assert config.run == resolve().run
    assert config.model_dump(exclude={"loss"}) == resolve().model_dump(exclude={"loss"})
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["train"]["seed"] == 0


def test_the_best_point_is_chosen_by_its_mean_among_those_with_all_seeds(tmp_path: Path) -> None:
    best = "lambda_id_pix-1.lambda_gan_feat-0.3.seed-{}"
    found = results(tmp_path / "mine", "figure4", {best.format(0): "failed", best.format(1): "waiting"})
    point = found.best()
    assert point is not None
    # The better point has one seed only; of those with three seeds, two are level at one step from the best.
    assert len(point.results) == 3
    assert point.values == {PIX: 0.3, GAN: 0.1}


def test_figure4_says_what_it_shows_in_words(tmp_path: Path) -> None:
    picture = weights_picture(results(tmp_path / "mine", "figure4"))
    assert picture is not None
    assert "loss.lambda_gan_feat: 0.01 gives" in picture.alt
    assert "means over 3 seeds" in picture.caption
    assert "as in the base (lambda_id_pix 1.0, lambda_gan_feat 0.1)" in picture.caption
    assert "$" not in picture.caption
    assert "Guessing has a Rank-1 of 0.3 %" in picture.caption


def test_a_heat_map_is_drawn_of_a_grid_and_of_nothing_else(tmp_path: Path) -> None:
    grid = heat_map(results(tmp_path / "grid", "grid2d"))
    assert grid is not None
    assert "The highest mean Rank-1 is 20.0 at 0.3 and 0.3" in grid.alt
    assert heat_map(results(tmp_path / "cross", "figure4")) is None


def test_a_sweep_that_is_not_done_is_shown_with_what_it_has_so_far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [result.name for result in results(tmp_path / "whole", "asha").results]
    kinds = dict.fromkeys(names[3:10], "stopped") | dict.fromkeys(names[10:12], "waiting")
    found = results(tmp_path / "mine", "asha", kinds | {names[12]: "failed", names[13]: "started"})
    picture = parallel_coordinates(found)
    assert picture is not None
    assert "One line for each of 18 trials" in picture.alt
    assert "not trained to their end" in picture.caption
    courses = courses_picture(found)
    assert courses is not None
    assert "7 were stopped early" in courses.alt
    assert main([str(tmp_path / "mine"), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for line in ("Trials stopped early: 7.", "Trials waiting: 2.", "Trials failed: 1.", "Trials begun: 1."):
        assert line in page
    assert f"{names[12]} failed: the loss is not finite" in page
    trials = rows(tmp_path / "report" / "tables" / "trials.csv")
    states = [row["status"] for row in trials]
    assert [states.count(state) for state in ("finished", "stopped early", "failed", "begun", "waiting")] == [
        9,
        7,
        1,
        1,
        2,
    ]
    assert [row["message"] for row in trials if row["status"] == "failed"] == ["the loss is not finite"]
    points = rows(tmp_path / "report" / "tables" / "points.csv")
    assert len(points) == 20, "a point without a finished trial is in the table too"
    lacking = [row["not trained to the end"] for row in points]
    assert lacking.count("1 stopped early") == 7
    assert all((row["Rank-1"] == "") == bool(row["not trained to the end"]) for row in points)
    assert "best all-single R1" in capsys.readouterr().out


def test_nothing_is_written_where_nothing_is_finished_or_the_folder_is_no_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [result.name for result in results(tmp_path / "whole", "grid2d").results]
    results(tmp_path / "mine", "grid2d", dict.fromkeys(names, "waiting"))
    assert main([str(tmp_path / "mine")]) == 2
    assert main([str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert "no trial was trained to its end yet (26 waiting)" in errors
    assert "this is not the folder of a sweep" in errors
    assert not (tmp_path / "mine" / "report").exists()
