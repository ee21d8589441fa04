"""One picture to look at: persons in rows, cameras in columns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from loaders.synthetic.cameras import CAMERAS
from loaders.synthetic.population import Population

_TILE = (160, 76)
_MARGIN = 22


def contact_sheet(folder: Path, population: Population, most: int = 12) -> bytes:
    """PNG file of the first picture of the first persons in every camera, empty where a camera did not see them."""
    persons = sorted(population.cameras)[:most]
    order = sorted(CAMERAS, key=lambda camera: (CAMERAS[camera].modality == "ir", camera))
    sheet = np.full((_MARGIN + len(persons) * (_TILE[0] + 2), 46 + len(order) * (_TILE[1] + 2), 3), 28, np.uint8)
    for column, camera in enumerate(order):
        left = 46 + column * (_TILE[1] + 2)
        _caption(sheet, f"{camera} {CAMERAS[camera].modality}", (left + 4, 15))
        for row, person in enumerate(persons):
            top = _MARGIN + row * (_TILE[0] + 2)
            _caption(sheet, f"{person:04d}", (4, top + 16))
            path = folder / f"cam{camera}" / f"{person:04d}" / "0001.jpg"
            if path.is_file():
                picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
                tile = cv2.resize(picture, _TILE[::-1], interpolation=cv2.INTER_AREA)
                sheet[top : top + _TILE[0], left : left + _TILE[1]] = tile
    return cv2.imencode(".png", sheet)[1].tobytes()


def _caption(sheet: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (220, 220, 220), 1, cv2.LINE_AA)
