"""Retrieval scored during a training, on all workers, and the files that it leaves in the run folder."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from aligngan.config import Config
from aligngan.features import extract_features
from aligngan.inference import Inference
from aligngan.methods.method import Method
from aligngan.scores import score_dataset
from aligngan.sheets import to_png
from aligngan.showcase import show_ranking, show_translation
from aligngan.training.summary import SCORES, evaluation_file
from cluster.folder import RunFolder
from cluster.metrics_publish import Meter
from cluster.patience import READ_SECONDS, patiently
from loaders.dataset import Dataset

REPORTED = ("R1", "R10", "R20", "mAP")
"""Scores that an evaluation reports, as the paper's tables do; its files hold the others."""


class Evaluation:
    """Scores a method on the test pictures of a data set."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        method: Method,
        device: torch.device,
        folder: RunFolder,
        rank: int,
        meter: Meter,
    ) -> None:
        """`meter` gets the pictures as they are done: a long evaluation is not a training that stands still."""
        self._config, self._dataset, self._method = config, dataset, method
        self._device, self._folder, self._rank = device, folder, rank
        self._inference = Inference(config, method, device)
        self._meter = meter

    def is_due(self, iteration: int) -> bool:
        """Whether an evaluation belongs after this many iterations."""
        if iteration == 0:
            return self._config.evaluation.before_training
        every = self._config.evaluation.every
        return iteration == self._config.train.iterations or (every > 0 and iteration % every == 0)

    def is_missing(self, iteration: int) -> bool:
        """Whether an evaluation that is due is not in the run folder; every worker must call it."""
        if not self.is_due(iteration):
            return False
        file = evaluation_file(iteration, SCORES)
        there = self._rank != 0 or patiently(lambda: self._folder.exists(file), READ_SECONDS, f"looking for {file}")
        return not broadcast_from_rank_zero(there)

    def features(self, alive: Callable[[], None]) -> Tensor:
        """Return the features of all test pictures; every worker must call it.

        Args:
            alive: called after every batch of pictures.
        """
        return extract_features(
            self._inference.features,
            self._dataset.test,
            partial(self._counted, alive),
            networks=self._method.networks,
            device=self._device,
            flip=self._config.evaluation.flip,
        )

    def scores(self, iteration: int, features: Tensor) -> dict[str, Any]:
        """Return the scores of all searches."""
        config = self._config
        return score_dataset(self._dataset, features, config.evaluation, config.method, iteration=iteration)

    def record(self, scores: dict[str, Any]) -> dict[str, Any]:
        """Return Rank-1, 10 and 20 and mAP of each search in percent as a flat record, named like `all-single R1`."""
        iterations = self._config.train.iterations
        record: dict[str, Any] = {"kind": "evaluation", "iteration": scores["iteration"], "iterations": iterations}
        for search in scores["searches"]:
            name = search.get("direction") or f"{search['mode']}-{search['shots']}"
            record |= {f"{name} {score}": round(search["mean"][score], 4) for score in REPORTED}
        return record

    def write(self, scores: dict[str, Any], features: Tensor) -> None:
        """Write scores and pictures to `evaluations/<iteration>*`; rank 0 calls it when all else is done."""
        iteration = scores["iteration"]
        files = {"ranking.png": to_png(show_ranking(self._dataset, features, self._inference.read))}
        if self._method.translates:
            sheet = show_translation(self._method, self._dataset, self._inference.read, self._device)
            files["translation.png"] = to_png(sheet)
        # Last, so that scores in the folder mean that their pictures are there too.
        files[SCORES] = json.dumps(scores, indent=1).encode()
        patience = self._config.checkpoint.patience
        for name, content in files.items():
            file = evaluation_file(iteration, name)
            patiently(partial(self._folder.write_bytes, file, content), patience, f"writing {file}")

    def _counted(self, alive: Callable[[], None], paths: list[str]) -> Iterator[Tensor]:
        for images in self._inference.read(paths):
            yield images
            alive()
            self._meter.count("training_evaluated_images", len(images))
