"""Preset, file and `key=value` overrides to one validated configuration."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from aligngan.config.keys import accepted, nearest, section_of, walk
from aligngan.config.schema import Config

Tree = dict[str, Any]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message has one line per mistake and tells how to mend it."""


class _Loader(yaml.SafeLoader):
    """YAML as people write it: `1e-4` is a number here; `1:2`, `yes` and `no` are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - yaml's own name and kind
        first: [
            (tag, pattern) for tag, pattern in known if tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:bool")
        ]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9]\d*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("aligngan") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def resolve(preset: str = "demo", file: str | None = None, overrides: Sequence[str] = ()) -> Config:
    """Build the configuration: a preset, then a YAML file over it, then `key=value` overrides over both.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key, wrong type or value out of range.
    """
    over = {} if file is None else read_tree(file)
    return resolve_tree(_preset_text(preset), f"preset {preset}", over, overrides)


def resolve_tree(text: str, source: str, over: Tree, overrides: Sequence[str] = ()) -> Config:
    """Build the configuration from YAML text, a tree laid over it and `key=value` overrides over both.

    Raises:
        ConfigError: as `resolve`; `source` names the text in the message.
    """
    tree = _merge(_parse(text, source), over)
    for override in overrides:
        tree = _merge(tree, _parse_override(override))
    return validate(tree)


def validate(tree: Tree) -> Config:
    """Turn a tree of plain values into a `Config`; raises ConfigError with every mistake in it."""
    mistakes = list(_unknown_keys(tree, Config))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    try:
        # Strict JSON mode takes lists as tuples but neither text as numbers nor true as 1.
        return Config.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error))) from None


def dump(config: Config) -> str:
    """Return the configuration as YAML that starts the same run again."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_tree(file: str) -> Tree:
    """Read a YAML file of configuration keys; raises ConfigError naming the file and the place of a mistake."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror or error}") from None
    return _parse(text, f"--config {file}")


def _preset_text(name: str) -> str:
    if name not in preset_names():
        raise ConfigError(f"--preset {name}: no such preset; there are {', '.join(preset_names())}")
    return (resources.files("aligngan") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def _parse(text: str, source: str) -> Tree:
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected `key: value` lines, found {type(tree).__name__}")
    return tree


def _parse_override(text: str) -> Tree:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"{text}: expected key=value, such as loss.lambda_id_pix=0.5")
    parsed = _parse(f"value: {value}" if value else "value:", text)["value"]
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return parsed


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _unknown_keys(tree: Mapping[str, Any], model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        field = model.model_fields.get(str(key))
        if field is None:
            close = nearest(f"{prefix}{key}", Config)
            hint = f"did you mean {close}?" if close else f"accepted here: {', '.join(model.model_fields)}"
            yield f"{prefix}{key}: no such key; {hint}"
            continue
        section = section_of(field)
        if section is not None and isinstance(value, Mapping):
            yield from _unknown_keys(value, section, f"{prefix}{key}.")


def _explain(error: ValidationError) -> Iterator[str]:
    fields = dict(walk(Config))
    for detail in error.errors(include_url=False):
        location = [str(part) for part in detail["loc"]]
        key = next((k for n in range(len(location), 0, -1) if (k := ".".join(location[:n])) in fields), None)
        if key is None:
            # A section given as a plain value, or a rule over several keys of one section.
            yield f"{'.'.join(location) or 'configuration'}: {_message(detail)}"
            continue
        field = fields[key]
        line = f"{key}: found {detail['input']!r}, accepted: {accepted(field)}"
        if detail["type"] == "value_error":
            line += f"; {_message(detail)}"
        yield line


def _message(detail: Any) -> str:
    return detail["msg"].removeprefix("Value error, ")
