"""What each phase of an iteration costs: time, images/s, arithmetic and its share of this machine's peak, memory.

    python -m tests.benchmarks.step data.persons_per_batch=4   preset `released`, 16 + 16 pictures in every phase
    python -m tests.benchmarks.step --preset paper --precision bfloat16 --compile no yes

Random pictures at the preset's own sizes, no loading, one worker, a process of its own for each way of computing. CPU
seconds are printed beside seconds because other work on the machine changes them less. Arithmetic is counted from
shapes as the phase runs (convolutions and matrix products, forward and backward) and held against a measured product
of two 4096 x 4096 matrices of the same type. The floor of a phase is the longer of two times: its arithmetic at that
peak, and the bytes that its convolutions and matrix products read and write, each once, at the speed of a copy.

The last row is an evaluation: the features of as many pictures as the feature phase has, mirrored ones with them where
the preset says so.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MATRIX = 4096
EVALUATION = "evaluation"


@dataclass(frozen=True)
class PhaseCost:
    """One phase, or an evaluation, in one way of computing; medians over iterations."""

    phase: str
    images: int
    seconds: float
    cpu_seconds: float
    flop: int
    moved_bytes: int
    peak_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each combination in a process of its own and print a table of each."""
    arguments = _arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 120)
    for precision in arguments.precision:
        for compiled in arguments.compile:
            overrides = [f"train.precision={precision}", *arguments.overrides]
            if compiled == "yes":
                overrides.append("train.compile=true")
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                costs, peak, copied = pool.submit(measure, arguments.preset, overrides, arguments.iterations).result()
            title = f"{arguments.preset}, {precision}, {'compiled' if compiled == 'yes' else 'eager'}"
            console.print(_table(title, costs, peak, copied))
    return 0


def measure(preset: str, overrides: list[str], iterations: int) -> tuple[list[PhaseCost], float, float]:
    """Return what the joint iteration's phases and then an evaluation cost, and two speeds of this machine.

    The speeds are those of matrix products in FLOP/s and of copies in bytes/s.
    """
    import torch

    from aligngan.config import resolve
    from aligngan.training.state import TrainingState
    from aligngan.training.step import autocast_type

    config = resolve(preset, overrides=["backbone.weights=none", *overrides])
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    peak = matrix_peak(autocast_type(config.train.precision, device) or torch.float32, device)
    state = TrainingState(config, 395, device)
    phases = state.method.phases_at(config.warmup)
    batches = {phase.name: _batch(config, phase.stream, device) for phase in phases}
    flop: dict[str, int] = {}
    moved: dict[str, int] = {}
    work: dict[str, Callable[[], Any]] = {
        phase.name: partial(state.steps[phase.name].run, *batches[phase.name], 1.0) for phase in phases
    }
    images = {name: 2 * len(batch[2]) for name, batch in batches.items()}
    images[EVALUATION] = images[phases[0].name]
    work[EVALUATION] = _evaluation(config, state.method, device, images[EVALUATION])
    measured: dict[str, list[tuple[float, float, int]]] = {name: [] for name in work}
    # The evaluation apart, as memory that it has given back would count as the phases'.
    for names in ([phase.name for phase in phases], [EVALUATION]):
        for iteration in range(-2, iterations):
            for name in names:
                if iteration == -2:
                    with _counter() as count:
                        work[name]()
                    flop[name], moved[name] = count.flop, count.moved
                    continue
                _reset_peak(device)
                before, cpu_before = time.perf_counter(), time.process_time()
                work[name]()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                seconds, cpu = time.perf_counter() - before, time.process_time() - cpu_before
                if iteration >= 0:  # the first without the counter compiles
                    measured[name].append((seconds, cpu, _peak_bytes(device)))
    costs = []
    for name in work:
        of_seconds, of_cpu, of_memory = zip(*measured[name], strict=True)
        costs.append(
            PhaseCost(
                name,
                images[name],
                statistics.median(of_seconds),
                statistics.median(of_cpu),
                flop[name],
                moved[name],
                max(of_memory),
            )
        )
    return costs, peak, copy_speed(device)


