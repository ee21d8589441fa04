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
        every = self._config.evaluation.every
        return iteration == self._config.train.iterations or (every > 0 and iteration > 0 and iteration % every == 0)

    def is_missing(self, iteration: int) -> bool:
        """Whether the run folder lacks the evaluation of an iteration; every worker must call it."""
        missing = self._rank == 0 and not self._folder.exists(_scores_file(iteration))
        return broadcast_from_rank_zero(missing)

    def run(self, iteration: int, alive: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Score all searches; every worker must call it. Rank 0 writes `evaluations/<iteration>*`.

        Args:
            iteration: iterations done.
            alive: called after every batch of pictures.

        Returns:
            a flat record of Rank-1, 10 and 20 and mAP of each search in percent, named like `all-single R1`.
        """
        config = self._config
        features = extract_features(
            self._inference.features,
            self._dataset.test,
            partial(self._counted, alive),
            networks=self._method.networks,
            device=self._device,
            flip=config.evaluation.flip,
        )
        scores = score_dataset(self._dataset, features, config.evaluation, config.method, iteration=iteration)
        if self._rank == 0:
            self._write(iteration, scores, features)
        record: dict[str, Any] = {"kind": "evaluation", "iteration": iteration, "iterations": config.train.iterations}
        for search in scores["searches"]:
            name = search.get("direction") or f"{search['mode']}-{search['shots']}"
            record |= {f"{name} {score}": round(search["mean"][score], 4) for score in REPORTED}
        return record

    def _counted(self, alive: Callable[[], None], paths: list[str]) -> Iterator[Tensor]:
        for images in self._inference.read(paths):
            yield images
            alive()
            self._meter.count("training_evaluated_images", len(images))

    def _write(self, iteration: int, scores: dict[str, Any], features: Tensor) -> None:
        name = f"evaluations/{iteration:09d}"
        files = {f"{name}-ranking.png": to_png(show_ranking(self._dataset, features, self._inference.read))}
        if self._method.translates:
            sheet = show_translation(self._method, self._dataset, self._inference.read, self._device)
            files[f"{name}-translation.png"] = to_png(sheet)
        # Last, so that scores in the folder mean that their pictures are there too.
        files[_scores_file(iteration)] = json.dumps(scores, indent=1).encode()
        for file, content in files.items():
            patiently(partial(self._folder.write_bytes, file, content), READ_SECONDS, f"writing {file}")


def _scores_file(iteration: int) -> str:
    return f"evaluations/{iteration:09d}-scores.json"
