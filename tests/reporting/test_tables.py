"""Tables say the same as text, CSV and picture, and groups of runs are what may be averaged."""

import csv
import io
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aligngan.reporting.groups import Group, group_runs
from aligngan.reporting.runs import Run, read_runs
from aligngan.reporting.score_tables import methods_table, not_comparable, runs_table, searches_tables, similarity_table
from aligngan.reporting.table import Row, Table, Value, table_csv, table_picture, with_best
from cluster.folder import RunFolder
from tests.reporting.fabricated import make_run, small_run_config

PUBLISHED = {("all", "single"): (3803, 301), ("all", "multi"): (3803, 3010)}


def run_of(method: str, seed: int, scores: dict[str, Any] | None, *overrides: str) -> Run:
    config = small_run_config(method, seed, [], *overrides)
    return Run(f"{method}-{seed}", RunFolder("/nowhere"), config, [], scores, None, None, ())


def published_scores(rank1: float, data_set: str = "sysu-mm01") -> dict[str, Any]:
    """Scores in the shape of the whole published SYSU-MM01."""
    names = {"R1": rank1, "R5": 50.0, "R10": 60.0, "R20": 70.0, "mAP": 20.0, "mINP": 10.0}
    searches = [
        {
            **{"mode": mode, "shots": shots, "gallery_draw": "official", "probes": probes, "probes_counted": probes},
            **{"gallery_rows": rows, "chance_R1": 1.0, "trials": list(range(1, 11)), "mean": names},
            "standard_deviation": names,
        }
        for (mode, shots), (probes, rows) in PUBLISHED.items()
    ]
    iccs = {"rgb2rgb": 0.9, "ir2ir": 0.8, "ir2rgb": 0.7, "rgb2ir": 0.7}
    about = {"data_set": data_set, "protocol": "sysu-mm01", "feature": "V(x)", "re_ranking": "none", "iteration": 20}
    return {
        **about,
        "method": "any",
        "test_persons": 96,
        "similarity": "cosine",
        "searches": searches,
        "iccs": iccs,
    } | {
        "checkpoint": None,
        "checkpoint_digest": None,
    }


def published_group(*rank1: float) -> Group:
    on = ("data.name=sysu-mm01", "data.root=/nowhere")
    return group_runs([run_of("baseline", seed, published_scores(each), *on) for seed, each in enumerate(rank1)])[0]


def row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def test_a_row_of_several_seeds_is_their_mean_and_sample_deviation() -> None:
    values = (10.0, 12.0, 17.0)
    table = methods_table(published_group(*values))
    cell = row(table, "baseline").cells[1]
    assert isinstance(cell, Value)
    assert (cell.mean, cell.spread) == (statistics.mean(values), pytest.approx(statistics.stdev(values)))
    assert row(table, "baseline").cells[0] == "3"
    assert any("standard deviation over the runs" in note for note in table.notes)


def test_one_seed_has_no_deviation_and_a_seed_twice_is_named() -> None:
    alone = row(methods_table(published_group(10.0)), "baseline").cells[1]
    assert isinstance(alone, Value)
    assert alone.spread is None
    on = ("data.name=sysu-mm01", "data.root=/nowhere")
    twice = group_runs([run_of("baseline", 0, published_scores(rank1), *on) for rank1 in (1.0, 2.0)])[0]
    assert any("runs of the same seed" in note for note in methods_table(twice).notes)


def test_the_papers_rows_stand_beside_the_whole_published_set_alone() -> None:
    published = published_group(10.0)
    assert not_comparable(published) is None
    paper = row(methods_table(published), "paper: AlignGAN")
    assert [str(cell) for cell in paper.cells] == ["None", "42.4", "85.0", "93.7", "40.7"]
    both_shots = row(searches_tables(published)[0], "paper: cmGAN")
    assert [str(cell) for cell in both_shots.cells] == ["27.0", "67.5", "80.6", "27.8", "31.5", "72.7", "85.0", "22.3"]
    other = group_runs([run_of("baseline", 0, published_scores(10.0, "synthetic"))])[0]
    tables = [methods_table(other), *searches_tables(other)]
    assert not any(row.kind == "reported" for table in tables for row in table.rows)
    assert all("paper's rows are left out" in " ".join(table.notes) for table in tables)


