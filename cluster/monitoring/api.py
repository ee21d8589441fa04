"""Questions to a running Prometheus over its HTTP interface."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any


class PrometheusError(RuntimeError):
    """Prometheus is not there, or refuses a query."""


class Prometheus:
    """A running Prometheus.

    Args:
        url: where it listens, such as http://127.0.0.1:9090.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series of an instant query, each with `metric` (labels) and `value` (time, text)."""
        return self._get("query", {"query": expression} | ({} if at is None else {"time": str(at)}))["result"]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a range query, each with `metric` (labels) and `values` (pairs of time and text)."""
        times = {"start": str(start), "end": str(end), "step": str(step)}
        return self._get("query_range", {"query": expression} | times)["result"]

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets."""
        return self._get("targets", {"state": "active"})["activeTargets"]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules of all groups with their state."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def wait_until_ready(self, seconds: float = 60.0, ended: Callable[[], bool] = lambda: False) -> None:
        """Wait until it answers; raises PrometheusError where it does not in time, or has ended."""
        deadline = time.monotonic() + seconds
        while True:
            if ended():
                raise PrometheusError("Prometheus ended at once")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):  # noqa: S310
                    return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise PrometheusError(f"no Prometheus at {self.url} after {seconds:g} s: {error}") from None
                time.sleep(0.2)

    def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            content = json.load(error)
        except OSError as error:
            raise PrometheusError(f"no Prometheus at {self.url}: {error}") from None
        if content["status"] != "success":
            raise PrometheusError(f"{self.url} refuses {parameters.get('query', path)!r}: {content.get('error')}")
        return content["data"]
