"""Numbers of a training, gathered on the device and fetched rarely, so that no iteration waits for them."""

import math
import time
from collections.abc import Mapping

import torch
import torch.distributed
from torch import Tensor

from aligngan.distributed import world_size
from cluster.metrics_clock import Stopwatch
from cluster.metrics_publish import Meter

BESIDE_ITERATIONS = ("evaluation", "checkpoint")
"""Parts of the training's time that belong to no iteration."""

Values = dict[str, Tensor]


class NotFinite(ArithmeticError):
    """Named values of an iteration that are infinite or not numbers, on any worker.

    Args:
        iteration: the iteration, counted from 0.
        names: the values that are not finite, in the order in which the phases computed them.
        mine: whether any of them is this worker's own.
    """

    def __init__(self, iteration: int, names: list[str], mine: bool) -> None:
        super().__init__(iteration, names, mine)
        self.iteration, self.names, self.mine = iteration, names, mine


class Telemetry:
    """Means of the phases' named values, the speed since the last report and what the time went into.

    Args:
        images_per_iteration: pictures that all workers together train on in an iteration.
        iterations: iterations that the run is to do.
        stopwatch: divides the time of this worker into parts.
        meter: publishes this worker's counters of iterations, pictures and seconds.
    """

    def __init__(
        self,
        images_per_iteration: int,
        iterations: int,
        stopwatch: Stopwatch | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._images_per_iteration = images_per_iteration
        self._stopwatch, self._meter = stopwatch, meter
        self._seconds: dict[str, float] = {}
        self._iterations = iterations
        self._unchecked: list[tuple[int, Values]] = []
        self._values: dict[str, list[float]] = {}
        self._wait = 0.0
        self._since = time.perf_counter()
        self._done = 0

    def add(self, iteration: int, values: Mapping[str, Tensor], data_wait: float) -> None:
        """Take in one iteration's named values (scalars on the device) and the seconds spent waiting for data."""
        self._unchecked.append((iteration, dict(values)))
        self._wait += data_wait
        self._done += 1
        if self._meter is not None:
            self._meter.count("training_iterations")
            self._meter.count("training_images", self._images_per_iteration / world_size())
            self._meter.set("training_last_iteration_timestamp_seconds", time.time())

    def add_loading(self, ready: int, decoded: int) -> None:
        """Take in how many batches the loader has ready and how many pictures it decoded for the iteration."""
        if self._meter is not None:
            self._meter.set("training_loader_batches_ready", ready)
            self._meter.count("training_decoded_images", decoded)

    def check(self) -> None:
        """Fetch the values since the last check, averaged over the workers; every worker must call it.

        Raises:
            NotFinite: one of them is not finite; raised on every worker, about the first such iteration.
        """
        if not self._unchecked:
            self._divide_time()
            return
        own = torch.stack([value.float() for _, values in self._unchecked for value in values.values()])
        everyones = own.clone()
        if world_size() > 1:
            torch.distributed.all_reduce(everyones)
            everyones /= world_size()
        own_flat, flat = iter(own.tolist()), iter(everyones.tolist())
        unchecked, self._unchecked = self._unchecked, []
        for iteration, values in unchecked:
            means = {name: next(flat) for name in values}
            mine = {name: next(own_flat) for name in values}
            if names := [name for name, value in means.items() if not math.isfinite(value)]:
                raise NotFinite(iteration, names, not all(map(math.isfinite, mine.values())))
            if self._meter is not None:
                self._meter.count("training_skipped_images", mine.get("skipped_pictures", 0.0))
            for name, value in means.items():
                self._values.setdefault(name, []).append(value)
        self._divide_time()

    def report(self, iteration: int) -> dict[str, float | int | str]:
        """Return the record of the iterations since the last one, the same on every worker, and start anew.

        Raises NotFinite as `check` does.
        """
        self.check()
        seconds = time.perf_counter() - self._since
        record: dict[str, float | int | str] = {
            "kind": "train",
            "iteration": iteration,
            "iterations": self._iterations,
            "images_per_second": round(self._images_per_iteration * self._done / seconds, 2),
            "seconds_left": round(seconds / self._done * (self._iterations - iteration), 1),
            "data_wait_share": round(self._wait / seconds, 4),
            "seconds": round(seconds, 4),
            **{f"seconds_{part}": round(spent, 4) for part, spent in self._seconds.items()},
            **{name: round(math.fsum(values) / len(values), 6) for name, values in self._values.items()},
        }
        self.restart_clock()
        self._values, self._seconds = {}, {}
        return record

    def restart_clock(self) -> None:
        """Leave out what has passed since the last report from the speed, such as an evaluation."""
        self._wait, self._done, self._since = 0.0, 0, time.perf_counter()

    def _divide_time(self) -> None:
        # After the values were fetched, so that on a GPU every boundary has been reached already.
        if self._stopwatch is None:
            return
        for part, spent in self._stopwatch.collect().items():
            if part not in BESIDE_ITERATIONS:
                self._seconds[part] = self._seconds.get(part, 0.0) + spent
            if self._meter is not None:
                self._meter.count("training_seconds", spent, part=part)
        if self._meter is not None and self._stopwatch.device.type == "cuda":
            device = self._stopwatch.device
            self._meter.set("training_gpu_memory_bytes", torch.cuda.memory_reserved(device))
            self._meter.set("training_gpu_memory_peak_bytes", torch.cuda.max_memory_allocated(device))
