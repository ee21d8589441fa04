"""Dashboards that any current Grafana imports, and the command that serves them."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.monitoring import __main__ as command
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.generate import DASHBOARDS

KINDS = {"row", "timeseries", "stat", "bargauge"}
FILES = sorted(DASHBOARDS.glob("*.json"))


def model(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_is_a_file_for_every_dashboard() -> None:
    assert {path.stem for path in FILES} == {board.uid for board in BOARDS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_are_of_today_and_do_not_overlap(path: Path) -> None:
    dashboard = model(path)
    assert dashboard["schemaVersion"] >= 36
    assert {panel["type"] for panel in dashboard["panels"]} <= KINDS
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source(path: Path) -> None:
    for panel in model(path)["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
            assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboards_lead_to_each_other_and_to_rays_own(path: Path) -> None:
    dashboard = model(path)
    assert dashboard["tags"] == ["training"]
    kinds = {link["type"]: link for link in dashboard["links"]}
    assert kinds["dashboards"]["tags"] == ["training"]
    assert kinds["link"]["url"] == "/d/rayDefaultDashboard"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_series_of_a_run_lead_to_its_dashboard(path: Path) -> None:
    for panel in model(path)["panels"]:
        links = panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])
        of_runs = any("{{run}}" in target.get("legendFormat", "") for target in panel.get("targets", []))
        assert bool(links) == (of_runs and path.stem != "training-run"), panel["title"]
        for link in links:
            assert link["url"].startswith("/d/training-run?var-run=${__field.labels.run}&")


def test_moments_are_asked_for_in_steps_longer_than_two_scrapes() -> None:
    (board,) = (board for board in BOARDS if board.annotations)
    marks = model(DASHBOARDS / f"{board.uid}.json")["annotations"]["list"]
    assert {mark["name"] for mark in marks} == {"checkpoint", "evaluation", "restart"}
    assert {mark["step"] for mark in marks} == {"60s"}


def test_the_command_writes_what_grafana_and_prometheus_need(tmp_path: Path) -> None:
    dashboard = ["--dashboard", "http://head:8265", "--token", str(tmp_path / "token")]
    assert command.main(["--write-only", "--directory", str(tmp_path), *dashboard]) == 0
    (job,) = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    (discovery,) = job["http_sd_configs"]
    assert discovery["url"] == "http://head:8265/api/prometheus/sd"
    assert discovery["authorization"]["credentials_file"] == str(tmp_path / "token")
    provisioning = tmp_path / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "default.yml").read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    (provider, *_) = yaml.safe_load((provisioning / "dashboards" / "default.yml").read_text())["providers"]
    assert list(Path(provider["options"]["path"]).glob("*.json")) == list(DASHBOARDS.glob("*.json"))
    assert "http_addr = 127.0.0.1" in (tmp_path / "grafana" / "grafana.ini").read_text()


def test_without_prometheus_the_command_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["--directory", str(tmp_path)]) == 1
    assert "apt install prometheus" in capsys.readouterr().err


@pytest.mark.timeout(120)
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed (apt install prometheus)")
def test_a_taken_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert command.main(["--directory", str(tmp_path), "--dashboard", "http://head:8265", f"--port={port}"]) == 1
    assert f"port {port} is taken" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["cluster.monitoring", "cluster.monitoring.picture"])
def test_help_teaches_by_example_and_loads_nothing_heavy(module: str) -> None:
    show = f"import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module('{module}', run_name='__main__')"
    heavy = "assert not {'ray', 'torch', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    code = f"try:\n  {show}\nexcept SystemExit: {heavy}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    assert f"python -m {module} --" in found.stdout
