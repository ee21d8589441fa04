"""The formats that a network is written in, and how other programs read them: each a pair of functions."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

INPUT, OUTPUT = "pictures", "features"
ABOUT = "aligngan.json"
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Format:
    """How files of a format are written and run."""

    suffix: str
    packages: tuple[str, ...]
    """Packages that it needs beside those of the project."""
    write: Callable[[nn.Module, Tensor, dict[str, Any], Path], None]
    """Takes a network, example pictures, what is said about the file, and the file."""
    run: Callable[[Path], Run]

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]

    def versions(self) -> str:
        """Return the versions of what writes and checks the file."""
        return ", ".join(f"{name} {version(name)}" for name in ("torch", *self.packages))


def _write_onnx(network: nn.Module, example: Tensor, about: dict[str, Any], path: Path) -> None:
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update({key: str(value) for key, value in about.items()})
    program.save(str(path), external_data=False)


def _run_onnx(path: Path) -> Run:
    import onnx
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pictures: session.run([OUTPUT], {INPUT: pictures})[0]


def _write_torchscript(network: nn.Module, example: Tensor, about: dict[str, Any], path: Path) -> None:
    traced = torch.jit.trace(network, (example,), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={ABOUT: json.dumps(about)})


def _run_torchscript(path: Path) -> Run:
    return _with_tensors(torch.jit.load(str(path), map_location="cpu"))


def _write_pt2(network: nn.Module, example: Tensor, about: dict[str, Any], path: Path) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    torch.export.save(program, str(path), extra_files={ABOUT: json.dumps(about)})


def _run_pt2(path: Path) -> Run:
    return _with_tensors(torch.export.load(str(path)).module())


def _with_tensors(network: Callable[[Tensor], Tensor]) -> Run:
    def run(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            return network(torch.from_numpy(pictures)).numpy()

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Keep exporters' notes about their own insides from the terminal."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


FORMATS = {
    "onnx": Format(".onnx", ONNX_PACKAGES, _write_onnx, _run_onnx),
    "torchscript": Format(".torchscript.pt", (), _write_torchscript, _run_torchscript),
    "pt2": Format(".pt2", (), _write_pt2, _run_pt2),
}
