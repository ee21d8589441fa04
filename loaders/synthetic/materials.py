"""What things are made of: visible colour and near-infrared reflectance both follow from fibre and dye.

Near infrared (about 850 nm) sees past most dyes to the fibre below: cotton dyed black with a reactive dye is bright, a
synthetic coloured with carbon black is dark. So two garments of one colour can differ in the infrared, and colours that
differ can look alike there. Reflectances are linear, from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Material:
    """Reflectances of a surface and how it looks close by."""

    rgb: tuple[float, float, float]
    """Linear reflectance in red, green and blue."""
    nir: float
    """Linear reflectance in the near infrared."""
    texture: float = 0.0
    """Relative contrast of the weave."""
    gloss: float = 0.0
    """Strength of the highlight."""
    folds: float = 0.0
    """Relative contrast of folds."""


@dataclass(frozen=True)
class Fibre:
    """An undyed cloth."""

    nir: float
    texture: float
    gloss: float
    folds: float
    dyes: tuple[str, ...]


@dataclass(frozen=True)
class Dye:
    """A way of colouring: how much near infrared it swallows, and how it shifts the visible colour."""

    nir_absorption: float
    saturation: float
    lift: float
    """Light added to the colour: how far from black the dye leaves the cloth."""


FIBRES = {
    "cotton": Fibre(0.74, 0.04, 0.00, 0.16, ("reactive", "reactive", "sulphur", "pigment")),
    "denim": Fibre(0.66, 0.07, 0.00, 0.10, ("reactive", "reactive", "sulphur")),
    "wool": Fibre(0.56, 0.08, 0.00, 0.08, ("reactive", "metal-complex", "metal-complex")),
    "polyester": Fibre(0.80, 0.02, 0.12, 0.20, ("disperse", "disperse", "carbon", "carbon")),
    "nylon": Fibre(0.68, 0.03, 0.30, 0.24, ("disperse", "carbon", "carbon")),
    "leather": Fibre(0.46, 0.05, 0.35, 0.12, ("metal-complex", "carbon")),
}
DYES = {
    "reactive": Dye(0.22, 1.0, 0.045),
    "disperse": Dye(0.16, 1.15, 0.030),
    "sulphur": Dye(0.45, 0.75, 0.022),
    "metal-complex": Dye(0.60, 0.85, 0.008),
    "pigment": Dye(0.72, 0.9, 0.010),
    "carbon": Dye(0.90, 0.7, 0.002),
}
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (26, 26, 29),
    "charcoal": (56, 57, 61),
    "grey": (126, 128, 131),
    "white": (232, 232, 228),
    "navy": (28, 36, 72),
    "blue": (42, 82, 160),
    "sky": (136, 178, 218),
    "red": (176, 36, 40),
    "burgundy": (96, 26, 40),
    "green": (38, 104, 62),
    "olive": (92, 92, 50),
    "teal": (24, 112, 118),
    "beige": (200, 180, 146),
    "brown": (98, 66, 44),
    "pink": (224, 150, 168),
    "yellow": (222, 186, 60),
    "orange": (210, 108, 40),
    "purple": (96, 60, 128),
}
_WEIGHTS = {"black": 4.0, "charcoal": 1.6, "grey": 1.8, "white": 2.4, "navy": 2.0, "blue": 1.6}
_DENIM = ("navy", "blue", "sky", "charcoal", "black")
_NEUTRAL = ("black", "charcoal")
_EARTHY = ("navy", "green", "olive", "burgundy", "brown")


def linear(srgb: tuple[int, int, int]) -> np.ndarray:
    """Linear reflectance [3] of an 8-bit sRGB colour."""
    return (np.asarray(srgb, np.float64) / 255.0) ** 2.2


def cloth(rng: np.random.Generator, fibre: str, colour: str, dye: str) -> Material:
    """A cloth of the given fibre, dyed; no two pieces come out quite alike."""
    base, tint = FIBRES[fibre], DYES[dye]
    rgb = linear(COLOURS[colour]) * np.exp(rng.normal(0, 0.16)) * np.exp(rng.normal(0, 0.07, 3))
    grey = rgb.mean()
    rgb = np.clip(grey + (rgb - grey) * tint.saturation + tint.lift, 0.004, 0.86)
    # Pale cloth carries little dye, so that it stays bright in the near infrared whatever the dye.
    depth = 1.0 - np.clip(rgb.mean() / 0.75, 0.0, 1.0) ** 0.8
    nir = base.nir * (1.0 - tint.nir_absorption * depth) * np.exp(rng.normal(0, 0.06))
    red, green, blue = map(float, rgb)
    return Material((red, green, blue), float(np.clip(nir, 0.03, 0.92)), base.texture, base.gloss, base.folds)


def draw_cloth(rng: np.random.Generator, fibres: tuple[str, ...], avoid: Material | None = None) -> Material:
    """Draw a cloth of one of the fibres; `avoid` is a material that it must differ from in visible light.

    In two of three draws it differs from it in the near infrared as well, so that most patterns are seen there too.
    """
    both = rng.random() < 0.67
    while True:
        fibre = str(rng.choice(fibres))
        names = _DENIM if fibre == "denim" else tuple(COLOURS)
        weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
        colour = str(rng.choice(names, p=weights / weights.sum()))
        odds = np.array([_dye_odds(dye, colour) for dye in FIBRES[fibre].dyes])
        material = cloth(rng, fibre, colour, str(rng.choice(FIBRES[fibre].dyes, p=odds / odds.sum())))
        if avoid is None:
            return material
        visible = np.abs(np.sqrt(material.rgb) - np.sqrt(avoid.rgb)).max() > 0.2
        if visible and (not both or abs(material.nir - avoid.nir) > 0.15):
            return material


def _dye_odds(dye: str, colour: str) -> float:
    """How often dyers take a dye for a colour: what makes the near infrared of a garment a good guess, never sure.

    Black and charcoal come in every dye; earthy colours mostly in dyes that swallow near infrared, bright ones not.
    """
    if dye == "carbon" and sum(COLOURS[colour]) >= 240:
        return 0.01
    if colour in _NEUTRAL:
        return 1.0
    return 8.0 if (colour in _EARTHY) == (DYES[dye].nir_absorption > 0.2) else 1.0


def draw_skin(rng: np.random.Generator) -> Material:
    """Skin: tones differ much in visible light and little in the near infrared."""
    tone = rng.beta(2.0, 2.2)
    light, dark = linear((232, 190, 164)), linear((98, 62, 44))
    red, green, blue = map(float, light + (dark - light) * tone)
    return Material((red, green, blue), float(0.60 - 0.14 * tone + rng.normal(0, 0.015)), gloss=0.05)


def draw_hair(rng: np.random.Generator) -> Material:
    """Hair: pigment takes all visible light and lets a part of the near infrared back out."""
    names = ((22, 18, 17), (40, 28, 22), (78, 52, 34), (128, 92, 54), (190, 156, 104), (150, 148, 146), (110, 44, 28))
    near = (0.16, 0.24, 0.36, 0.46, 0.58, 0.40, 0.42)
    index = int(rng.choice(len(names), p=(0.36, 0.24, 0.16, 0.08, 0.06, 0.06, 0.04)))
    red, green, blue = map(float, linear(names[index]) * np.exp(rng.normal(0, 0.1)))
    return Material((red, green, blue), float(near[index] * np.exp(rng.normal(0, 0.12))), texture=0.08, gloss=0.06)
