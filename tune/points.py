"""The trials of a sweep, listed before any of them starts."""

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aligngan.config import Config
from tune.settings import Range, SweepSettings

SEED = "train.seed"


@dataclass(frozen=True)
class Point:
    """One training of a sweep: its name and the dotted keys in which it differs from the base."""

    name: str
    values: Mapping[str, Any]
    reference: str | None = None
    """Name of the reference that it belongs to, or None for a point of the space."""


def listed_points(settings: SweepSettings, base: Config) -> list[Point]:
    """Return every trial of a sweep that is not chosen by a model while it goes on; each once, in order."""
    varied = list(_combinations(settings, base))
    points = []
    for seed in settings.seeds:  # outermost, so that a sweep that is cut short has a whole picture of its first seeds
        points += [named(settings, {**values, SEED: seed}) for values in varied]
        for name, values in settings.references.items():
            points.append(Point(_name({"": name, SEED: seed}), {**values, SEED: seed}, name))
    alike: dict[str, list[Point]] = {}
    return [point for point in points if _is_new(point, alike.setdefault(point.name, []))]


def combinations(settings: SweepSettings) -> int:
    """Return how many trials a grid has, without listing them, counting what is listed twice as two; 0 for others."""
    if settings.search != "grid":
        return 0
    return math.prod(len(axis_values(axis)) for axis in settings.space.values()) * len(settings.seeds)


def corner_points(settings: SweepSettings) -> list[Point]:
    """Return the points at the bounds of the space, one key at a time: what can be checked of what is not yet drawn."""
    first = {key: _ends(axis)[0] for key, axis in settings.space.items()}
    ends = [{**first, key: end} for key, axis in settings.space.items() for end in _ends(axis)]
    return [named(settings, {**values, SEED: settings.seeds[0]}) for values in ends]


def named(settings: SweepSettings, values: Mapping[str, Any]) -> Point:
    """Return the point of a sweep with these values, drawn numbers rounded; equal values have equal names."""
    rounded = {
        key: axis.rounded(value) if isinstance(axis := settings.space.get(key), Range) else value
        for key, value in values.items()
    }
    return Point(_name(rounded), rounded)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last parts of dotted keys, or the whole keys where the last parts are alike."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)}


def axis_values(axis: tuple[Any, ...] | Range) -> tuple[Any, ...]:
    """Return the values that a grid takes of an axis; nothing for a range without points."""
    if not isinstance(axis, Range):
        return axis
    if axis.points is None:
        return ()
    return tuple(axis.at(number / (axis.points - 1)) for number in range(axis.points))


def base_value(base: Config, key: str) -> Any:
    """Return the base's value of a dotted key, None where its section is null."""
    value: Any = base.model_dump(mode="json")
    for part in key.split("."):
        value = None if value is None else value[part]
    return value


def _combinations(settings: SweepSettings, base: Config) -> Iterator[dict[str, Any]]:
    axes = settings.space
    if settings.search == "one-at-a-time":
        start = {key: base_value(base, key) for key in axes}
        yield start
        yield from ({**start, key: value} for key, axis in axes.items() for value in axis_values(axis))
    elif settings.search == "grid":
        for values in itertools.product(*map(axis_values, axes.values())):
            yield dict(zip(axes, values, strict=True))
    else:
        draw = random.Random(settings.seeds[0])  # noqa: S311 - no secrets are drawn
        for _ in range(settings.trials or 0):
            yield {
                key: axis.at(draw.random()) if isinstance(axis, Range) else draw.choice(axis)
                for key, axis in axes.items()
            }


def _is_new(point: Point, known: list[Point]) -> bool:
    new = point not in known
    known.append(point)
    return new


def _ends(axis: tuple[Any, ...] | Range) -> tuple[Any, ...]:
    return (axis.low, axis.high) if isinstance(axis, Range) else axis


def _name(values: Mapping[str, Any]) -> str:
    short = short_names(list(values))
    parts = (f"{short[key]}-{_text(value)}".lstrip("-") for key, value in values.items())
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ".".join(parts))


def _text(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
        return text.replace("e+", "e")  # the plus would become a minus, as no name can hold it
    return str(value).strip("()[]")
