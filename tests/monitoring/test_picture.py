"""A dashboard drawn without Grafana stays legible whatever runs are called."""

from pathlib import Path
from typing import Any

import pytest

from cluster.monitoring.api import Prometheus
from cluster.monitoring.boards import BOARDS
from cluster.monitoring.panels import Query
from cluster.monitoring.picture import _legend, draw

TRIALS = [f"sweep-demo-20260102-030405.lambda_id_pix-{value}.lambda_gan_feat-0.1.seed-1" for value in range(20)]


LABELS = dict.fromkeys(("rank", "loss", "phase", "part", "search", "score", "reason", "instance"), "other")


class Answers(Prometheus):
    """A Prometheus that has a series of every trial for every question."""

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        return [{"metric": LABELS | {"run": name}, "value": [0, "0.5"]} for name in TRIALS]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        values = [[start, "1"], [end, "2"]]
        return [{"metric": LABELS | {"run": name}, "values": values} for name in TRIALS]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_many_trials_with_long_names_are_drawn(board: Any, tmp_path: Path) -> None:
    picture = tmp_path / "board.png"
    shown = draw(board, Answers("http://127.0.0.1"), 1000.0, 2000.0, {"run": TRIALS[0]}, str(picture))
    assert set(shown) == {panel.title for panel in board.panels}
    assert all(shown.values())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_names_of_trials_keep_what_tells_them_apart() -> None:
    query = Query("up", "{{run}}")
    names = [_legend(query, {"run": name}) for name in TRIALS]
    assert names[3] == "lambda_id_pix-3.lambda_gan_feat-0.1.seed-1"
    assert len(set(names)) == len(TRIALS)
    assert _legend(query, {"run": "demo.of.mine"}) == "demo.of.mine"
    assert len(_legend(query, {"run": "x" * 200})) < 50
