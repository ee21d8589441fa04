"""Places behind the people: a wide picture of each, from which every picture cuts another piece."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from loaders.synthetic.streams import SCENE, stream

HEIGHT, WIDTH = 360, 900
HORIZON = 0.62
"""Where the ground begins, from the top, as a part of the height."""

Layers = np.ndarray
"""float32 [HEIGHT, WIDTH, 4]: linear reflectance in red, green, blue and near infrared."""


@lru_cache(maxsize=16)
def place(seed: int, name: str) -> Layers:
    """The place `name` (room, corridor, yard, street or passage) of the data set of this seed; read only."""
    painters: dict[str, Callable[[np.random.Generator, Layers], None]] = {
        "room": _room,
        "corridor": _corridor,
        "yard": _yard,
        "street": _street,
        "passage": _passage,
    }
    rng = stream(seed, SCENE, list(painters).index(name))
    layers = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    painters[name](rng, layers)
    layers = cv2.GaussianBlur(layers * _grain(rng)[..., None], (0, 0), 0.8)
    layers.flags.writeable = False
    return layers


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Unevenness of surfaces, from stains to dust."""
    grain = np.ones((HEIGHT, WIDTH), np.float32)
    for cells, contrast in ((4, 0.07), (30, 0.03), (180, 0.04)):
        noise = rng.standard_normal((cells, cells * 3), np.float32)
        grain += contrast * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(grain, 0.4, 1.7)


def _box(
    layers: Layers, x: float, y: float, wide: float, high: float, colour: tuple[float, float, float, float]
) -> None:
    """Fill a rectangle given in parts of the height (so that 1 is the whole height)."""
    corners = [round(value * HEIGHT) for value in (x, y, x + wide, y + high)]
    cv2.rectangle(layers, (corners[0], corners[1]), (corners[2], corners[3]), colour, -1, cv2.LINE_AA)


def _ground(layers: Layers, wall: tuple[float, ...], floor: tuple[float, ...]) -> None:
    top = round(HORIZON * HEIGHT)
    layers[:top] = np.array(wall, np.float32) * np.linspace(1.1, 0.9, top, dtype=np.float32)[:, None, None]
    layers[top:] = np.array(floor, np.float32) * np.linspace(0.7, 1.15, HEIGHT - top, dtype=np.float32)[:, None, None]


def _tiles(rng: np.random.Generator, layers: Layers, lines: float) -> None:
    """Joints of floor tiles that run to a vanishing point."""
    top = round(HORIZON * HEIGHT)
    for depth in np.geomspace(0.03, 1.0, 9):
        y = int(top + depth * (HEIGHT - top))
        layers[y : y + 2] *= lines
    middle = rng.uniform(0.3, 0.7) * WIDTH
    for x in np.arange(-WIDTH, 2 * WIDTH, 70):
        mask = np.ones((HEIGHT, WIDTH), np.float32)
        cv2.line(mask, (int(middle + (x - middle) * 0.45), top), (int(x), HEIGHT), lines, 1, cv2.LINE_AA)
        layers *= mask[..., None]


def _hue(rng: np.random.Generator, low: float, high: float, tint: float = 0.15) -> tuple[float, float, float, float]:
    """A surface of some lightness; paint says little about its near infrared."""
    light = rng.uniform(low, high)
    red, green, blue = map(float, np.clip(light * np.exp(rng.normal(0, tint, 3)), 0.01, 0.9))
    return red, green, blue, float(np.clip(0.35 * light + rng.uniform(0.05, 0.4), 0.03, 0.85))


def _room(rng: np.random.Generator, layers: Layers) -> None:
    _ground(layers, _hue(rng, 0.45, 0.6, 0.05), _hue(rng, 0.2, 0.3, 0.1))
    _tiles(rng, layers, 0.8)
    _box(layers, 0, HORIZON - 0.03, 2.6, 0.03, _hue(rng, 0.1, 0.2))
    for x in np.arange(0.05, 2.4, 0.42):
        kind, x = rng.integers(4), x + rng.uniform(0, 0.1)
        if kind == 0:  # a cupboard
            _box(layers, x, 0.22, 0.24, 0.44, _hue(rng, 0.1, 0.4, 0.3))
            _box(layers, x + 0.118, 0.24, 0.008, 0.4, _hue(rng, 0.03, 0.06))
        elif kind == 1:  # posters
            _box(layers, x, 0.2, 0.16, 0.2, _hue(rng, 0.3, 0.7, 0.5))
            _box(layers, x + 0.02, 0.24, 0.12, 0.06, _hue(rng, 0.05, 0.5, 0.6))
        elif kind == 2:  # a window on a bright day
            _box(layers, x, 0.12, 0.26, 0.32, (0.75, 0.82, 0.88, 0.7))
            _box(layers, x + 0.125, 0.12, 0.012, 0.32, _hue(rng, 0.3, 0.5))
        else:  # a desk with a screen
            _box(layers, x, 0.52, 0.28, 0.03, _hue(rng, 0.15, 0.35, 0.25))
            _box(layers, x + 0.02, 0.55, 0.02, 0.16, _hue(rng, 0.05, 0.1))
            _box(layers, x + 0.24, 0.55, 0.02, 0.16, _hue(rng, 0.05, 0.1))
            _box(layers, x + 0.07, 0.40, 0.14, 0.1, _hue(rng, 0.01, 0.04))


