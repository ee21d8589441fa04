"""Kubernetes' quantities as numbers."""

import re

_FACTORS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def number(quantity: str | int | float) -> float:
    """Return the value of a quantity such as 500m or 4Gi; raises ValueError where it is none."""
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(quantity))
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"{quantity!r} is not a quantity")
    return float(match[1]) * _FACTORS[match[2]]
