"""Random numbers as a pure function of seed and counters."""

from __future__ import annotations

import numpy as np


def stream(seed: int, purpose: int, person: int = 0, camera: int = 0, number: int = 0) -> np.random.Generator:
    """Generator that depends on its arguments alone, so that pictures can be made in any order."""
    counters = (purpose << 56) | (person << 32) | (camera << 24) | number
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, counters], np.uint64)))


SPLIT, PRESENCE, PERSON, SCENE, PICTURE, GALLERY = range(1, 7)
"""Purposes: no two draw from the same stream."""
