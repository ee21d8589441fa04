"""What is left behind when a loss stops being a number: a message that names everything, and the batch itself."""

import io
from typing import Any

import torch
import torch.distributed

from aligngan.distributed import world_size
from aligngan.training.batches import Batches
from aligngan.training.state import TrainingState
from aligngan.training.telemetry import NotFinite
from cluster.folder import RunFolder


class TrainingDiverged(ArithmeticError):
    """A loss or gradient that is infinite or not a number; new workers would compute it again."""


def diverged(
    error: NotFinite, state: TrainingState, batches: Batches, folder: RunFolder, rank: int
) -> TrainingDiverged:
    """Save the batches of the iteration to `failures/` in the run folder and return what to raise.

    Every worker must call it. Workers whose own values are not finite save their share of the batch, a file for
    `torch.load(..., weights_only=True)` with pictures uint8 [N, 3, H, W], labels and paths by stream.
    """
    mine = _save(error, state, batches, folder, rank) if error.mine else None
    everyones: list[Any] = [mine]
    if world_size() > 1:
        everyones = [None] * world_size()
        torch.distributed.all_gather_object(everyones, mine)
    name = error.names[0]
    lines = [
        f"{name} of phase {_phase_of(name, error.iteration, state)} is not finite at iteration {error.iteration + 1}.",
        "Checkpoints before it are whole. Lower learning rates, optimizer.clip_norm or train.precision=float32 may "
        "help; what was computed from then on is not kept.",
        *(text for text in everyones if text is not None),
    ]
    return TrainingDiverged("\n".join(lines))


def _save(error: NotFinite, state: TrainingState, batches: Batches, folder: RunFolder, rank: int) -> str:
    streams = dict.fromkeys(phase.stream for phase in state.method.phases_at(error.iteration))
    # The plan is a function of the iteration, so a batch that has been let go can be had again.
    found = {stream: batches.read(stream, error.iteration) for stream in streams}
    content = io.BytesIO()
    record = {
        stream: {
            "rgb": batch.rgb,
            "ir": batch.ir,
            "labels": batch.labels,
            "rgb_paths": list(batch.rgb_paths),
            "ir_paths": list(batch.ir_paths),
        }
        for stream, batch in found.items()
    }
    torch.save({"iteration": error.iteration, "not_finite": error.names, "streams": record}, content)
    name = f"failures/{error.iteration + 1:09d}-rank{rank}.pt"
    folder.write_bytes(name, content.getvalue())
    lines = [f"Worker {rank}, batch saved in {folder.path(name)}:"]
    for stream, batch in found.items():
        lines.append(f"  {stream} rgb: {', '.join(batch.rgb_paths)}")
        lines.append(f"  {stream} ir: {', '.join(batch.ir_paths)}")
    return "\n".join(lines)


def _phase_of(name: str, iteration: int, state: TrainingState) -> str:
    phases = state.method.phases_at(iteration)
    return next(phase.name for phase in phases if name in state.steps[phase.name].value_names)
