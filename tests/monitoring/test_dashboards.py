"""Dashboards that any current Grafana imports, and the command that serves them."""

import json
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


@pytest.mark.parametrize("module", ["cluster.monitoring", "cluster.monitoring.picture"])
def test_help_teaches_by_example_and_loads_nothing_heavy(module: str) -> None:
    show = f"import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module('{module}', run_name='__main__')"
    heavy = "assert not {'ray', 'torch', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    code = f"try:\n  {show}\nexcept SystemExit: {heavy}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    assert f"python -m {module} --" in found.stdout
