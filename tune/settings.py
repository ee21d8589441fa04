"""What a sweep is: a base configuration, keys that vary, and how their values are chosen."""

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from aligngan.config import Config, ConfigError, dump, resolve
from aligngan.config.resolve import Tree, read_tree, resolve_tree

DIGITS = 4
"""Significant digits of drawn values, so that a value, its text and a run's name say the same."""

Value = bool | int | float | str | tuple[Any, ...] | None


class Range(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Numbers between two bounds."""

    low: float
    """Lower bound."""
    high: float
    """Upper bound."""
    scale: Literal["log", "linear"] = "log"
    """Even in the logarithm or in the number itself."""
    points: int | None = Field(default=None, ge=2)
    """Values that a grid takes, both bounds among them; random and optuna draw from the whole range."""

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("a log scale needs low above 0")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds, as the scale measures them."""
        return (math.log(self.low), math.log(self.high)) if self.scale == "log" else (self.low, self.high)

    def at(self, share: float) -> float:
        """Return the value at a share from 0 (low) to 1 (high) of the way, rounded."""
        low, high = self.bounds
        place = low + share * (high - low)
        return self.rounded(math.exp(place) if self.scale == "log" else place)

    def rounded(self, value: float) -> float:
        """Return a value with few digits that is not beyond the bounds."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


class AshaSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Asynchronous successive halving: at each rung only the best share of the trials goes on."""

    grace: float = Field(default=0.25, gt=0, lt=1)
    """Share of the joint training that no trial is stopped in; the first rung is behind it."""
    reduction_factor: float = Field(default=2, gt=1)
    """One in so many trials passes a rung, and each rung is so many times further than the one before."""


class SweepSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """A sweep, as its YAML file says."""

    about: str = ""
    """A line for people."""
    preset: str = "demo"
    """Recipe that every trial starts from."""
    config: dict[str, Any] = {}
    """Configuration keys laid over the preset, as in a file of `aligngan.train --config`."""
    search: Literal["one-at-a-time", "grid", "random", "optuna"] = "grid"
    """One key at a time with the others as in the base, all combinations, drawn at random, or chosen by a model."""
    space: dict[str, tuple[Value, ...] | Range]
    """Dotted configuration keys that vary: a list of values, or a range (low, high, scale, points)."""
    trials: int | None = Field(default=None, ge=1)
    """Points that random and optuna draw."""
    seeds: tuple[int, ...] = (0,)
    """Every point is trained once with each of these as train.seed."""
    references: dict[str, dict[str, Value]] = {}
    """Further points to compare with, by name: dotted keys and their values, such as baseline: {method: baseline}."""
    metric: str = "all-single R1"
    """Score of the evaluation that is to be as high as possible."""
    asha: AshaSettings | None = None
    """Stop trials early that lag behind; null trains all to the end."""
    max_trials: int = Field(default=40, ge=1)
    """Trainings that the sweep may have at most; `--budget` confirms more."""
    retries: int = Field(default=1, ge=0)
    """Times that a failed trial is started again, from its newest checkpoint."""
    concurrent: int | None = Field(default=None, ge=1)
    """Trials at once; null takes as many as have room."""


def space_names() -> list[str]:
    """Return the names of the sweeps that come with the package."""
    folder = resources.files("tune") / "spaces"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_space(space: str, over: Tree | None = None) -> SweepSettings:
    """Read a sweep that comes with the package, by name, or a YAML file of one.

    Args:
        space: name or path.
        over: keys laid over what the file says.

    Raises:
        ConfigError: no such name or file, or mistakes in it, one line each.
    """
    if space in space_names():
        tree = yaml.safe_load((resources.files("tune") / "spaces" / f"{space}.yaml").read_text(encoding="utf-8"))
    elif Path(space).suffix in (".yaml", ".yml"):
        try:
            tree = read_tree(space)
        except ConfigError as error:
            raise ConfigError(str(error).replace("--config", "--space")) from None
    else:
        raise ConfigError(
            f"--space {space}: no such sweep; there are {', '.join(space_names())}, or give the path of a YAML file"
        )
    return parse_settings({**tree, **(over or {})}, f"--space {space}")


def parse_settings(tree: Tree, source: str) -> SweepSettings:
    """Turn a tree of plain values into settings; raises ConfigError with every mistake, naming the source."""
    try:
        # Strict, so that text is no number, and JSON, so that lists are tuples.
        return SweepSettings.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(detail, source) for detail in error.errors(include_url=False))) from None


def base_config(
    settings: SweepSettings, preset: str | None = None, file: str | None = None, overrides: tuple[str, ...] = ()
) -> Config:
    """Return the configuration that trials vary: the sweep's own, or another preset, with a file and overrides over it.

    Raises ConfigError, as `aligngan.config.resolve` does.
    """
    # What a sweep lays over its own preset, such as evaluations at its iterations, means nothing over another.
    own = {} if preset else settings.config
    config = resolve_tree(dump(resolve(preset or settings.preset)), "the sweep's config", own)
    return resolve_tree(dump(config), "the sweep's config", read_tree(file) if file else {}, overrides)


def varied(base: Config, values: dict[str, Any]) -> Config:
    """Return a configuration with dotted keys set; raises ConfigError."""
    tree: Tree = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = list(value) if isinstance(value, tuple) else value
    return resolve_tree(dump(base), "the sweep's config", tree)


def _explain(detail: Any, source: str) -> str:
    # Which of the two forms of an axis was tried is of no use to a reader.
    place = ".".join(str(part) for part in detail["loc"] if not str(part).startswith(("tuple", "Range")))
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"no such key; accepted: {', '.join(SweepSettings.model_fields)}"
    return f"{source}: {place}: {message}"