def test_methods_come_in_the_order_of_table_4_with_chance_last() -> None:
    scores = published_scores(10.0, "synthetic")
    methods = ("aligngan", "baseline", "aligngan-minus", "pixalign", "featalign")
    table = methods_table(group_runs([run_of(method, 0, scores) for method in methods])[0])
    found = [row.label for row in table.rows]
    assert found == ["baseline", "pixalign", "featalign", "aligngan-minus", "aligngan", "chance"]


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged() -> None:
    scores = published_scores(10.0, "synthetic")
    runs = [run_of("aligngan", 0, scores), run_of("aligngan", 1, scores, "loss.lambda_id_pix=0.5")]
    labels = [variant.label for variant in group_runs(runs)[0].variants]
    assert labels == ["aligngan (lambda_id_pix 1.0)", "aligngan (lambda_id_pix 0.5)"]
    same = [run_of("aligngan", 0, scores), run_of("aligngan", 1, scores, "run.workers=1", "data.root=/elsewhere")]
    assert [len(variant.runs) for variant in group_runs(same)[0].variants] == [2]


def test_runs_on_other_pictures_or_scored_otherwise_are_not_in_one_table() -> None:
    scores = published_scores(10.0, "synthetic")
    flipped = {**scores, "feature": "V(x) + V(flip x), L2-normalised"}
    runs = [
        run_of("baseline", 0, scores),
        run_of("aligngan", 0, scores, "data.synthetic.seed=7"),
        run_of("aligngan", 0, flipped),
        run_of("pixalign", 0, None, "data.synthetic.seed=7"),
    ]
    groups = group_runs(runs)
    assert [[variant.method for variant in group.variants] for group in groups] == [
        ["baseline"],
        ["pixalign", "aligngan"],
        ["aligngan"],
    ]
    assert len({group.anchor for group in groups}) == len({group.title for group in groups}) == 3


def test_splits_of_regdb_are_averaged() -> None:
    def scores(rank1: float, trial: int) -> dict[str, Any]:
        search = published_scores(rank1)["searches"][0]
        shared = {**search, "trials": [trial], "probes": 2060, "probes_counted": 2060, "gallery_rows": 2060}
        for key in ("mode", "shots"):
            del shared[key]
        directions = [{**shared, "direction": name} for name in ("visible2thermal", "thermal2visible")]
        return {**published_scores(rank1), "data_set": "regdb", "protocol": "regdb", "searches": directions}

    on = ("data.name=regdb", "data.root=/nowhere")
    runs = [run_of("baseline", 0, scores(10.0 * trial, trial), *on, f"data.trial={trial}") for trial in (1, 2)]
    group = group_runs(runs)[0]
    table = searches_tables(group)[0]
    assert [str(cell) for cell in row(table, "baseline").cells][:2] == ["15.0 \u00b1 7.1", "20.0 \u00b1 0.0"]
    assert [str(cell) for cell in row(table, "paper: AlignGAN").cells] == ["57.9", "53.6", "56.3", "53.4"]
    assert runs_table(group).columns[:2] == ("seed", "trial")


def test_a_csv_holds_full_numbers_and_deviations() -> None:
    table = methods_table(published_group(10.0, 10.5))
    lines = list(csv.reader(io.StringIO(table_csv(table).decode())))
    assert lines[0][:5] == ["method", "kind", "runs", "R1", "R1 standard deviation"]
    assert lines[1][:5] == ["baseline", "measured", "2", "10.25", "0.353553"]
    assert all(len(line) == len(lines[0]) for line in lines)


def test_only_the_best_measured_mean_stands_out() -> None:
    rows = [Row("a", (Value(1.0), Value(5.0))), Row("b", (Value(2.0), None)), Row("p", (Value(9.0),) * 2, "reported")]
    assert [row.strong for row in with_best(rows)] == [frozenset({1}), frozenset({0}), frozenset()]
    assert not any(row.strong for row in with_best(rows[1:]))


def test_a_table_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="every row needs 2 cells"):
        Table("t", "T", "c", ("a", "b"), (Row("r", (Value(1.0),)),))


def test_a_table_as_picture_is_the_same_bytes_each_time() -> None:
    table = similarity_table(published_group(10.0, 11.0))
    first, second = table_picture(table), table_picture(replace(table))
    assert (first.png, first.svg) == (second.png, second.svg)
    assert b"<svg" in first.svg
    assert first.png.startswith(b"\x89PNG")


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path, small_synthetic: list[str]) -> None:
    config = small_run_config("baseline", 0, small_synthetic)
    paths = [make_run(tmp_path / place / "run", config, scores=False, checkpoint=False) for place in ("a", "b")]
    assert [run.name for run in read_runs(paths)] == ["a/run", "b/run"]
