"""What only shows when sections are held against each other and against the disk; done before anything starts."""

from collections.abc import Iterator
from pathlib import Path

from aligngan.config.resolve import ConfigError
from aligngan.config.schema import Config
from loaders.catalog import open_dataset
from loaders.config import DataSettings
from loaders.dataset import DatasetError
from loaders.storage import is_remote
from loaders.synthetic import default_root
from loaders.synthetic.population import populate


def check(config: Config) -> None:
    """Refuse a configuration that could not be trained.

    Raises:
        ConfigError: with one line per mistake, naming the key, what was found and what would be accepted.
    """
    mistakes = [*_batches(config), *_stages(config), *_recomputed(config), *_best(config), *_files(config)]
    if not mistakes:
        mistakes = list(_identities(config))
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _batches(config: Config) -> Iterator[str]:
    run = config.run
    batches = {"data.persons_per_batch": config.data.persons_per_batch}
    if config.train.pixel_batch is not None:
        batches["train.pixel_batch.persons_per_batch"] = config.train.pixel_batch.persons_per_batch
    for key, persons in batches.items():
        if persons % run.min_workers or persons % run.max_workers:
            divisors = ", ".join(str(n) for n in range(1, persons + 1) if persons % n == 0)
            yield (
                f"{key}: found {persons} persons for run.workers={run.workers}, accepted: a multiple of the number of "
                f"workers; for {persons} persons run.workers may be {divisors}"
            )


def _stages(config: Config) -> Iterator[str]:
    if config.warmup >= config.train.iterations:
        yield (
            f"train.iterations: found {config.train.iterations}, accepted: above the {config.warmup} iterations of "
            "stages.feature_warmup and stages.pixel_warmup together, so that joint training happens"
        )


def _recomputed(config: Config) -> Iterator[str]:
    if config.train.compile and config.backbone.recompute:
        yield "backbone.recompute: found true with train.compile=true, accepted: one of the two"


def _best(config: Config) -> Iterator[str]:
    score, evaluation = config.checkpoint.best, config.evaluation
    if score is None or config.data.name not in ("synthetic", "sysu-mm01"):
        return
    searches = [f"{mode}-{shots}" for mode in evaluation.modes for shots in evaluation.shots]
    names = [f"{search} {measure}" for search in searches for measure in ("R1", "mAP")]
    if score not in names:
        yield f"checkpoint.best: found {score}, accepted: null or a score of the evaluation: {', '.join(names)}"


def _files(config: Config) -> Iterator[str]:
    weights = config.backbone.weights
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        yield f"backbone.weights: no file {weights}, accepted: imagenet, none or the path of a state dict"
    root = config.data.root
    if root is None:
        if config.data.name != "synthetic":
            yield f"data.root: found null, accepted: the folder that holds {config.data.name}"
    elif config.data.name != "synthetic" and not is_remote(root) and not Path(root).is_dir():
        yield f"data.root: no folder {root}, accepted: the folder that holds {config.data.name}"


def _identities(config: Config) -> Iterator[str]:
    persons = config.data.persons_per_batch
    if config.train.pixel_batch is not None:
        persons = max(persons, config.train.pixel_batch.persons_per_batch)
    try:
        found = _training_persons(config.data)
    except DatasetError as error:
        yield f"data.root: {error}"
        return
    remedy = "lower it"
    if config.data.name == "synthetic":
        remedy += " or raise data.synthetic.persons"
    if found < persons:
        yield (
            f"data.persons_per_batch: found {persons}, accepted: at most the {found} persons that the training split "
            f"of {config.data.name} has in both modalities; {remedy}"
        )


def _training_persons(data: DataSettings) -> int:
    """Persons of the training split; a synthetic set that is still to be made is counted without making it."""
    if data.name == "synthetic" and not Path(data.root or default_root(data.synthetic)).is_dir():
        population = populate(data.synthetic.persons, data.synthetic.seed)
        return len(population.train) + len(population.val)
    return len(open_dataset(data).train_persons)
