"""How a person stands or walks in one picture, and where that puts the joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from loaders.synthetic.person import Body
from loaders.synthetic.solids import View

Gesture = Literal["swing", "pocket", "phone"]


@dataclass(frozen=True)
class Pose:
    """Angles in radians."""

    view: View
    stride: float
    phase: float
    arms_out: float
    gesture: Gesture
    gesture_side: int
    head_turn: float


@dataclass(frozen=True)
class Joints:
    """Joint positions [3] by side, -1 right and 1 left."""

    hip: dict[int, np.ndarray]
    knee: dict[int, np.ndarray]
    ankle: dict[int, np.ndarray]
    toe: dict[int, np.ndarray]
    shoulder: dict[int, np.ndarray]
    elbow: dict[int, np.ndarray]
    wrist: dict[int, np.ndarray]
    head: np.ndarray


def draw_pose(rng: np.random.Generator, heading: float, pitch: float) -> Pose:
    """Draw a pose; people mostly come along the way of the camera, `heading`, and look ahead."""
    towards = float(rng.choice((0.0, np.pi, np.pi / 2, -np.pi / 2), p=(0.42, 0.26, 0.16, 0.16)))
    yaw = heading + towards + rng.normal(0, 0.35)
    walking = rng.random() < 0.75
    return Pose(
        view=View(float(yaw), float(pitch + rng.normal(0, 0.03))),
        stride=float(rng.uniform(0.3, 0.55) if walking else rng.uniform(0.0, 0.12)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        arms_out=float(rng.uniform(0.06, 0.2)),
        gesture=rng.choice(("swing", "pocket", "phone"), p=(0.76, 0.14, 0.10)),
        gesture_side=int(rng.choice((-1, 1))),
        head_turn=float(rng.normal(0, 0.25)),
    )


def joints(body: Body, pose: Pose) -> Joints:
    """Joint positions of a body in a pose, the lower foot on the ground."""
    swing = pose.stride * np.sin(pose.phase)
    hip, knee, ankle, toe = {}, {}, {}, {}
    shoulder, elbow, wrist = {}, {}, {}
    for side in (-1, 1):
        thigh = swing * side
        # The knee of the leg behind bends as it comes forward.
        bend = 0.06 + pose.stride * 0.9 * max(0.0, -side * np.sin(pose.phase - 0.6))
        hip[side] = np.array([side * body.hips * 0.52, 0.5 * body.legs, 0.0])
        knee[side] = hip[side] + 0.232 * body.legs * np.array([0.0, -np.cos(thigh), np.sin(thigh)])
        shin = thigh - bend
        ankle[side] = knee[side] + 0.228 * body.legs * np.array([side * 0.02, -np.cos(shin), np.sin(shin)])
        toe[side] = ankle[side] + np.array([side * 0.018, -0.026 + 0.05 * min(0.0, shin), 0.088])
        shoulder[side] = np.array([side * (body.shoulders - 0.016), 0.797, 0.0])
        arm, flex = -swing * side * 0.9, 0.25
        if side == pose.gesture_side and pose.gesture == "pocket":
            arm, flex = -0.3, 0.75
        if side == pose.gesture_side and pose.gesture == "phone":
            arm, flex = 0.55, 2.25
        out = pose.arms_out + (0.2 if flex > 0.5 else 0.0)
        elbow[side] = shoulder[side] + 0.17 * np.array([side * np.sin(out), -np.cos(arm), np.sin(arm)])
        inwards = -0.25 if flex > 0.5 else 0.3 * out
        wrist[side] = elbow[side] + 0.15 * np.array([side * inwards, -np.cos(arm + flex), np.sin(arm + flex)])
    ground = min(ankle[-1][1], ankle[1][1]) - 0.04
    for part in (hip, knee, ankle, toe):
        for side in (-1, 1):
            part[side] = part[side] - (0, ground, 0)
    return Joints(hip, knee, ankle, toe, shoulder, elbow, wrist, np.array([0.0, 0.925, 0.012]))
