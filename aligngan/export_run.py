"""A model's way from picture to feature as one network, written to files that are checked against it."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aligngan import __version__
from aligngan.export_formats import FORMATS, INPUT, OUTPUT, Format, quiet
from aligngan.methods.method import Method
from aligngan.model import Model, load_model
from cluster.errors import ClusterError
from loaders.dataset import Modality

TOLERANCE = 1e-4
"""Largest difference of a feature's element between file and model; rows have length one."""
_CHECKED_BATCHES = (1, 3)


class Embedding(nn.Module):
    """Pictures uint8 [N, 3, H, W] of one modality to features float32 [N, D] with rows of length one."""

    def __init__(self, method: Method, modality: Modality) -> None:
        super().__init__()
        # Named here, so that their weights and no others belong to this network.
        translator = ("translator_ir",) if modality == "rgb" and method.translates else ()
        self.networks = nn.ModuleDict({name: method.networks[name] for name in (*translator, "feature_generator")})
        self._method, self._modality = method, modality

    def forward(self, pictures: Tensor) -> Tensor:
        images = pictures.float() / 127.5 - 1
        return F.normalize(self._method.features(images, self._modality))


class ExportDiffers(RuntimeError):
    """A written file gives other features than the model; it is not kept."""


def export(source: str, format_name: str, modality: Modality | None, out: str) -> int:
    """Write and check a file for one modality, or for each; says where they are and how near to the model.

    Returns:
        The command's exit status: 0 done, 1 a file differs from the model, 2 refused before anything started.
    """
    chosen = FORMATS[format_name]
    try:
        if missing := chosen.missing():
            raise ValueError(
                f"--format {format_name} needs packages that are not here: pip install {' '.join(missing)}"
            )
        if os.path.exists(out) and not os.path.isdir(out):
            raise ValueError(f"--out {out} is a file: give a folder")
        model = load_model(source, "cpu")
    except (ValueError, ClusterError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    height, width = model.config.data.image_size
    print(f"model: {model.checkpoint} ({model.method_name}, iteration {model.iteration})")
    print(f"pictures: uint8 [N, 3, {height}, {width}], RGB; written and checked with {chosen.versions()}", flush=True)
    wanted: tuple[Modality, ...] = ("rgb", "ir") if modality is None else (modality,)
    for number, one in enumerate(wanted, 1):
        print(f"{number} of {len(wanted)}: {one} ...", flush=True)
        try:
            path, difference = write(model, one, chosen, Path(out))
        except ExportDiffers as error:
            print(f"export failed: {error}", file=sys.stderr)
            return 1
        size = path.stat().st_size / 2**20
        print(f"{path}: {size:.1f} MiB, features within {difference:.1e} of the model's", flush=True)
    return 0


def write(model: Model, modality: Modality, chosen: Format, folder: Path) -> tuple[Path, float]:
    """Write one file, checked before it has its name; returns it and the largest difference from the model.

    Raises:
        ExportDiffers: the file gives other features than the model.
    """
    network = Embedding(model.method, modality).eval()
    # Exporters write tensors as they lie in memory; these are for everyone.
    network.to(memory_format=torch.contiguous_format)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.method_name}-{model.iteration:09d}-{modality}{chosen.suffix}"
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as directory:
        temporary = Path(directory, path.name)
        with quiet(), torch.no_grad():
            chosen.write(network, _pictures(model, 2), _about(model, modality), temporary)
            difference = _difference(network, chosen, temporary, model)
        if not difference <= TOLERANCE:
            raise ExportDiffers(
                f"the {modality} file gives features that differ by {difference:.1e} from the model's, more than "
                f"{TOLERANCE:.0e}; it was not kept"
            )
        os.replace(temporary, path)
    return path, difference


def _difference(network: nn.Module, chosen: Format, path: Path, model: Model) -> float:
    run = chosen.run(path)
    differences = []
    for count in _CHECKED_BATCHES:
        pictures = _pictures(model, count, seed=count)
        differences.append(np.abs(run(pictures.numpy()) - network(pictures).numpy()).max())
    # A NaN on either side is a difference too.
    return float(np.max(differences))


def _pictures(model: Model, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, *model.config.data.image_size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _about(model: Model, modality: Modality) -> dict[str, Any]:
    height, width = model.config.data.image_size
    return {
        "method": model.method_name,
        "modality": modality,
        "iteration": model.iteration,
        "checkpoint_digest": model.digest,
        "input": f"{INPUT}: uint8 [N, 3, {height}, {width}], RGB",
        "output": f"{OUTPUT}: float32 [N, D], rows of length one",
        "aligngan": __version__,
    }
