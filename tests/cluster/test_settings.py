"""Settings of runs and checkpoints that are refused before anything starts, with what would be accepted."""

import pytest

from aligngan.config import ConfigError, resolve
from aligngan.config.checks import check
from aligngan.training.launch import worker_counts


def test_an_elastic_run_has_numbers_of_workers_that_share_every_batch() -> None:
    config = resolve("demo", overrides=["run.workers='1:4'", "data.persons_per_batch=8"])
    check(config)
    assert worker_counts(config) == [1, 2, 4]


def test_a_range_whose_ends_do_not_share_every_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.pixel_batch\.persons_per_batch: found 4 .*1, 2, 4"):
        check(resolve("demo", overrides=["run.workers='1:8'"]))


def test_a_score_that_no_evaluation_reports_is_refused_with_those_that_are() -> None:
    check(resolve("demo", overrides=["checkpoint.best=indoor-multi mAP"]))
    with pytest.raises(ConfigError, match=r"checkpoint\.best: found rank1, accepted: .*all-single R1"):
        check(resolve("demo", overrides=["checkpoint.best=rank1"]))
