"""Numbers of a training, gathered on the device and fetched rarely, so that no iteration waits for them."""

import time
from collections.abc import Mapping

import torch
import torch.distributed
from torch import Tensor

from aligngan.distributed import world_size


class Telemetry:
    """Means of the phases' named values and the speed since the last report."""

    def __init__(self, images_per_iteration: int, iterations: int) -> None:
        self._images_per_iteration = images_per_iteration
        self._iterations = iterations
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._wait = 0.0
        self._since = time.perf_counter()
        self._done = 0

    def add(self, values: Mapping[str, Tensor], data_wait: float) -> None:
        """Take in one iteration's named values (scalars on the device) and the seconds spent waiting for data."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1
        self._wait += data_wait
        self._done += 1

    def report(self, iteration: int) -> dict[str, float | int | str]:
        """Return the record of the iterations since the last one, the same on every worker, and start anew."""
        means = self._means()
        seconds = time.perf_counter() - self._since
        record: dict[str, float | int | str] = {
            "kind": "train",
            "iteration": iteration,
            "iterations": self._iterations,
            "images_per_second": round(self._images_per_iteration * self._done / seconds, 2),
            "seconds_left": round(seconds / self._done * (self._iterations - iteration), 1),
            "data_wait_share": round(self._wait / seconds, 4),
            **means,
        }
        self.restart_clock()
        self._sums, self._counts = {}, {}
        return record

    def restart_clock(self) -> None:
        """Leave out what has passed since the last report from the speed, such as an evaluation."""
        self._wait, self._done, self._since = 0.0, 0, time.perf_counter()

    def _means(self) -> dict[str, float]:
        if not self._sums:
            return {}
        names = list(self._sums)
        means = torch.stack([self._sums[name].float() / self._counts[name] for name in names])
        if world_size() > 1:
            torch.distributed.all_reduce(means)
            means /= world_size()
        return {name: round(value, 6) for name, value in zip(names, means.tolist(), strict=True)}
