"""A person in a pose as outlines with materials, in the order in which they are painted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from loaders.synthetic.materials import Material
from loaders.synthetic.person import Garment, Person
from loaders.synthetic.pose import Joints, Pose, joints
from loaders.synthetic.solids import Trunk, View, band, ellipsoid, hull, limb

_EYE = Material((0.02, 0.02, 0.02), 0.10)
_LIPS = Material((0.28, 0.09, 0.08), 0.42)


@dataclass(frozen=True)
class Shape:
    """One outline [n, 2] in body heights, what it is made of, and how far it stands out (for shading)."""

    outline: np.ndarray
    material: Material
    relief: float


def _vector(left: float, up: float, ahead: float) -> np.ndarray:
    return np.array([left, up, ahead])


@dataclass
class _Painter:
    """Collects shapes in layers; a higher layer covers a lower one."""

    shapes: list[tuple[float, Shape]] = field(default_factory=list)

    def add(self, layer: float, relief: float, material: Material, *outlines: np.ndarray) -> None:
        self.shapes.extend((layer, Shape(outline, material, relief)) for outline in outlines)


def figure(person: Person, pose: Pose) -> list[Shape]:
    """Shapes of the person in this pose, from the farthest to the nearest."""
    painter, view, body = _Painter(), pose.view, person.body
    places = joints(body, pose)
    torso = _torso(person)
    for side in (-1, 1):
        _leg(painter, person, view, places, side)
        _arm(painter, person, view, places, side, pose)
    _lower(painter, person, view, torso, places)
    _upper(painter, person, view, torso)
    _head(painter, person, View(view.yaw + pose.head_turn, view.pitch), view, places.head)
    _bag(painter, person, view, torso, places)
    return [shape for _, shape in sorted(painter.shapes, key=lambda item: item[0])]


def _torso(person: Person) -> Trunk:
    body = person.body
    girth, shoulders, hips = body.girth, body.shoulders, body.hips
    waist = 0.070 * girth
    return Trunk(
        heights=np.array([0.40, 0.47, 0.53, 0.60, 0.72, 0.79, 0.822, 0.85]),
        wide=np.array([hips * 1.03, hips * 1.05, hips, waist, shoulders * 0.86, shoulders, shoulders * 0.8, 0.036]),
        deep=np.array([0.066, 0.070, 0.066, 0.056 * girth, 0.070, 0.058, 0.045, 0.034]) * girth**0.7,
    )


def _leg(painter: _Painter, person: Person, view: View, at: Joints, side: int) -> None:
    layer = -1.0 + view.nearness(at.knee[side])
    size = person.body.girth**0.6
    hip, knee, ankle, toe = at.hip[side], at.knee[side], at.ankle[side], at.toe[side]
    if person.lower_style != "trousers":
        painter.add(layer, 2, person.legs, limb(view, hip, knee, 0.044 * size, 0.029 * size))
        calf = knee + (ankle - knee) * 0.35
        painter.add(layer, 2, person.legs, limb(view, knee, calf, 0.028 * size, 0.028 * size))
        painter.add(layer, 2, person.legs, limb(view, calf, ankle, 0.028 * size, 0.017))
    heel = ankle + (toe - ankle) * (-0.12) - (0, 0.014, 0)
    painter.add(layer, 2, person.soles, limb(view, heel - (0, 0.009, 0), toe - (0, 0.007, 0), 0.018, 0.014))
    painter.add(layer, 3, person.shoes, limb(view, heel, toe, 0.019, 0.014))
    painter.add(layer, 3, person.shoes, limb(view, ankle - (0, 0.015, 0), ankle, 0.02, 0.02))
    if person.boots:
        painter.add(layer, 3, person.shoes, limb(view, ankle, ankle + (knee - ankle) * 0.45, 0.022, 0.029 * size))
    cloth, width = person.lower.material, person.lower_width
    if person.lower_style == "trousers":
        end = ankle + (knee - ankle) * (0.4 if person.boots and width < 1.1 else 0.04)
        painter.add(layer + 0.001, 4, cloth, limb(view, hip, knee, 0.047 * size, 0.031 * size * max(width, 0.95)))
        painter.add(layer + 0.001, 4, cloth, limb(view, knee, end, 0.031 * size * max(width, 0.95), 0.0225 * width))
        if person.side_stripe and view.nearness((side, 0, 0)) > -0.55:
            out = np.array([side * 0.026 * size, 0.0, 0.0])
            painter.add(layer + 0.002, 4, person.lower.second, limb(view, hip + out * 1.4, knee + out, 0.006, 0.006))
            painter.add(layer + 0.002, 4, person.lower.second, limb(view, knee + out, end + out * 0.8, 0.006, 0.006))
    elif person.lower_style == "shorts":
        reach = np.clip((0.5 - person.lower_hem) / 0.232, 0.5, 1.0)
        end = hip + (knee - hip) * reach
        painter.add(layer + 0.001, 4, cloth, limb(view, hip, end, 0.048 * size, 0.040 * size * max(width, 1.0)))


def _lower(painter: _Painter, person: Person, view: View, torso: Trunk, at: Joints) -> None:
    hem, width = person.lower_hem, person.lower_width
    if person.lower_style != "skirt":
        painter.add(-0.5, 4, person.lower.material, *torso.grown(1.02).patch(view, 0.45, 0.60))
        return
    # A skirt follows the legs: it opens with the stride.
    spread = abs(float(at.knee[1][2] - at.knee[-1][2])) * 0.5
    flare = 1.0 + 0.45 * (width - 0.85)
    skirt = Trunk(
        np.array([hem, 0.47, 0.53, 0.6]),
        np.array(
            [person.body.hips * flare, person.body.hips * 1.06, person.body.hips * 1.02, 0.071 * person.body.girth]
        ),
        np.array([max(0.066 * flare, spread + 0.03), 0.07, 0.066, 0.058]),
    )
    _clothe(painter, -0.5, 5, person.lower, skirt, view, hem, 0.59)


def _upper(painter: _Painter, person: Person, view: View, torso: Trunk) -> None:
    shirt = torso.grown(person.fit)
    _clothe(painter, 0.0, 6, person.top, shirt, view, person.hem, 0.845)
    painter.add(0.01, 6, person.skin, *torso.patch(view, 0.815, 0.85, -0.55, 0.55))
    if person.coat is not None:
        coat = torso.grown(max(person.fit, 1.04) * 1.1)
        low = min(person.coat_hem, person.hem - 0.02)
        if low < 0.40:
            coat = Trunk(
                np.concatenate([[low], coat.heights]),
                np.concatenate([coat.wide[:1] * 1.04, coat.wide]),
                np.concatenate([coat.deep[:1] * 1.08, coat.deep]),
            )
        _clothe(painter, 0.1, 8, person.coat, coat, view, low, 0.845)
        # The coat is open in front and shows what is worn below it.
        painter.add(0.12, 6, person.top.material, *coat.patch(view, max(low, person.hem), 0.83, -0.3, 0.3))
        if low < person.hem:
            painter.add(0.12, 4, person.lower.material, *coat.patch(view, low, person.hem, -0.3, 0.3))
    if person.scarf is not None:
        neck = Trunk(np.array([0.805, 0.835, 0.865]), np.array([0.062, 0.058, 0.05]), np.array([0.056, 0.056, 0.05]))
        painter.add(
            0.2, 9, person.scarf, *neck.patch(view, 0.805, 0.865), *torso.grown(1.2).patch(view, 0.64, 0.81, 0.1, 0.4)
        )


def _clothe(
    painter: _Painter, layer: float, relief: float, garment: Garment, trunk: Trunk, view: View, low: float, high: float
) -> None:
    """Paint a garment with its pattern around a trunk."""
    painter.add(layer, relief, garment.material, *trunk.patch(view, low, high))
    second, pattern = garment.second, garment.pattern

    def on_top(*outlines: np.ndarray) -> None:
        painter.add(layer + 0.001, relief, second, *outlines)

    if pattern in ("stripes", "wide stripes"):
        step = 0.044 if pattern == "stripes" else 0.1
        for height in np.arange(low + step * 0.4, high - step * 0.3, step):
            on_top(*trunk.patch(view, float(height), float(min(height + step * 0.48, high))))
    elif pattern in ("bars", "checks"):
        for angle in np.arange(-np.pi, np.pi - 0.01, np.pi / 8):
            on_top(*trunk.patch(view, low, high - 0.02, float(angle), float(angle + 0.16)))
        if pattern == "checks":
            for height in np.arange(low + 0.02, high - 0.04, 0.055):
                on_top(*trunk.patch(view, float(height), float(height + 0.018)))
    elif pattern == "block":
        on_top(*trunk.patch(view, low, low + 0.45 * (high - low)))
    elif pattern == "yoke":
        on_top(*trunk.patch(view, low + 0.68 * (high - low), high))
    elif pattern == "logo":
        on_top(*trunk.patch(view, low + 0.48 * (high - low), low + 0.76 * (high - low), -0.62, 0.62))
    elif pattern == "back print":
        on_top(*trunk.patch(view, low + 0.35 * (high - low), low + 0.78 * (high - low), np.pi - 0.75, np.pi + 0.75))
        on_top(*trunk.patch(view, low + 0.6 * (high - low), low + 0.72 * (high - low), 0.3, 0.7))


def _arm(painter: _Painter, person: Person, view: View, at: Joints, side: int, pose: Pose) -> None:
    shoulder, elbow, wrist = at.shoulder[side], at.elbow[side], at.wrist[side]
    near = view.nearness(elbow)
    lifted = pose.gesture == "phone" and pose.gesture_side == side
    layer = 1.0 + near if near > -0.03 else -1.6
    if lifted and near > -0.03:
        layer = 2.6
    size = person.body.girth**0.5
    upper, lower = 0.026 * size, 0.020 * size
    painter.add(layer, 7, person.skin, limb(view, shoulder, elbow, upper * 0.95, lower))
    painter.add(layer, 7, person.skin, limb(view, elbow, wrist, lower, 0.014))
    hand = wrist + (wrist - elbow) * 0.22
    painter.add(layer, 7, person.skin, limb(view, wrist, hand, 0.014, 0.015))
    outer = person.coat or person.top
    cloth = outer.second if outer is person.top and person.sleeves_differ else outer.material
    reach = 1.0 if person.coat is not None else person.sleeves
    thick = (1.32 if person.coat is not None else 1.0) * (0.55 + 0.5 * person.fit)
    if reach > 0.5:
        end = elbow + (wrist - elbow) * min(1.0, (reach - 0.5) * 2)
        painter.add(layer + 0.001, 8, cloth, limb(view, elbow, end, lower * thick * 1.1, 0.018 * thick))
    top_end = shoulder + (elbow - shoulder) * min(1.0, reach * 2)
    painter.add(layer + 0.001, 8, cloth, limb(view, shoulder, top_end, upper * thick * 1.12, lower * thick * 1.15))
    if outer.pattern in ("stripes", "wide stripes", "checks") and reach > 0.2:
        for part in np.arange(0.25, 0.95, 0.3):
            begin, end = shoulder + (top_end - shoulder) * part, shoulder + (top_end - shoulder) * (part + 0.14)
            painter.add(layer + 0.002, 8, outer.second, band(view, begin, end, lower * thick * 1.12))


def _head(painter: _Painter, person: Person, gaze: View, view: View, at: np.ndarray) -> None:
    size = person.body.head
    wide, high, deep = 0.040 * size, 0.058 * size, 0.050 * size
    neck = np.array([0.0, 0.825, 0.0])
    painter.add(-0.1, 5, person.skin, limb(view, neck, at - (0, 0.03, 0.008), 0.030, 0.026))
    front = gaze.frontal
    crop = 1.03 if person.hair_style == "cropped" else 1.13
    skull = ellipsoid(
        gaze, at + _vector(0, 0.008, -0.008), wide * crop, high * (0.97 if crop < 1.1 else 1.02), deep * crop
    )
    face = ellipsoid(gaze, at + _vector(0, -0.010, 0.016), wide * 0.93, high * 0.86, deep * 0.74)
    hair_layer, face_layer = (2.0, 2.1) if front > -0.35 else (2.1, 2.0)
    painter.add(hair_layer, 10, person.hair, skull)
    painter.add(face_layer, 10, person.skin, face)
    if front > 0.25:
        for side in (-1, 1):
            eye = at + _vector(side * 0.017 * size, 0.004, 0.052)
            painter.add(2.2, 10, _EYE, ellipsoid(gaze, eye, 0.006, 0.0035, 0.004))
        painter.add(2.2, 10, _LIPS, ellipsoid(gaze, at + _vector(0, -0.031, 0.05), 0.011, 0.004, 0.004))
    back = 1.5 if view.frontal < 0.05 else -0.4
    crown = at + _vector(0, 0.0, -0.018)
    if person.hair_style == "bob":
        painter.add(back + 0.3, 9, person.hair, limb(view, crown, at - (0, 0.062, 0.022), 0.052 * size, 0.05 * size))
    elif person.hair_style == "long":
        painter.add(back, 9, person.hair, limb(view, crown, np.array([0, 0.745, -0.062]), 0.053 * size, 0.045))
    elif person.hair_style == "ponytail":
        painter.add(
            back, 9, person.hair, limb(view, at + _vector(0, 0.02, -0.05), np.array([0, 0.80, -0.085]), 0.018, 0.012)
        )
    elif person.hair_style == "bun":
        painter.add(
            2.05 if front < 0.3 else -0.4,
            10,
            person.hair,
            ellipsoid(gaze, at + _vector(0, 0.046, -0.045), 0.026, 0.024, 0.026),
        )
    if person.hat != "none":
        dome = ellipsoid(gaze, at + _vector(0, 0.014, -0.006), wide * 1.18, high * 1.04, deep * 1.18)
        above = view.project((at + _vector(0, 0.016, 0))[None])[0, 1]
        painter.add(2.4, 11, person.hat_material, hull(np.maximum(dome, (-9, above))))
        if person.hat == "cap":
            tip = at + _vector(0, 0.018, 0.085)
            painter.add(2.5, 11, person.hat_material, limb(gaze, at + _vector(0, 0.022, 0.03), tip, 0.018, 0.010))
        elif person.hat == "brim":
            painter.add(
                2.5, 11, person.hat_material, ellipsoid(gaze, at + _vector(0, 0.020, 0), wide * 1.95, 0.012, deep * 1.8)
            )


def _bag(painter: _Painter, person: Person, view: View, torso: Trunk, at: Joints) -> None:
    size, side = person.bag_size, person.bag_side
    cloth, second = person.bag_material, person.bag_second
    if person.bag == "backpack":
        deep = 0.05 * size
        behind = float(np.interp(0.7, torso.heights, torso.deep)) * (1.25 if person.coat else 1.1) + deep * 0.9
        pack = Trunk(
            np.array([0.80 - 0.27 * size, 0.80 - 0.24 * size, 0.76, 0.81]),
            np.array([0.062, 0.074, 0.072, 0.045]) * size,
            np.array([0.8, 1.0, 0.9, 0.5]) * deep,
            (0.0, -behind),
        )
        layer = -0.4 if view.frontal > 0 else 1.4
        low = float(pack.heights[0])
        painter.add(layer, 10, cloth, *pack.patch(view, low, 0.81))
        painter.add(layer + 0.01, 11, second, *pack.patch(view, low + 0.02, low + 0.1 * size, np.pi - 0.9, np.pi + 0.9))
        wear = torso.grown(1.2 if person.coat else person.fit * 1.03)
        for first in (-0.85, 0.6):
            painter.add(0.3, 9, cloth, *wear.patch(view, 0.64, 0.835, first, first + 0.25))
    elif person.bag == "shoulder":
        wear = torso.grown(1.22 if person.coat else person.fit * 1.03)
        for first, lean in ((0.0, -0.9), (np.pi - 0.16, 0.9)):
            begin = first + side * 0.75 if lean < 0 else first - side * 0.75
            painter.add(0.3, 9, second, *wear.patch(view, 0.5, 0.835, begin, begin + 0.16, lean * side * 1.6))
        centre = np.array([side * (person.body.hips * 1.15 + 0.035), 0.47, -0.01])
        _box(painter, view, cloth, second, centre, (0.034, 0.075 * size, 0.075 * size))
    elif person.bag == "tote":
        hand = at.wrist[side] + (at.wrist[side] - at.elbow[side]) * 0.2
        centre = hand - (side * -0.012, 0.05 + 0.085 * size, 0)
        painter.add(1.0 + view.nearness(hand), 8, second, limb(view, hand, centre + _vector(0, 0.06, 0), 0.006, 0.02))
        _box(painter, view, cloth, second, centre, (0.03, 0.085 * size, 0.07 * size))


def _box(
    painter: _Painter, view: View, cloth: Material, flap: Material, centre: np.ndarray, half: tuple[float, float, float]
) -> None:
    wide, high, deep = half
    x, y, z = map(float, centre)
    box = Trunk(
        np.array([y - high, y - high * 0.9, y + high]),
        np.array([0.8, 1, 0.9]) * wide,
        np.array([0.85, 1, 0.95]) * deep,
        (x, z),
    )
    layer = 1.3 + view.nearness(centre) if view.nearness(centre) > -0.03 else -1.8
    painter.add(layer, 9, cloth, *box.patch(view, y - high, y + high))
    painter.add(layer + 0.001, 9, flap, *box.patch(view, y + high * 0.35, y + high * 0.55))