def _corridor(rng: np.random.Generator, layers: Layers) -> None:
    _ground(layers, _hue(rng, 0.35, 0.55, 0.06), _hue(rng, 0.12, 0.25, 0.1))
    _tiles(rng, layers, 1.2)
    _box(layers, 0, 0.45, 2.6, HORIZON - 0.45, _hue(rng, 0.2, 0.3, 0.2))
    door = _hue(rng, 0.12, 0.3, 0.3)
    for x in np.arange(0.1, 2.5, 0.5):
        x = x + rng.uniform(0, 0.15)
        _box(layers, x - 0.015, 0.155, 0.25, HORIZON - 0.155, _hue(rng, 0.4, 0.6, 0.05))
        _box(layers, x, 0.17, 0.22, HORIZON - 0.17, door)
        _box(layers, x + 0.19, 0.40, 0.015, 0.03, _hue(rng, 0.5, 0.7))
        if rng.random() < 0.5:
            _box(layers, x + 0.3, 0.22, 0.1, 0.14, _hue(rng, 0.2, 0.7, 0.5))


def _leaves(rng: np.random.Generator, layers: Layers, x: float, y: float, size: float) -> None:
    """Foliage: dark green to the eye, the brightest thing there is in the near infrared."""
    for _ in range(60):
        green = rng.uniform(0.04, 0.13)
        centre = ((x + rng.normal(0, size * 0.5)) * HEIGHT, (y + rng.normal(0, size * 0.35)) * HEIGHT)
        colour = (green * 0.55, green, green * 0.3, float(rng.uniform(0.5, 0.8)))
        cv2.circle(
            layers,
            (int(centre[0]), int(centre[1])),
            int(rng.uniform(0.1, 0.3) * size * HEIGHT),
            colour,
            -1,
            cv2.LINE_AA,
        )


def _yard(rng: np.random.Generator, layers: Layers) -> None:
    _ground(layers, _hue(rng, 0.4, 0.55, 0.1), _hue(rng, 0.28, 0.38, 0.05))
    _tiles(rng, layers, 0.85)
    for x in np.arange(0.0, 2.5, 0.3):  # a building with windows
        _box(layers, x + 0.06, 0.05, 0.14, 0.2, _hue(rng, 0.05, 0.12))
        _box(layers, x + 0.06, 0.32, 0.14, 0.18, _hue(rng, 0.05, 0.12))
    _box(layers, 0, HORIZON - 0.02, 2.6, 0.05, (0.05, 0.10, 0.03, 0.6))
    for x in np.arange(0.2, 2.5, 0.6):
        x = x + rng.uniform(0, 0.3)
        _box(layers, x - 0.015, 0.25, 0.03, HORIZON - 0.22, (0.08, 0.06, 0.045, 0.3))
        _leaves(rng, layers, x, 0.2, rng.uniform(0.18, 0.28))
    for x in rng.uniform(0, 2.4, 5):
        _leaves(rng, layers, x, HORIZON, 0.1)


def _street(rng: np.random.Generator, layers: Layers) -> None:
    _ground(layers, _hue(rng, 0.25, 0.4, 0.2), _hue(rng, 0.13, 0.2, 0.04))
    _box(layers, 0, 0.0, 2.6, 0.12, (0.6, 0.68, 0.78, 0.35))
    for x in np.arange(0, 2.5, 0.36):  # shop fronts
        _box(layers, x, 0.1, 0.35, HORIZON - 0.1, _hue(rng, 0.2, 0.5, 0.3))
        _box(layers, x + 0.04, 0.3, 0.27, HORIZON - 0.34, _hue(rng, 0.04, 0.15))
        _box(layers, x + 0.04, 0.22, 0.27, 0.05, _hue(rng, 0.15, 0.6, 0.7))
    _box(layers, 0, HORIZON, 2.6, 0.09, _hue(rng, 0.3, 0.4, 0.04))
    for x in rng.uniform(0, 2.3, 4):  # parked cars
        body = _hue(rng, 0.05, 0.6, 0.5)
        _box(layers, x, 0.53, 0.36, 0.12, body)
        _box(layers, x + 0.07, 0.46, 0.2, 0.08, _hue(rng, 0.03, 0.08))
        for wheel in (0.07, 0.28):
            cv2.circle(
                layers, (int((x + wheel) * HEIGHT), int(0.65 * HEIGHT)), 13, (0.02, 0.02, 0.02, 0.04), -1, cv2.LINE_AA
            )
    for x in rng.uniform(0, 2.4, 3):
        _leaves(rng, layers, x, 0.2, 0.2)


def _passage(rng: np.random.Generator, layers: Layers) -> None:
    _ground(layers, _hue(rng, 0.2, 0.35, 0.1), _hue(rng, 0.12, 0.2, 0.1))
    for row, y in enumerate(np.arange(0.0, HORIZON, 0.045)):  # brickwork
        layers[int(y * HEIGHT) : int(y * HEIGHT) + 1] *= 0.7
        for x in np.arange((row % 2) * 0.06, 2.5, 0.12):
            layers[int(y * HEIGHT) : int((y + 0.045) * HEIGHT), int(x * HEIGHT) : int(x * HEIGHT) + 1] *= 0.7
    for x in np.arange(0.1, 2.5, 0.55):
        _box(layers, x, 0.0, 0.09, HORIZON + 0.03, _hue(rng, 0.25, 0.45, 0.05))
        if rng.random() < 0.5:
            _box(layers, x + 0.2, 0.4, 0.2, HORIZON - 0.36, _hue(rng, 0.03, 0.1))
    for x in rng.uniform(0, 2.4, 3):
        _leaves(rng, layers, x, HORIZON - 0.04, 0.09)
