"""Prometheus' configuration: where it finds Ray's nodes, what it leaves out, which rules it evaluates."""

from pathlib import Path
from typing import Any

SCRAPE_SECONDS = 10
"""Ray hands its metrics on every ten seconds."""
DROPPED_LABELS = "otel_scope_.*|SessionName|Version"
"""Labels that say nothing here. WorkerId has to stay: without it the series of two workers would be one."""


def configuration(*, rules: Path, targets: Path | None = None, dashboard: str | None = None, token: Path | None = None,
                  scrape_seconds: int = SCRAPE_SECONDS) -> dict[str, Any]:  # fmt: skip
    """Return Prometheus' configuration as plain data.

    Args:
        rules: file of recording and alert rules.
        targets: file of targets that `Discovery` keeps.
        dashboard: URL of a Ray dashboard that lists its cluster's nodes, such as http://head:8265.
        token: file with Ray's authentication token, for a dashboard that asks for one.
        scrape_seconds: seconds between two scrapes and between two evaluations of rules.
    """
    job: dict[str, Any] = {
        "job_name": "ray",
        "metric_relabel_configs": [{"action": "labeldrop", "regex": DROPPED_LABELS}],
    }
    if targets is not None:
        job["file_sd_configs"] = [{"files": [str(targets)], "refresh_interval": "10s"}]
    if dashboard is not None:
        discovery: dict[str, Any] = {"url": f"{dashboard.rstrip('/')}/api/prometheus/sd", "refresh_interval": "10s"}
        if token is not None:
            discovery["authorization"] = {"type": "Bearer", "credentials_file": str(token)}
        job["http_sd_configs"] = [discovery]
    return {
        "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": f"{scrape_seconds}s"},
        "rule_files": [str(rules)],
        "scrape_configs": [job],
    }
