"""A run folder made from published weights."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aligngan.config import ConfigError, dump, resolve
from aligngan.released import convert, identities, newest_step, read
from aligngan.training.resume import CONFIG_FILE
from aligngan.training.state import TrainingState
from cluster.checkpoints import STATE, checkpoint_name, write_checkpoint
from cluster.folder import RunFolder


@dataclass(frozen=True)
class ImportedRun:
    """What was made: the run folder, its checkpoint, and what the files said."""

    run: str
    checkpoint: str
    step: int
    identities: int


def import_weights(source: Path, run: str, overrides: Sequence[str] = (), step: int | None = None) -> ImportedRun:
    """Write the released model's eight files as the checkpoint of a new run with preset `released`.

    The checkpoint's iteration is the files' step, which counts warm-ups too. Optimisers begin anew.

    Args:
        source: folder of `model-{0..7}_{step}.pkl`.
        run: path or URI of the run folder to make.
        overrides: `key=value` changes of the configuration.
        step: which files; the newest whole set where left out.

    Raises:
        ReleasedWeightsError: the files are not what they should be.
        ConfigError: an override is wrong.
        RunExists: there is a run in that folder.
    """
    step = newest_step(source) if step is None else step
    files = read(source, step)
    folder = RunFolder(run)
    config = resolve("released", overrides=["backbone.weights=none", *overrides])
    if config.method != "aligngan" or not config.pixel_warmup:
        raise ConfigError(
            "the released weights are of method=aligngan with a pixel warm-up: leave these keys as they are"
        )
    config = config.model_copy(
        update={
            "run": config.run.model_copy(update={"name": folder.name, "storage": folder.storage}),
            "train": config.train.model_copy(update={"iterations": max(step, config.train.iterations)}),
        }
    )
    state = TrainingState(config, identities(files), torch.device("cpu"))
    state.method.networks.load_state_dict(convert(files, state.method.networks))
    state.iteration = step
    folder.claim("refuse")
    folder.write_bytes(CONFIG_FILE, dump(config).encode())
    name = checkpoint_name(step)
    with tempfile.TemporaryDirectory(prefix="released-") as directory:
        torch.save(state.state_dict(), Path(directory, STATE))
        write_checkpoint(folder, name, Path(directory), {"kind": "checkpoint", "iteration": step})
    return ImportedRun(folder.location, name, step, identities(files))
