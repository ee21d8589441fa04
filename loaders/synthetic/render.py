"""One picture of a person by a camera."""

from __future__ import annotations

import cv2
import numpy as np

from loaders.synthetic.cameras import CAMERAS, Camera, see
from loaders.synthetic.figure import Shape, figure
from loaders.synthetic.materials import Material
from loaders.synthetic.person import Person
from loaders.synthetic.pose import draw_pose
from loaders.synthetic.scenes import HEIGHT, HORIZON, WIDTH, place
from loaders.synthetic.streams import PICTURE, stream

_FINER = 3
"""Outlines are filled on a grid this much finer than the picture, so that edges come out smooth."""
_SUBPIXEL = 4


def take_picture(seed: int, number: int, person: Person, camera_number: int, image: int) -> bytes:
    """JPEG file of picture `image` of person `number` by a camera: a pure function of its arguments."""
    rng = stream(seed, PICTURE, number, camera_number, image)
    camera = CAMERAS[camera_number]
    height = int(rng.integers(camera.heights[0], camera.heights[1] + 1))
    width = int(height * rng.uniform(0.36, 0.50))
    shapes = figure(person, draw_pose(rng, camera.heading, camera.pitch))
    # Detectors cut people out loosely: sometimes too wide, sometimes a foot or the hair is lost.
    scale = height * min(person.body.height * rng.uniform(0.82, 0.94), 0.97)
    foot = (width * (0.5 + rng.normal(0, 0.035)), height * rng.uniform(0.955, 1.0))
    reflectance, cover, shade = _rasterise(rng, shapes, height, width, scale, foot, camera)
    scene = _scene(rng, seed, camera, height, width, foot, scale)
    picture = see(rng, camera, reflectance, cover, shade, scene)
    quality = int(rng.integers(camera.quality[0], camera.quality[1] + 1))
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"OpenCV could not encode picture {image} of person {number} in camera {camera_number}")
    return encoded.tobytes()


def _rasterise(
    rng: np.random.Generator,
    shapes: list[Shape],
    height: int,
    width: int,
    scale: float,
    foot: tuple[float, float],
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill the outlines: reflectance float32 [h, w, 4], cover [h, w] and shade [h, w]."""
    slots: dict[Material, int] = {}
    labels = np.zeros((height * _FINER, width * _FINER), np.uint8)
    relief = np.zeros_like(labels)
    for shape in shapes:
        slot = slots.setdefault(shape.material, len(slots) + 1)
        pixels = shape.outline * (scale, -scale) + foot
        points = np.round(pixels * _FINER * 2**_SUBPIXEL).astype(np.int32)[None]
        cv2.fillPoly(labels, points, slot, cv2.LINE_8, _SUBPIXEL)
        cv2.fillPoly(relief, points, int(40 + 16 * shape.relief), cv2.LINE_8, _SUBPIXEL)
    table = np.zeros((len(slots) + 1, 8), np.float32)
    for material, slot in slots.items():
        table[slot] = (*material.rgb, material.nir, 1.0, material.texture, material.gloss, material.folds)
    size = (width, height)
    colour = cv2.resize(np.take(table[:, :4], labels, axis=0), size, interpolation=cv2.INTER_AREA)
    surface = cv2.resize(np.take(table[:, 4:], labels, axis=0), size, interpolation=cv2.INTER_AREA)
    cover = surface[..., 0]
    reflectance = colour / np.maximum(cover, 1e-3)[..., None]
    depth = cv2.resize(relief, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    shade = _shade(rng, depth, surface, camera, height)
    texture = rng.standard_normal((height, width), np.float32) * surface[..., 1]
    return np.clip(reflectance * (1 + texture)[..., None], 0.0, 1.0), cover, shade


def _shade(rng: np.random.Generator, depth: np.ndarray, surface: np.ndarray, camera: Camera, height: int) -> np.ndarray:
    """Light on rounded bodies, folds and glossy cloth, around 1."""
    rounded = cv2.GaussianBlur(depth, (0, 0), height * 0.012) + 0.6 * cv2.GaussianBlur(depth, (0, 0), height * 0.03)
    slope_x, slope_y = cv2.Sobel(rounded, cv2.CV_32F, 1, 0), cv2.Sobel(rounded, cv2.CV_32F, 0, 1)
    across = float(np.clip(camera.light + rng.normal(0, 0.35), -1, 1))
    if camera.modality == "ir":  # lit from the camera: every edge that turns away is darker
        lit = 1.06 - 1.5 * np.sqrt(slope_x**2 + slope_y**2)
    else:
        lit = 1.0 - slope_x * across * 1.1 + slope_y * 0.35 - 0.25 * np.abs(slope_x)
    cells = rng.standard_normal((14, 7), np.float32)
    folds = cv2.resize(cells, depth.shape[::-1], interpolation=cv2.INTER_CUBIC) * surface[..., 3]
    lit = lit + folds
    lit += surface[..., 2] * 2.2 * np.maximum(lit - 0.98, 0.0)
    lit *= np.linspace(1.06, 0.9, len(depth), dtype=np.float32)[:, None]
    return np.clip(lit, 0.15, 2.2)


def _scene(
    rng: np.random.Generator,
    seed: int,
    camera: Camera,
    height: int,
    width: int,
    foot: tuple[float, float],
    scale: float,
) -> np.ndarray:
    """A piece of the camera's place, float32 [h, w, 4], with the person's shadow at the feet."""
    zoom = height / HEIGHT * rng.uniform(1.0, 1.5)
    # People stand at different distances, so the ground begins higher or lower behind them.
    horizon = height * rng.uniform(0.55, 0.8)
    down = horizon - HORIZON * HEIGHT * zoom
    down = float(np.clip(down, height - HEIGHT * zoom, 0.0))
    left = -rng.uniform(0.0, WIDTH * zoom - width)
    move = np.array([[zoom, 0, left], [0, zoom, down]], np.float32)
    scene = cv2.warpAffine(
        place(seed, camera.place), move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    scene = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.5, 1.6)))
    shadow = np.ones((height, width), np.float32)
    centre = (int(foot[0] - camera.light * scale * 0.08), int(foot[1] - scale * 0.015))
    axes = (int(scale * rng.uniform(0.12, 0.2)), max(2, int(scale * 0.03)))
    cv2.ellipse(shadow, centre, axes, 0, 0, 360, 0.45, -1, cv2.LINE_AA)
    return scene * cv2.GaussianBlur(shadow, (0, 0), scale * 0.02)[..., None]
