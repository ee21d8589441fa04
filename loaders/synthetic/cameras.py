"""The six cameras: where they hang, how they see, and what light and sensor make of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from loaders.dataset import Modality


@dataclass(frozen=True)
class Camera:
    """What the pictures of one camera have in common."""

    modality: Modality
    place: str
    heading: float
    """Yaw in radians at which the camera sees people who come towards it."""
    pitch: float
    """How far it looks down, in radians."""
    heights: tuple[int, int]
    """Smallest and largest height of its pictures in pixels."""
    white: tuple[float, float, float]
    """Gain in red, green and blue: light and white balance together."""
    exposure: float
    ambient: float
    """Part of the light that has no direction (RGB) or does not come from the illuminator (IR)."""
    light: float
    """Where the light comes from: -1 left to 1 right."""
    contrast: float
    saturation: float
    noise: float
    blur: float
    quality: tuple[int, int]
    """Lowest and highest JPEG quality."""


CAMERAS: dict[int, Camera] = {
    1: Camera(
        "rgb", "room", 0.15, 0.14, (140, 184), (1.08, 1.0, 0.86), 1.05, 0.7, -0.5, 1.0, 1.0, 0.010, 0.35, (82, 94)
    ),
    2: Camera(
        "rgb", "corridor", -0.25, 0.22, (120, 168), (0.95, 1.05, 0.95), 0.85, 0.75, 0.3, 1.1, 0.8, 0.016, 0.5, (72, 90)
    ),
    3: Camera("ir", "corridor", 0.3, 0.18, (120, 170), (1, 1, 1), 0.95, 0.16, 0.0, 1.0, 0.0, 0.018, 0.6, (72, 90)),
    4: Camera("rgb", "yard", 0.4, 0.10, (124, 180), (1.0, 1.0, 1.06), 1.15, 0.5, 0.8, 1.05, 1.1, 0.008, 0.4, (80, 94)),
    5: Camera(
        "rgb", "street", -0.1, 0.16, (112, 156), (0.93, 1.0, 1.1), 0.95, 0.8, -0.6, 0.85, 0.75, 0.012, 0.7, (68, 88)
    ),
    6: Camera("ir", "passage", -0.3, 0.12, (112, 160), (1, 1, 1), 0.85, 0.08, 0.0, 1.1, 0.0, 0.022, 0.65, (66, 86)),
}


def see(
    rng: np.random.Generator,
    camera: Camera,
    person: np.ndarray,
    cover: np.ndarray,
    shade: np.ndarray,
    scene: np.ndarray,
) -> np.ndarray:
    """Take the picture: uint8 [h, w, 3] in the channel order of OpenCV, grey in all three for an IR camera.

    `person` and `scene` are linear reflectances float32 [h, w, 4], `cover` [h, w] is how much the person covers and
    `shade` [h, w] how much light falls on it from the camera's light.
    """
    develop = _infrared if camera.modality == "ir" else _visible
    return develop(rng, camera, person, cover, shade, scene)


def _visible(
    rng: np.random.Generator,
    camera: Camera,
    person: np.ndarray,
    cover: np.ndarray,
    shade: np.ndarray,
    scene: np.ndarray,
) -> np.ndarray:
    light = camera.ambient + (1 - camera.ambient) * shade
    over = cover[..., None]
    linear = person[..., :3] * light[..., None] * over + scene[..., :3] * (1 - over)
    gains = np.array(camera.white) * camera.exposure * np.exp(rng.normal(0, 0.16)) * np.exp(rng.normal(0, 0.03, 3))
    linear = _lens(rng, camera, linear * gains.astype(np.float32))
    # Haze and stray light lift the blacks of low-contrast cameras.
    linear = linear * camera.contrast + 0.02 * max(0.0, 1.1 - camera.contrast)
    encoded = np.clip(linear, 0.0, 4.0) ** np.float32(1 / 2.2)
    grey = encoded.mean(axis=2, keepdims=True)
    encoded = grey + (encoded - grey) * np.float32(camera.saturation * np.exp(rng.normal(0, 0.08)))
    encoded += _noise(rng, camera, encoded.shape)
    # A soft shoulder instead of hard clipping.
    encoded = np.where(encoded > 0.85, 0.85 + 0.15 * np.tanh((encoded - 0.85) / 0.15), encoded)
    return (np.clip(encoded, 0.0, 1.0)[..., ::-1] * 255.0 + 0.5).astype(np.uint8)


def _infrared(
    rng: np.random.Generator,
    camera: Camera,
    person: np.ndarray,
    cover: np.ndarray,
    shade: np.ndarray,
    scene: np.ndarray,
) -> np.ndarray:
    height, width = cover.shape
    # The illuminator sits at the camera: a beam around its aim, weaker with distance, so the background is dim.
    aim_x, aim_y = width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.65)
    beam = height * rng.uniform(0.65, 1.0)
    rows = np.exp(-(((np.arange(height, dtype=np.float32) - aim_y) / beam) ** 2))
    columns = np.exp(-(((np.arange(width, dtype=np.float32) - aim_x) / beam) ** 2))
    falloff = camera.ambient + (1 - camera.ambient) * np.outer(rows, columns).astype(np.float32)
    distance = np.float32(rng.uniform(0.14, 0.42))
    linear = person[..., 3] * (0.2 + 0.8 * shade) * cover + scene[..., 3] * distance * (1 - cover)
    linear = linear * falloff * np.float32(camera.exposure * np.exp(rng.normal(0, 0.16)))
    linear = _lens(rng, camera, linear)
    linear += 0.08 * cv2.GaussianBlur(linear, (0, 0), height * 0.04)  # glare
    encoded = np.clip(linear * camera.contrast, 0.0, 4.0) ** np.float32(1 / 1.6)
    encoded += _noise(rng, camera, encoded.shape)
    encoded += rng.normal(0, camera.noise * 0.4, (height, 1)).astype(np.float32)  # the sensor is read row by row
    encoded = np.where(encoded > 0.8, 0.8 + 0.2 * np.tanh((encoded - 0.8) / 0.2), encoded)
    grey = (np.clip(encoded, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return cv2.merge([grey, grey, grey])


def _lens(rng: np.random.Generator, camera: Camera, linear: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(linear.astype(np.float32), (0, 0), camera.blur * float(np.exp(rng.normal(0, 0.25))))


def _noise(rng: np.random.Generator, camera: Camera, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(camera.noise)
