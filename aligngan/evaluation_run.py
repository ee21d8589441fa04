"""From models to their scores: features on all workers, then tables and files."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import ray.train
import ray.train.torch
import torch.distributed as dist

from aligngan.config import Config, ConfigError, validate
from aligngan.evaluation_config import evaluation_config
from aligngan.features import extract_features
from aligngan.inference import Inference, ReadPastBroken
from aligngan.model import Model, ModelError, load_model, place_in
from aligngan.scores import join_trials, score_dataset
from aligngan.tables import comparable, scores_text
from aligngan.terminal import counting
from cluster.connection import connect
from cluster.errors import ClusterError, Interrupted
from cluster.folder import RunFolder
from cluster.progress import Record, report_metrics
from cluster.trainer import fit
from loaders.catalog import open_dataset
from loaders.dataset import Dataset, DatasetError
from loaders.synthetic import ensure
from loaders.synthetic.terminal import progress_bar

SCORES, TABLE = "scores.json", "table.txt"
_WORKERS = ".workers"
_REPORTS = 20


def evaluate_models(sources: Sequence[str], overrides: Sequence[str], root: str | None, out: str | None) -> int:
    """Score models one after the other and print and write their scores; several are trials of RegDB and are joined.

    Returns:
        The command's exit status: 0 done, 1 failed, 2 refused, 128 + signal where one ended it.
    """
    try:
        models = [load_model(source, "cpu") for source in sources]
        configs = [evaluation_config(model.config, overrides, root) for model in models]
        _refuse_mixture(models, configs, out)
        datasets = [_opened(config) for config in configs]
    except (ModelError, ConfigError, DatasetError, ClusterError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    try:
        scored = []
        for model, config, dataset in zip(models, configs, datasets, strict=True):
            alone = out if len(models) == 1 else None
            folder = RunFolder(alone or default_folder(model, config))
            scored.append(_evaluate(model, config, dataset, folder))
            _show(scored[-1], folder)
        if len(scored) > 1 and out is not None:
            joined, folder = join_trials(scored), RunFolder(out)
            folder.write_json(SCORES, joined)
            _show(joined, folder)
    except Interrupted as stop:
        print(f"interrupted: {stop}; nothing more was written", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("interrupted; nothing more was written", file=sys.stderr)
        return 130
    except (ClusterError, DatasetError, ValueError) as error:
        print(f"evaluation failed: {error}", file=sys.stderr)
        return 1
    return 0


def default_folder(model: Model, config: Config) -> str:
    """Return the folder in the model's run for the scores of these settings; other settings have another folder."""
    place, question, options = model.checkpoint.partition("?")
    run, _, checkpoint = place.rpartition("/")
    parts = [checkpoint, config.data.name]
    if config.data.name in ("regdb", "folder"):
        parts.append(f"trial-{config.data.trial}")
    evaluation = config.evaluation
    if evaluation.gallery_draw != "official":
        parts.append(evaluation.gallery_draw)
    parts += ["flip"] * evaluation.flip + [evaluation.re_ranking] * (evaluation.re_ranking != "none")
    return f"{run}/evaluated/{'-'.join(parts)}{question}{options}"


def evaluate_on_worker(task: dict[str, Any]) -> None:
    """Compute this worker's share of the features; rank 0 writes the scores. Every worker runs this function.

    Args:
        task: `config` as a tree of plain values, `checkpoint` and `folder`, paths or URIs.
    """
    config, folder = validate(task["config"]), RunFolder(task["folder"])
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    model = load_model(task["checkpoint"], device)
    inference = Inference(config, model.method, device)
    dataset = open_dataset(config.data)
    progress = _Progress(len(dataset.test), context.get_world_size())
    read = ReadPastBroken(inference.read, config.data.image_size, progress.advance)
    features = extract_features(
        inference.features,
        dataset.test,
        read,
        networks=model.method.networks,
        device=device,
        flip=config.evaluation.flip,
    )
    progress.finish()
    broken = _from_all_workers(read.broken)
    if context.get_world_rank() == 0:
        scores = score_dataset(
            *(dataset, features, config.evaluation, model.method_name),
            checkpoint=model.checkpoint,
            checkpoint_digest=model.digest,
            iteration=model.iteration,
            skipped=sorted(broken),
        )
        folder.write_json("broken.json", broken)
        folder.write_json(SCORES, scores)


