"""What makes several workers compute like one: rows gathered with gradient or handed on, and global statistics."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm


def world_size() -> int:
    """Return the number of workers, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all workers in rank order, [world * N, ...] from [N, ...], with gradient to every worker.

    Each worker computes the same loss from the same rows; the gradients of all those losses are summed for a worker's
    rows, and DistributedDataParallel's average over workers makes them the gradient of one loss. Half-precision rows
    come back as float32, so that their gradients are not summed in half precision. Every worker must have equally
    many rows.
    """
    if rows.is_floating_point():
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return rows if world_size() == 1 else _GatherRows.apply(rows)


def next_rows(rows: Tensor, count: int) -> Tensor:
    """Return the first rows [count, ...] of the next worker, of the first after the last; no gradient.

    They are what follows a worker's last row in the global batch, around its end. 0 < count <= N.
    """
    heads = rows[:count].detach().contiguous()
    world = world_size()
    if world == 1:
        return heads
    gathered = [torch.empty_like(heads) for _ in range(world)]
    dist.all_gather(gathered, heads)
    return gathered[(dist.get_rank() + 1) % world]


def synchronize_batch_norm(networks: nn.Module, device: torch.device) -> nn.Module:
    """Replace every BatchNorm by one whose statistics are those of the global batch; state-dict keys stay the same."""
    if world_size() == 1:
        return networks
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(networks)
    for name, child in networks.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(networks, name, GlobalBatchNorm.of(child))
        else:
            synchronize_batch_norm(child, device)
    return networks


def average_running_statistics(networks: Iterable[nn.Module]) -> None:
    """Average the running statistics of InstanceNorm over all workers, in place.

    They are means over pictures, so the average is what one worker with all the pictures would have. Every worker
    must call this.
    """
    norms = [module for network in networks for module in network.modules() if isinstance(module, _InstanceNorm)]
    buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
    if world_size() == 1 or not buffers:
        return
    values = torch.cat(buffers)
    dist.all_reduce(values)
    for buffer, value in zip(buffers, (values / world_size()).split([len(b) for b in buffers]), strict=True):
        buffer.copy_(value)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.count = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        first = dist.get_rank() * ctx.count
        return gradient[first : first + ctx.count]


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all workers, on processors where torch's SyncBatchNorm does not run."""

    @classmethod
    def of(cls, module: nn.modules.batchnorm._BatchNorm) -> "GlobalBatchNorm":
        """Return a module that shares the parameters and buffers of a BatchNorm."""
        new = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        new.weight, new.bias = module.weight, module.bias
        new.running_mean, new.running_var = module.running_mean, module.running_var
        new.num_batches_tracked = module.num_batches_tracked
        return new.train(module.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, found {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        output, mean, variance = _GlobalNorm.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            count = input.numel() // input.shape[1] * world_size()
            self._update(mean, variance * (count / (count - 1)))
        return output

    @torch.no_grad()
    def _update(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(unbiased_variance, self.momentum or 0.0)


class _GlobalNorm(torch.autograd.Function):
    """Normalisation by global mean and variance; one gather forward, one all-reduce backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        # Buffers in the parameters' type make the statistics of half-precision input float32.
        unused = torch.zeros_like(weight)
        mean, variance = torch.batch_norm_update_stats(x, unused, unused, 0.0)
        local = torch.stack([mean, variance])
        gathered = [torch.empty_like(local) for _ in range(world_size())]
        dist.all_gather(gathered, local)
        means, variances = torch.stack(gathered).unbind(1)
        mean = means.mean(0)
        # From the workers' own variances, as the difference of two large sums would cancel.
        variance = (variances + (means - mean).square()).mean(0)
        output = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance = ctx.saved_tensors
        # With the statistics held fixed; what they pass on is a normalisation of x by other weights.
        gradient, weight_gradient, bias_gradient = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([bias_gradient, weight_gradient])
        dist.all_reduce(sums)
        sums *= weight * (variance + ctx.eps).rsqrt() / -(x.numel() // x.shape[1] * world_size())
        gradient += torch.nn.functional.batch_norm(x, mean, variance, sums[1], sums[0], training=False, eps=ctx.eps)
        return gradient, weight_gradient, bias_gradient, None
