"""Publishing metrics through Ray, so that they leave every node at the one port that Ray's service discovery knows.

Ray drops a gauge 20 s after it was last set, so a thread sets every gauge again while its owner lives. Counters gather
here and are handed on by the same thread: an iteration pays for an addition in a dictionary and nothing else.
"""

import functools
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType

from cluster.metrics import METRICS

HEARTBEAT_SECONDS = 5.0
_ZERO = sys.float_info.min
"""A counter's first value: Ray refuses 0, and without it the first increase would not show as one."""

Labels = tuple[tuple[str, str], ...]


class Meter:
    """Values of metrics that this process publishes; usable from several threads, and as a context manager.

    Args:
        labels: labels that all its series have, such as run and rank.
        heartbeat: a counter of the seconds that the meter has lived, to tell a live process from a dead one.
    """

    def __init__(self, labels: Mapping[str, str], heartbeat: str) -> None:
        self._labels = dict(labels)
        self._heartbeat = heartbeat
        self._beaten = time.monotonic()
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._increments: dict[tuple[str, Labels], float] = {}
        self._lock, self._handing_on = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="metrics", daemon=True)
        self._thread.start()

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge; it keeps its value until it is set again or the meter is closed."""
        with self._lock:
            self._gauges[name, self._complete(name, labels)] = float(value)

    def drop(self, name: str) -> None:
        """Let all series of a gauge end: they are true no longer."""
        with self._lock:
            self._gauges = {key: value for key, value in self._gauges.items() if key[0] != name}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter; an amount of 0 makes the series exist, so that its first increase is seen as one."""
        key = name, self._complete(name, labels)
        with self._lock:
            self._increments[key] = self._increments.get(key, 0.0) + amount

    def flush(self) -> None:
        """Hand everything to Ray now."""
        with self._handing_on:  # or what another thread is handing on would not be there yet
            with self._lock:
                increments, self._increments = self._increments, {}
                gauges = dict(self._gauges)
            for (name, labels), amount in increments.items():
                _ray_metric(name).inc(max(amount, _ZERO), tags=dict(labels))
            for (name, labels), value in gauges.items():
                _ray_metric(name).set(value, tags=dict(labels))

    def close(self) -> None:
        """Stop refreshing; gauges vanish from Ray after 20 s, counters stay."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _complete(self, name: str, labels: Mapping[str, str]) -> Labels:
        given = self._labels | dict(labels)
        return tuple((label, given[label]) for label in METRICS[name].labels)

    def _refresh(self) -> None:
        ends = False
        while True:
            now = time.monotonic()
            self.count(self._heartbeat, now - self._beaten)
            self._beaten = now
            self.flush()
            if ends:
                return
            ends = self._stop.wait(HEARTBEAT_SECONDS)


@functools.cache
def _ray_metric(name: str):  # type: ignore[no-untyped-def]
    from ray.util.metrics import Counter, Gauge

    metric = METRICS[name]
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(metric.name, description=metric.help, tag_keys=metric.labels)