class _Progress:
    """Reports the share that is done, equally often on every worker, as Ray Train asks for."""

    def __init__(self, pictures: int, workers: int) -> None:
        self._pictures, self._share = pictures, pictures / workers
        self._done = self._reports = 0

    def advance(self, more: int) -> None:
        self._done += more
        # Shares differ by a picture of each modality, so the last report waits for `finish`.
        while self._reports < _REPORTS - 1 and self._done >= self._share * (self._reports + 1) / _REPORTS:
            self._report()

    def finish(self) -> None:
        while self._reports < _REPORTS:
            self._report()

    def _report(self) -> None:
        self._reports += 1
        done = self._pictures * self._reports // _REPORTS
        report_metrics({"kind": "features", "iteration": done, "iterations": self._pictures})


def _from_all_workers(broken: dict[str, str]) -> dict[str, str]:
    if not dist.is_initialized():
        return broken
    parts: list[dict[str, str]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, broken)
    return {path: reason for part in parts for path, reason in part.items()}


def _evaluate(model: Model, config: Config, dataset: Dataset, folder: RunFolder) -> dict[str, Any]:
    pictures = len(dataset.test)
    print(
        f"{model.checkpoint} ({model.method_name}, iteration {model.iteration}): {pictures} test pictures of "
        f"{dataset.name} in {dataset.root}",
        flush=True,
    )
    if config.evaluation.re_ranking != "none":
        print("re-ranking follows the features; for all of SYSU-MM01 it takes minutes", flush=True)
    task = {"config": config.model_dump(mode="json"), "checkpoint": model.checkpoint, "folder": folder.location}
    workers = RunFolder(place_in(folder, _WORKERS))
    workers.claim("resume")
    try:
        with connect(config.run), counting("features", pictures) as advance:
            fit(
                *(evaluate_on_worker, task),
                run=config.run,
                checkpoint=config.checkpoint,
                folder=workers,
                on_report=_Follower(advance),
            )
    finally:
        folder.delete(_WORKERS)
    for reason in json.loads(folder.read_bytes("broken.json")).values():
        print(f"skipped: {reason}", file=sys.stderr)
    folder.delete("broken.json")
    return json.loads(folder.read_bytes(SCORES))


class _Follower:
    """Turns reports of how many are done into steps of a progress bar."""

    def __init__(self, advance: Any) -> None:
        self._advance, self._done = advance, 0

    def __call__(self, record: Record) -> None:
        if record.get("kind") == "features" and record["iteration"] > self._done:
            self._advance(record["iteration"] - self._done)
            self._done = record["iteration"]


def _show(scores: dict[str, Any], folder: RunFolder) -> None:
    text = scores_text(scores, reference_rows=comparable(scores))
    folder.write_bytes(TABLE, text.encode())
    print(text, end="")
    if not comparable(scores):
        print("The paper's rows are left out: they are of the whole published SYSU-MM01 and RegDB.")
    print(f"scores: {folder.location} ({SCORES}, {TABLE})", flush=True)


def _refuse_mixture(models: Sequence[Model], configs: Sequence[Config], out: str | None) -> None:
    if len(models) == 1:
        return
    if any(config.data.name != "regdb" for config in configs):
        raise ConfigError("several models are evaluated together only where they are of RegDB's splits; give one")
    trials = [config.data.trial for config in configs]
    if len(set(trials)) < len(trials) or len({model.method_name for model in models}) > 1:
        raise ConfigError(
            f"models of different RegDB splits and of one method have a mean; found splits {trials} and methods "
            f"{[model.method_name for model in models]}"
        )
    if out is None:
        raise ConfigError("the mean over several RegDB splits belongs to no run's folder: name one with --out")


def _opened(config: Config) -> Dataset:
    if config.data.name == "synthetic":
        from rich.console import Console

        # Workers make it too where it is missing on their node; here the making can be watched.
        with progress_bar(Console(stderr=True)) as progress:
            ensure(config.data.synthetic, config.data.root, progress)
    dataset = open_dataset(config.data)
    if not dataset.test:
        raise DatasetError(f"{dataset.root} holds no test pictures of {dataset.name}: there is nothing to evaluate")
    return dataset
