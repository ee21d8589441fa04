"""A trained model for use: pictures of a modality to features, and pictures of one modality to the other.

model = load_model("runs/NAME")
features = model.embed(["a.jpg", "b.jpg"], "ir")
"""

import os
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from aligngan.config import Config, ConfigError, validate
from aligngan.features import extract_features
from aligngan.images import to_uint8, to_unit_range
from aligngan.inference import Inference, ReadPastBroken
from aligngan.methods.method import Method, build_method
from aligngan.metrics import unit_rows
from aligngan.training.averages import retrieval_weights
from aligngan.training.state import FORMAT
from cluster.checkpoints import checkpoint_digest, checkpoint_names, load_checkpoint
from cluster.errors import DamagedCheckpoint, StorageUnreachable
from cluster.folder import RunFolder
from loaders.dataset import Modality, Picture

_CHECKPOINT = re.compile(r"step_\d{9,}")


class ModelError(ValueError):
    """A model that cannot be loaded or cannot do what is asked; the message says what was found and what to do."""


class Model:
    """The networks of a checkpoint, ready to be used on one device.

    Attributes:
        config: of the training that wrote the checkpoint.
        method: networks in evaluation mode, with moving averages in their place where the training kept them.
        identities: persons that it was trained on.
        iteration: iterations that were done.
        checkpoint, digest: where it was loaded from, and the sha256 that is its identity.
    """

    def __init__(
        self,
        config: Config,
        method: Method,
        identities: int,
        iteration: int,
        checkpoint: str,
        digest: str,
        device: torch.device,
    ) -> None:
        self.config, self.method, self.identities, self.iteration = config, method, identities, iteration
        self.checkpoint, self.digest, self.device = checkpoint, digest, device
        self.inference = Inference(config, method, device)

    @property
    def method_name(self) -> str:
        """Row of Table 4."""
        return self.config.method

    @property
    def translates(self) -> bool:
        """Whether the method has translators between the modalities."""
        return self.method.translates

    def embed(
        self,
        paths: Sequence[str | os.PathLike[str]],
        modality: Modality,
        batch_size: int | None = None,
        flip: bool = False,
        on_broken: Callable[[str, str], None] | None = None,
        on_pictures: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Return the features [N, D] of picture files of one modality, rows of length one; cosine is their product.

        Args:
            paths: picture files (JPEG, PNG or BMP).
            modality: `rgb` or `ir`.
            batch_size: pictures at a time; the configuration's for evaluation where left out.
            flip: add the feature of the mirrored picture.
            on_broken: called with path and reason of a picture that cannot be read, whose row is then NaN.
            on_pictures: called with how many pictures have been read since the last call.

        Raises:
            PictureError: for a broken picture, unless there is `on_broken`.
        """
        names = [os.fspath(path) for path in paths]
        pictures = [Picture(name, 0, 0, modality, 0) for name in names]
        read = self._reader(batch_size, on_broken is None, on_pictures)
        features = extract_features(
            self.inference.features, pictures, read, networks=self.method.networks, device=self.device, flip=flip
        )
        rows = unit_rows(features.numpy())
        for row in _reported(read, names, on_broken):
            rows[row] = np.nan
        return rows

    def translate(
        self,
        paths: Sequence[str | os.PathLike[str]],
        to: Modality,
        batch_size: int | None = None,
    ) -> NDArray[np.uint8]:
        """Return picture files translated to a modality: uint8 [N, 3, H, W] at the training's picture size.

        Raises:
            ModelError: where the method has no translators.
            PictureError: for a broken picture.
        """
        parts = list(self.translations(paths, to, batch_size))
        return np.concatenate(parts) if parts else np.empty((0, 3, *self.config.data.image_size), dtype=np.uint8)

    def translations(
        self,
        paths: Sequence[str | os.PathLike[str]],
        to: Modality,
        batch_size: int | None = None,
        on_broken: Callable[[str, str], None] | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield what `translate` returns batch by batch; with `on_broken` a broken picture comes out as a black one.

        `on_broken` is called before its batch is yielded.
        """
        if not self.translates:
            raise ModelError(
                f"{self.checkpoint} is of method {self.method_name}, which has no translators: use one of aligngan, "
                "aligngan-minus or pixalign"
            )
        return self._translations([os.fspath(path) for path in paths], to, batch_size, on_broken)

    def _translations(
        self, names: list[str], to: Modality, batch_size: int | None, on_broken: Callable[[str, str], None] | None
    ) -> Iterator[NDArray[np.uint8]]:
        read = self._reader(batch_size, on_broken is None, None)
        done = 0
        for batch in read(names):
            fresh = names[done : done + len(batch)]
            done += len(batch)
            with torch.no_grad():
                pictures = to_uint8(self.inference.translate(to_unit_range(batch.to(self.device)), to)).cpu().numpy()
            for row in _reported(read, fresh, on_broken):
                pictures[row] = 0
            yield pictures

    def _reader(
        self, batch_size: int | None, strict: bool, on_pictures: Callable[[int], None] | None
    ) -> ReadPastBroken:
        def read(paths: list[str]) -> Iterator[torch.Tensor]:
            return self.inference.read(paths, batch_size)

        return ReadPastBroken(read, self.config.data.image_size, on_pictures, strict)


def load_model(source: str | os.PathLike[str], device: torch.device | str | None = None) -> Model:
    """Load a model for use.

    Args:
        source: a run folder, of which the newest whole checkpoint is taken, or a checkpoint's own folder
            `RUN/step_000000450`; a path or a URI such as s3://bucket/runs/NAME.
        device: where it computes; a GPU where there is one when left out.

    Raises:
        ModelError: there is no such folder or no checkpoint in it, or it was written by a newer version.
        DamagedCheckpoint: the named checkpoint, or every one of the run, is incomplete or was changed.
    """
    folder, name, state = _read_state(os.fspath(source))
    place = place_in(folder, name)
    config, identities = _described(state, place)
    method = build_method(config, identities)
    try:
        method.networks.load_state_dict(retrieval_weights(state))
    except (RuntimeError, KeyError) as error:
        raise ModelError(f"{place}: its weights do not fit the method {config.method} as built here: {error}") from None
    method.networks.eval().requires_grad_(False)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", torch.cuda.current_device())
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    method.networks.to(where).to(memory_format=layout)
    return Model(config, method, identities, state["iteration"], place, checkpoint_digest(folder, name), where)


def locate(source: str) -> tuple[RunFolder, str | None]:
    """Return the run folder that a source names, and the checkpoint in it or None where the run itself is named.

    Raises:
        ModelError: there is no such folder, or its file system cannot be reached.
    """
    try:
        folder = RunFolder(source)
        if not folder.exists():
            raise ModelError(f"{source}: no such folder; give a run folder or a checkpoint in it")
        if _CHECKPOINT.fullmatch(folder.name):
            return RunFolder(folder.storage), folder.name
    except StorageUnreachable as error:
        raise ModelError(str(error)) from None
    except (OSError, NotImplementedError) as error:
        raise ModelError(f"{source} cannot be reached: {error}") from None
    except ValueError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{source} is neither a path nor a URI that can be opened: {error}") from None
    return folder, None


def _read_state(source: str) -> tuple[RunFolder, str, dict[str, Any]]:
    folder, name = locate(source)
    if name is not None:
        return folder, name, _state(folder, name)
    names = checkpoint_names(folder)
    if not names:
        raise ModelError(
            f"{folder.location} holds no checkpoint (step_000000450 or the like): give the folder of a run that has "
            "written one, or a checkpoint's own folder"
        )
    damages = []
    for name in reversed(names):
        try:
            return folder, name, _state(folder, name)
        except DamagedCheckpoint as damage:
            damages.append(str(damage))
    raise DamagedCheckpoint("\n".join(["every checkpoint of the run is damaged:", *damages]))


def place_in(folder: RunFolder, name: str) -> str:
    """Return the path or URI of a part of a folder."""
    place, question, options = folder.location.partition("?")
    return f"{place}/{name}{question}{options}"


def _state(folder: RunFolder, name: str) -> dict[str, Any]:
    try:
        state = load_checkpoint(folder, name)
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{place_in(folder, name)} is incomplete: {error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        if isinstance(error, DamagedCheckpoint):
            raise
        raise ModelError(f"{place_in(folder, name)} is not a checkpoint of this project: {error}") from None
    if not isinstance(state, Mapping) or not {"format", "method", "config", "networks", "iteration"} <= state.keys():
        raise ModelError(f"{place_in(folder, name)} is not a checkpoint of an AlignGAN training")
    if state["format"] > FORMAT:
        raise ModelError(
            f"{place_in(folder, name)} has format {state['format']}, this version reads up to {FORMAT}: install the "
            "version that wrote it, or a newer one"
        )
    return dict(state)


def _described(state: Mapping[str, Any], place: str) -> tuple[Config, int]:
    """The configuration that built the networks, without the initial weights, and how many persons they know."""
    try:
        config = validate(yaml.safe_load(state["config"]))
    except (ConfigError, yaml.YAMLError) as error:
        raise ModelError(
            f"{place}: its configuration is not one that this version knows, so another version wrote it:\n{error}"
        ) from None
    if state["method"] != config.method:
        raise ModelError(f"{place} says method {state['method']}, its configuration {config.method}: not usable")
    backbone = config.backbone.model_copy(update={"weights": "none"})
    return config.model_copy(update={"backbone": backbone}), len(state["networks"]["classifier.classifier.weight"])


def _reported(read: ReadPastBroken, names: list[str], on_broken: Callable[[str, str], None] | None) -> Iterator[int]:
    """Yield the rows of broken pictures after naming each."""
    for row, name in enumerate(names):
        if on_broken is not None and name in read.broken:
            on_broken(name, read.broken[name])
            yield row
