"""Run folders made without training: untrained weights, scores of drawn features, reports written by hand."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aligngan.config import Config, dump
from aligngan.scores import score_dataset
from aligngan.training.state import TrainingState
from cluster.checkpoints import STATE, checkpoint_name, write_checkpoint
from cluster.folder import RunFolder
from loaders.catalog import open_dataset
from loaders.config import DataSettings
from loaders.dataset import Dataset
from tests.method.small import small_config

ITERATIONS = 20


def small_run_config(method: str, seed: int, data: list[str], *overrides: str) -> Config:
    """The configuration of a run on a small synthetic set."""
    return small_config(
        method, *data, f"train.seed={seed}", f"train.iterations={ITERATIONS}", "data.threads=1", *overrides
    )


def make_run(
    folder: Path, config: Config, scores: bool = True, checkpoint: bool = True, records: list[Any] | None = None
) -> str:
    """Write a run folder as a training leaves it; returns its path."""
    run = RunFolder(str(folder))
    run.write_bytes("config.yaml", dump(config).encode())
    lines = train_records(config) if records is None else records
    run.write_bytes("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    if scores:
        run.write_json("scores.json", drawn_scores(config))
    if checkpoint:
        write_untrained(run, config)
    return str(folder)


def drawn_scores(config: Config) -> dict[str, Any]:
    """The scores of features drawn at random with the run's seed, so that runs differ."""
    dataset = _dataset(config.data)
    persons = np.array([picture.person for picture in dataset.test])
    generator = np.random.default_rng([config.train.seed, len(config.method)])
    features = generator.normal(size=(len(persons), 16)) + 0.5 * np.eye(16)[persons % 16]
    return score_dataset(dataset, features, config.evaluation, config.method, iteration=ITERATIONS)


def write_untrained(run: RunFolder, config: Config) -> None:
    """Write a checkpoint of a method's first weights."""
    state = TrainingState(config, len(_dataset(config.data).train_persons), torch.device("cpu"))
    state.iteration = ITERATIONS
    with tempfile.TemporaryDirectory() as directory:
        torch.save(state.state_dict(), Path(directory, STATE))
        write_checkpoint(run, checkpoint_name(ITERATIONS), Path(directory), {"iteration": ITERATIONS})


def train_records(config: Config) -> list[dict[str, Any]]:
    """Reports of a training whose joint stage begins at iteration 10, with an evaluation before and after."""
    records: list[dict[str, Any]] = [
        {"kind": "evaluation", "iteration": 0, "all-single R1": 5.0, "all-single mAP": 6.0}
    ]
    for iteration in (5, 10, 15, 20):
        record = {"kind": "train", "iteration": iteration, "iterations": ITERATIONS, "images_per_second": 10.0}
        record |= {"cls_feat": 4.0 - iteration / 10 + config.train.seed, "grad_norm_feature": 1.0 + iteration}
        record |= {"learning_rate_feature": 0.03, "seconds_data_wait": 0.1}
        if iteration > 10 and config.method != "baseline":
            record |= {"gan_feat": 0.7, "d_joint_accuracy_real": 0.6}
        records.append(record)
    records.append({"kind": "evaluation", "iteration": 20, "all-single R1": 15.0, "all-single mAP": 16.0})
    return records


@cache
def _dataset(settings: DataSettings) -> Dataset:
    return open_dataset(settings)
