"""Retrieval scored during a training, on all workers, and the files that it leaves in the run folder."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from aligngan.config import Config
from aligngan.features import extract_features
from aligngan.methods.method import Method
from aligngan.scores import score_dataset
from aligngan.sheets import to_png
from aligngan.showcase import show_ranking, show_translation
from aligngan.training.step import autocast_type
from cluster.folder import RunFolder
from loaders.batches import choose_backend, read_pictures
from loaders.dataset import Dataset, Modality


class Evaluation:
    """Scores a method on the test pictures of a data set."""

    def __init__(
        self, config: Config, dataset: Dataset, method: Method, device: torch.device, folder: RunFolder, rank: int
    ) -> None:
        self._config, self._dataset, self._method = config, dataset, method
        self._device, self._folder, self._rank = device, folder, rank
        self._autocast = autocast_type(config.train.precision, device)

    def is_due(self, iteration: int) -> bool:
        """Whether an evaluation belongs after this many iterations."""
        every = self._config.evaluation.every
        return iteration == self._config.train.iterations or (every > 0 and iteration > 0 and iteration % every == 0)

    def run(self, iteration: int) -> dict[str, Any]:
        """Score all searches; every worker must call it. Rank 0 writes `evaluations/<iteration>*`.

        Returns:
            a flat record of Rank-1 and mAP of each search in percent, named like `all-single R1`.
        """
        config = self._config
        features = extract_features(
            self._features,
            self._dataset.test,
            self._read,
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
            record |= {f"{name} {score}": round(search["mean"][score], 4) for score in ("R1", "mAP")}
        return record

    def _features(self, images: Tensor, modality: Modality) -> Tensor:
        layout = torch.channels_last if self._config.train.channels_last else torch.contiguous_format
        images = images.contiguous(memory_format=layout)
        with torch.autocast(self._device.type, dtype=self._autocast, enabled=self._autocast is not None):
            return self._method.features(images, modality)

    def _read(self, paths: list[str]) -> Iterator[Tensor]:
        data = self._config.data
        return read_pictures(
            paths,
            image_size=data.image_size,
            backend=choose_backend(data.backend),
            batch_size=self._config.evaluation.batch_size,
            threads=data.threads,
            device_index=self._device.index,
        )

    def _write(self, iteration: int, scores: dict[str, Any], features: Tensor) -> None:
        name = f"evaluations/{iteration:09d}"
        self._folder.write_bytes(f"{name}-ranking.png", to_png(show_ranking(self._dataset, features, self._read)))
        if self._method.translates:
            sheet = show_translation(self._method, self._dataset, self._read, self._device)
            self._folder.write_bytes(f"{name}-translation.png", to_png(sheet))
        # Last, so that scores in the folder mean that their pictures are there too.
        self._folder.write_bytes(f"{name}-scores.json", json.dumps(scores, indent=1).encode())
