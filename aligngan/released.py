"""The authors' published weights: their eight files and how the keys in them correspond to this project's networks."""

import itertools
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

NETWORKS = (
    ("translator_ir",),
    ("translator_rgb",),
    ("discriminator_rgb",),
    ("discriminator_joint",),
    ("warmup_discriminator_rgb",),
    ("warmup_discriminator_ir",),
    ("feature_generator",),
    ("classifier", "embedder"),
)
"""Networks in the files `model-0` to `model-7`."""
PREFIX = "module."
"""What DataParallel puts before every key."""
_RENAMED = {
    "feature_generator": (("trunk.", "resnet_conv."),),
    "classifier": (("bottle.", "classifier0.bottle."), ("classifier.", "classifier0.classifier.0.")),
    "embedder": (("embedder.", "embedder0."),),
}

State = dict[str, Tensor]


class ReleasedWeightsError(ValueError):
    """Files that are not the released model's; the message names file and key."""


def newest_step(folder: Path) -> int:
    """Return the highest step of which all eight files are there; raises ReleasedWeightsError."""
    if not folder.is_dir():
        raise ReleasedWeightsError(
            f"{folder} is not a folder; expected: the folder with model-0_STEP.pkl to model-7_STEP.pkl"
        )
    steps: dict[int, set[int]] = {}
    for path in folder.iterdir():
        if match := re.fullmatch(r"model-([0-7])_(\d+)\.pkl", path.name):
            steps.setdefault(int(match[2]), set()).add(int(match[1]))
    whole = [step for step, numbers in steps.items() if len(numbers) == len(NETWORKS)]
    if whole:
        return max(whole)
    missing = [
        f"model-{number}_{step}.pkl"
        for step, numbers in sorted(steps.items())
        for number in sorted(set(range(8)) - numbers)
    ]
    detail = f"missing {', '.join(missing)}" if missing else "expected model-0_STEP.pkl to model-7_STEP.pkl"
    raise ReleasedWeightsError(f"{folder} does not hold the eight files of one step: {detail}")


def read(folder: Path, step: int) -> list[tuple[Path, State]]:
    """Return the state dicts of a step by file, without DataParallel's prefix.

    Raises:
        ReleasedWeightsError: a file is missing or cannot be read, is no state dict, or has a key without the prefix.
    """
    return [(path, _read(path)) for path in (folder / f"model-{number}_{step}.pkl" for number in range(len(NETWORKS)))]


def identities(files: list[tuple[Path, State]]) -> int:
    """Return the number of identities that the classifier tells apart; raises ReleasedWeightsError."""
    path, state = files[-1]
    key = "classifier0.classifier.0.weight"
    if key not in state or state[key].ndim != 2:
        raise ReleasedWeightsError(f"{path}: {PREFIX}{key} is missing or is not a matrix [identities, width]")
    return len(state[key])


def convert(files: list[tuple[Path, State]], networks: nn.ModuleDict) -> State:
    """Return the released weights under the keys of `networks.state_dict()`.

    Biases of convolutions before an InstanceNorm are left out: it takes them away again, and networks here have none.

    Raises:
        ReleasedWeightsError: a key is missing or not expected, or a tensor has another shape; all of them are named.
    """
    weights: State = {}
    mistakes: list[str] = []
    for (path, state), names in zip(files, NETWORKS, strict=True):
        expected = {key: target for name in names for key, target in _expected(name, networks[name])}
        mistakes += [f"{path}: key {PREFIX}{key} is missing" for key in expected if key not in state]
        mistakes += [f"{path}: key {PREFIX}{key} is not expected" for key in state if key not in expected]
        for key in expected.keys() & state.keys():
            target, shape = expected[key]
            if state[key].shape != shape:
                found = list(state[key].shape)
                mistakes.append(f"{path}: {PREFIX}{key} has shape {found}, expected {list(shape)}")
            elif target is not None:
                weights[target] = state[key]
    if mistakes:
        raise ReleasedWeightsError("\n".join(sorted(mistakes)))
    return weights


def _expected(name: str, network: nn.Module) -> Iterator[tuple[str, tuple[str | None, torch.Size]]]:
    """Keys of a network's file, each with the key it becomes (None: left out) and its shape."""
    for key, tensor in network.state_dict().items():
        yield _released_key(name, key), (f"{name}.{key}", tensor.shape)
    for key, channels in _cancelled_biases(network):
        yield key, (None, torch.Size([channels]))


def _released_key(name: str, key: str) -> str:
    for ours, theirs in _RENAMED.get(name, ()):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def _cancelled_biases(network: nn.Module) -> Iterator[tuple[str, int]]:
    """Biases that the released discriminators have before an InstanceNorm without parameters of its own."""
    for name, sequence in network.named_modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        layers = list(sequence)
        for number, (layer, following) in enumerate(itertools.pairwise(layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.InstanceNorm2d) and not following.affine:
                yield f"{name}.{number}.bias", layer.out_channels


def _read(path: Path) -> State:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ReleasedWeightsError(f"{path} is missing") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ReleasedWeightsError(f"{path} cannot be read as a state dict that torch.save wrote: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ReleasedWeightsError(f"{path} is not a state dict of tensors")
    if strange := [key for key in state if not key.startswith(PREFIX)]:
        raise ReleasedWeightsError(
            f"{path}: key {strange[0]} does not start with {PREFIX}, which DataParallel puts there"
        )
    return {key.removeprefix(PREFIX): value for key, value in state.items()}