def matrix_peak(dtype: Any, device: Any) -> float:
    """Return the FLOP/s of the best of ten products of two square matrices."""
    import torch

    left, right = (torch.randn(MATRIX, MATRIX, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        before = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - before)
    return 2 * MATRIX**3 / best


def copy_speed(device: Any) -> float:
    """Return the bytes per second, read and written, of the best of ten copies of a large tensor."""
    import torch

    source = torch.ones(2**28, device=device, dtype=torch.uint8)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(10):
        before = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - before)
    return 2 * source.numel() / best


def _counter() -> Any:
    """A mode that adds up the arithmetic of convolutions and matrix products, and the bytes they read and write."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_iter
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        flop = moved = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            made = func(*args, **kwargs)
            if (count := flop_registry.get(func._overloadpacket)) is not None:
                self.flop += count(*args, **kwargs, out_val=made)
                tensors = (leaf for leaf in tree_iter((args, made)) if isinstance(leaf, torch.Tensor))
                self.moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            return made

    return Counter()


def _batch(config: Any, stream: str, device: Any) -> tuple[Any, Any, Any]:
    import torch

    size = config.train.pixel_batch if stream == "pixel" else config.data
    rows = size.persons_per_batch * size.images_per_person
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    rgb, ir = (
        (torch.rand(rows, 3, *config.data.image_size, generator=generator) * 2 - 1).to(device, memory_format=layout)
        for _ in range(2)
    )
    return rgb, ir, torch.arange(size.persons_per_batch, device=device).repeat_interleave(size.images_per_person)


def _evaluation(config: Any, method: Any, device: Any, images: int) -> Callable[[], Any]:
    import torch

    from aligngan.features import extract_features
    from aligngan.inference import Inference
    from loaders.dataset import Modality, Picture

    modalities: tuple[Modality, Modality] = ("rgb", "ir")
    pictures = [Picture("", 0, 0, modality, 0) for modality in modalities for _ in range(images // 2)]
    shown = torch.randint(256, (images // 2, 3, *config.data.image_size), dtype=torch.uint8)
    inference = Inference(config, method, device)
    return partial(
        extract_features,
        inference.features,
        pictures,
        lambda paths: [shown],
        networks=method.networks,
        device=device,
        flip=config.evaluation.flip,
    )


def _reset_peak(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes(device: Any) -> int:
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _table(title: str, costs: list[PhaseCost], peak: float, copied: float) -> Table:
    table = Table(title=f"{title}; matrix products {peak / 1e9:.0f} GFLOP/s, copies {copied / 1e9:.1f} GB/s")
    names = ("phase", "images", "s", "CPU s", "images/s", "GFLOP", "GFLOP/s", "of peak %", "GB", "floor s", "peak GiB")
    for name in names:
        table.add_column(name, justify="left" if name == "phase" else "right")
    *phases, evaluation = costs
    whole = PhaseCost(
        "iteration",
        phases[0].images,
        sum(cost.seconds for cost in phases),
        sum(cost.cpu_seconds for cost in phases),
        sum(cost.flop for cost in phases),
        sum(cost.moved_bytes for cost in phases),
        max(cost.peak_bytes for cost in phases),
    )
    for cost in [*phases, whole, evaluation]:
        speed = cost.flop / cost.seconds
        cells = (
            *(cost.phase, f"{cost.images}", f"{cost.seconds:.3f}", f"{cost.cpu_seconds:.3f}"),
            *(f"{cost.images / cost.seconds:.2f}", f"{cost.flop / 1e9:.0f}", f"{speed / 1e9:.0f}"),
            *(f"{100 * speed / peak:.0f}", f"{cost.moved_bytes / 1e9:.1f}"),
            *(f"{max(cost.flop / peak, cost.moved_bytes / copied):.2f}", f"{cost.peak_bytes / 2**30:.2f}"),
        )
        table.add_row(*cells, end_section=cost in (phases[-1], whole))
    return table


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="keys laid over the preset")
    parser.add_argument("--preset", default="released", help="recipe whose joint iteration is measured")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    parser.add_argument(
        "--compile", nargs="+", choices=("no", "yes"), default=("no",), help="with torch.compile or not"
    )
    parser.add_argument("--iterations", type=int, default=3, help="measured iterations after the first two")
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    sys.exit(main())
