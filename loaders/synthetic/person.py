"""Who is in the pictures: body, hair, garments, shoes and carried things of each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from loaders.synthetic.materials import Material, draw_cloth, draw_hair, draw_skin
from loaders.synthetic.streams import PERSON, stream

Pattern = Literal["plain", "stripes", "wide stripes", "bars", "checks", "block", "yoke", "logo", "back print"]
HairStyle = Literal["cropped", "short", "bob", "long", "ponytail", "bun"]
HatStyle = Literal["none", "cap", "beanie", "brim"]
BagStyle = Literal["none", "backpack", "shoulder", "tote"]
LowerStyle = Literal["trousers", "shorts", "skirt"]


@dataclass(frozen=True)
class Body:
    """Lengths as a part of body height, except height itself, which is relative to the average."""

    height: float
    girth: float
    shoulders: float
    hips: float
    legs: float
    head: float


@dataclass(frozen=True)
class Garment:
    """A piece of clothing: its cloth, and a second cloth where it has a pattern."""

    material: Material
    second: Material
    pattern: Pattern


@dataclass(frozen=True)
class Person:
    """Everything about a person that stays the same from picture to picture."""

    body: Body
    skin: Material
    hair: Material
    hair_style: HairStyle
    top: Garment
    sleeves: float
    """How far sleeves reach from shoulder (0) to wrist (1)."""
    sleeves_differ: bool
    """Sleeves are of the top's second cloth."""
    hem: float
    """Height of the top's lower edge."""
    fit: float
    """Width of the upper clothing relative to the body."""
    coat: Garment | None
    coat_hem: float
    lower: Garment
    lower_style: LowerStyle
    lower_width: float
    lower_hem: float
    side_stripe: bool
    legs: Material
    """What shows below shorts and skirts: skin or tights."""
    shoes: Material
    soles: Material
    boots: bool
    hat: HatStyle
    hat_material: Material
    bag: BagStyle
    bag_material: Material
    bag_second: Material
    bag_side: int
    """-1 or 1: the side on which a bag hangs."""
    bag_size: float
    scarf: Material | None


def draw_person(seed: int, person: int) -> Person:
    """Draw person number `person` of the data set of this seed."""
    rng = stream(seed, PERSON, person)
    skin = draw_skin(rng)
    lower_style: LowerStyle = rng.choice(("trousers", "shorts", "skirt"), p=(0.70, 0.13, 0.17))
    top = _garment(
        rng, ("cotton", "cotton", "polyester", "wool"), (0.24, 0.12, 0.10, 0.07, 0.11, 0.12, 0.09, 0.10, 0.05)
    )
    coated = rng.random() < 0.32
    lower_fibres = (
        ("denim", "denim", "cotton", "polyester", "wool") if lower_style == "trousers" else ("cotton", "denim")
    )
    white = draw_cloth(rng, ("cotton",))
    hem = float(rng.choice((rng.uniform(0.48, 0.53), rng.uniform(0.40, 0.47)), p=(0.7, 0.3)))
    return Person(
        body=_body(rng),
        skin=skin,
        hair=draw_hair(rng),
        hair_style=rng.choice(
            ("cropped", "short", "bob", "long", "ponytail", "bun"), p=(0.18, 0.3, 0.14, 0.2, 0.12, 0.06)
        ),
        top=top,
        sleeves=float(rng.choice((rng.uniform(0.25, 0.42), rng.uniform(0.92, 1.0)), p=(0.42, 0.58))),
        sleeves_differ=bool(top.pattern == "plain" and rng.random() < 0.18),
        hem=hem,
        fit=float(rng.uniform(0.96, 1.22)),
        coat=_garment(rng, ("wool", "nylon", "nylon", "leather", "cotton"), (0.8, 0, 0, 0, 0.05, 0.15, 0, 0, 0))
        if coated
        else None,
        coat_hem=float(rng.choice((rng.uniform(0.45, 0.5), rng.uniform(0.27, 0.38)), p=(0.6, 0.4))),
        lower=_garment(rng, lower_fibres, (0.82, 0.02, 0.02, 0.04, 0.10, 0, 0, 0, 0)),
        lower_style=lower_style,
        lower_width=float(rng.uniform(0.88, 1.4)),
        lower_hem=float(
            {"trousers": 0.055, "shorts": rng.uniform(0.27, 0.36), "skirt": rng.uniform(0.12, 0.36)}[lower_style]
        ),
        side_stripe=bool(lower_style == "trousers" and rng.random() < 0.14),
        legs=skin if rng.random() < 0.6 else draw_cloth(rng, ("nylon",)),
        shoes=draw_cloth(rng, ("leather", "nylon", "cotton")),
        soles=white,
        boots=bool(rng.random() < 0.2),
        hat=rng.choice(("none", "cap", "beanie", "brim"), p=(0.64, 0.18, 0.11, 0.07)),
        hat_material=draw_cloth(rng, ("cotton", "wool")),
        bag=rng.choice(("none", "backpack", "shoulder", "tote"), p=(0.30, 0.30, 0.22, 0.18)),
        bag_material=draw_cloth(rng, ("nylon", "leather", "cotton"), avoid=top.material),
        bag_second=draw_cloth(rng, ("nylon", "cotton")),
        bag_side=int(rng.choice((-1, 1))),
        bag_size=float(rng.uniform(0.8, 1.25)),
        scarf=draw_cloth(rng, ("wool", "cotton"), avoid=top.material) if rng.random() < 0.1 else None,
    )


def _body(rng: np.random.Generator) -> Body:
    return Body(
        height=float(np.clip(rng.normal(1.0, 0.045), 0.88, 1.1)),
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.4)),
        shoulders=float(rng.uniform(0.092, 0.122)),
        hips=float(rng.uniform(0.076, 0.096)),
        legs=float(rng.uniform(0.97, 1.03)),
        head=float(rng.uniform(0.95, 1.08)),
    )


def _garment(rng: np.random.Generator, fibres: tuple[str, ...], odds: tuple[float, ...]) -> Garment:
    patterns = ("plain", "stripes", "wide stripes", "bars", "checks", "block", "yoke", "logo", "back print")
    material = draw_cloth(rng, fibres)
    second = draw_cloth(rng, fibres, avoid=material)
    return Garment(material, second, rng.choice(patterns, p=np.array(odds) / sum(odds)))
