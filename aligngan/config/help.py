"""Every configuration key as a table for people."""

from typing import Any

from aligngan.config.keys import accepted, walk
from aligngan.config.resolve import resolve
from aligngan.config.schema import Config


def keys_table(preset: str) -> str:
    """Return one paragraph per key: its value in a preset, what it accepts and what it is for."""
    values = resolve(preset).model_dump(mode="json")
    paragraphs = []
    for key, field in walk(Config):
        paragraphs.append(f"{key} = {_value(values, key)}\n    {accepted(field)}\n    {field.description}")
    return f"values are those of preset {preset}\n\n" + "\n".join(paragraphs)


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        if values is None:
            return "(section is null)"
        values = values[part]
    return "null" if values is None else values
