"""Solids of a figure, turned to the viewer and outlined; in body heights, x left, y up, z ahead of the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 14, False)), np.sin(np.linspace(0, 2 * np.pi, 14, False))], 1)


@dataclass(frozen=True)
class View:
    """Where the viewer stands: yaw 0 sees the front, half a turn the back; pitch looks down."""

    yaw: float
    pitch: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [n, 3] of the person to [n, 2] of the picture plane, x to the right and y up."""
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        across = points[:, 0] * cosine + points[:, 2] * sine
        towards = points[:, 2] * cosine - points[:, 0] * sine
        return np.stack([across, points[:, 1] * np.cos(self.pitch) - towards * np.sin(self.pitch)], 1)

    def nearness(self, point: np.ndarray | tuple[float, float, float]) -> float:
        """How far a point stands out towards the viewer."""
        return float(point[2] * np.cos(self.yaw) - point[0] * np.sin(self.yaw))

    @property
    def frontal(self) -> float:
        """1 seen from the front, 0 from the side, -1 from the back."""
        return float(np.cos(self.yaw))


def hull(points: np.ndarray) -> np.ndarray:
    """Convex hull [m, 2] of points [n, 2]."""
    import cv2

    return cv2.convexHull(np.ascontiguousarray(points, np.float32))[:, 0]


def limb(view: View, start: np.ndarray, end: np.ndarray, start_radius: float, end_radius: float) -> np.ndarray:
    """Outline [m, 2] of a tapered limb between two joints [3]."""
    ends = view.project(np.stack([start, end]))
    return hull(np.concatenate([ends[0] + _CIRCLE * start_radius, ends[1] + _CIRCLE * end_radius]))


def band(view: View, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Outline [4, 2] of a band around a limb between two points [3] of its axis."""
    first, last = view.project(np.stack([start, end]))
    along = last - first
    across = np.array([-along[1], along[0]]) * (radius / max(float(np.hypot(*along)), 1e-6))
    return np.stack([first + across, last + across, last - across, first - across])


def ellipsoid(view: View, centre: np.ndarray, wide: float, high: float, deep: float) -> np.ndarray:
    """Outline [14, 2] of an upright ellipsoid with the given half axes."""
    across = np.hypot(wide * np.cos(view.yaw), deep * np.sin(view.yaw))
    return view.project(centre[None]) + _CIRCLE * (across, high)


@dataclass(frozen=True)
class Trunk:
    """A stack of elliptic rings: a torso, a skirt or a bag."""

    heights: np.ndarray
    wide: np.ndarray
    deep: np.ndarray
    centre: tuple[float, float] = (0.0, 0.0)

    def grown(self, factor: float) -> Trunk:
        """The same trunk with wider rings, as cloth lies around a body."""
        return Trunk(self.heights, self.wide * factor, self.deep * factor, self.centre)

    def points(self, angles: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """Points [n, 3] on the surface; angle 0 is ahead, a quarter turn the person's left."""
        wide = np.interp(heights, self.heights, self.wide)
        deep = np.interp(heights, self.heights, self.deep)
        return np.stack(
            [self.centre[0] + wide * np.sin(angles), heights + 0 * angles, self.centre[1] + deep * np.cos(angles)], 1
        )

    def visible(self, view: View, height: float) -> tuple[float, float]:
        """First and last angle that the viewer sees at a height."""
        wide = float(np.interp(height, self.heights, self.wide))
        deep = float(np.interp(height, self.heights, self.deep))
        middle = -np.arctan2(np.sin(view.yaw) / wide, np.cos(view.yaw) / deep)
        return middle - np.pi / 2, middle + np.pi / 2

    def patch(
        self, view: View, low: float, high: float, first: float = -np.pi, last: float = np.pi, lean: float = 0.0
    ) -> list[np.ndarray]:
        """Outlines of the visible parts of the surface between two heights and two angles; none where it faces away.

        `lean` turns the upper edge further round than the lower one, which makes a slanting strap.
        """
        outlines = []
        whole = last - first >= 2 * np.pi - 1e-6
        seen_first, seen_last = self.visible(view, (low + high) / 2)
        for turn in (0,) if whole else (-2 * np.pi, 0, 2 * np.pi):
            start = seen_first if whole else max(first + turn, seen_first)
            end = seen_last if whole else min(last + turn, seen_last)
            if end - start < 0.02:
                continue
            across = np.linspace(start, end, 7)
            up = np.linspace(low, high, 8)
            edge = np.concatenate(
                [
                    self.points(across + lean, np.full(7, high)),
                    self.points(np.linspace(end + lean, end, 8), up[::-1]),
                    self.points(across[::-1], np.full(7, low)),
                    self.points(np.linspace(start, start + lean, 8), up),
                ]
            )
            outlines.append(view.project(edge))
        return outlines
