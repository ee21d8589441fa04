"""What an iteration's time is spent on, without waiting for the device."""

import time
from collections import defaultdict

import torch


class Stopwatch:
    """Divides time into named parts that follow each other without gaps, so that they add up to the whole.

    On a GPU the boundaries are events on its own time line: what the host does while the GPU is busy costs nothing,
    and waiting for data counts only where the GPU waited.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._laps: list[tuple[str, Mark]] = []
        self._last = self.mark()

    def mark(self) -> "Mark":
        """Return this moment, to be used as a boundary later; cheap, and callable from autograd's threads."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def lap(self, part: str, until: "Mark | None" = None) -> None:
        """Say that the time since the last boundary, until now or until a mark, went into a part."""
        self._laps.append((part, self.mark() if until is None else until))

    def collect(self) -> dict[str, float]:
        """Return the seconds by part since the last call; on a GPU it waits until the last boundary is reached."""
        laps, self._laps = self._laps, []
        seconds: dict[str, float] = defaultdict(float)
        for part, boundary in laps:
            seconds[part] += _between(self._last, boundary)
            self._last = boundary
        return dict(seconds)


Mark = float | torch.cuda.Event


def _between(first: Mark, second: Mark) -> float:
    if isinstance(first, torch.cuda.Event):
        assert isinstance(second, torch.cuda.Event)
        second.synchronize()
        return first.elapsed_time(second) / 1000
    assert isinstance(second, float)
    return second - first
