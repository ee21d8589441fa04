"""One optimiser step of one phase: forward, backward, update, under DDP and mixed precision."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from aligngan.config import Config
from aligngan.distributed import world_size
from aligngan.methods.phase import Phase, only_trains
from cluster.metrics_clock import Mark, Stopwatch

Losses = dict[str, Tensor]


class PhaseStep:
    """A phase with its optimiser.

    DDP wraps the phase as one module, so that one forward and one backward belong to one optimiser step and only
    the networks that the phase trains are reduced over the workers.
    """

    def __init__(
        self, phase: Phase, device: torch.device, autocast: torch.dtype | None, clip_norm: float = 0.0
    ) -> None:
        self.phase = phase
        self.optimizer = phase.optimizer()
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        self.value_names: tuple[str, ...] = ()
        self._clip_norm = clip_norm
        self._device = device
        self._autocast = autocast
        self._stopwatch: Stopwatch | None = None
        self._computed: Mark | None = None
        self._module: nn.Module = phase
        if world_size() > 1:
            with only_trains(phase):
                replicas = DistributedDataParallel(
                    phase,
                    device_ids=[device.index] if device.type == "cuda" else None,
                    forward_sync_buffers=False,
                    gradient_as_bucket_view=True,
                )
            replicas.register_comm_hook(None, self._average)
            self._module = replicas

    def run(
        self,
        rgb: Tensor,
        ir: Tensor,
        labels: Tensor,
        learning_rate_factor: float,
        stopwatch: Stopwatch | None = None,
    ) -> Losses:
        """Train the phase's networks on one batch and return its named values, detached and still on the device.

        Among them is `grad_norm_<phase>`, the norm of the gradient over all networks that the phase trains.

        Args:
            rgb: real RGB pictures, float [N, 3, H, W] in [-1, 1].
            ir: real infrared pictures of the same persons row by row, same shape and range.
            labels: identities, int64 [N].
            learning_rate_factor: what the initial learning rates are multiplied by at this iteration.
            stopwatch: gets the time of forward and backward under the phase's name, what the workers waited for the
                gradients' averages under `communication`, and the update under `optimizer`.
        """
        self._stopwatch, self._computed = stopwatch, None
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate_factor
        with only_trains(self.phase):
            with self._mixed_precision():
                total, losses = self._module(rgb, ir, labels)
            total.backward()
        if stopwatch is not None:
            stopwatch.lap(self.phase.name, until=self._computed)
            if self._computed is not None:
                stopwatch.lap("communication")
        norm = self._clipped_norm()
        self.optimizer.step()
        # At once, as the other phases need the memory.
        self.optimizer.zero_grad(set_to_none=True)
        if stopwatch is not None:
            stopwatch.lap("optimizer")
        values = {**losses, f"grad_norm_{self.phase.name}": norm}
        self.value_names = tuple(values)
        return values

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Take over what the optimiser gathered, such as momentum; its settings stay those of the configuration."""
        settings = [{key: group[key] for key in group if key != "params"} for group in self.optimizer.param_groups]
        groups = [saved | own for saved, own in zip(state["param_groups"], settings, strict=True)]
        self.optimizer.load_state_dict({**state, "param_groups": groups})

    def _average(self, state: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        """DDP's own averaging; its last bucket goes out when this worker has computed all its gradients."""
        if self._stopwatch is not None and bucket.is_last():
            self._computed = self._stopwatch.mark()
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]  # None is the default group

    def _clipped_norm(self) -> Tensor:
        """Cut the gradient back where that is asked for and return its norm before, the same on every worker."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self._clip_norm:
            clip_grads_with_norm_(parameters, self._clip_norm, norm)
        return norm

    @contextlib.contextmanager
    def _mixed_precision(self) -> Iterator[None]:
        if self._autocast is None:
            yield
        else:
            with torch.autocast(self._device.type, dtype=self._autocast):
                yield


def learning_rate_factor(config: Config, iteration: int) -> float:
    """Return what learning rates are multiplied by at an iteration counted from 0 (section 4.2 of the paper)."""
    return config.optimizer.decay_factor if iteration - config.warmup >= config.optimizer.decay_after else 1.0


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type for autocast, or None for float32 throughout.

    `auto` takes bfloat16 where the processor multiplies it in hardware; elsewhere it would be slower than float32.
    """
    if precision == "auto":
        precision = "bfloat16" if _has_fast_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
