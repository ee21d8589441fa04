"""The tree of configuration keys: what each accepts, and which known key an unknown one resembles."""

import difflib
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_CONSTRAINTS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the settings class behind a field that is a section (also an optional one), or None for a value."""
    candidates = [field.annotation, *typing.get_args(field.annotation)]
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield (dotted key, field) of every value in a settings class, depth first."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield prefix + name, field
        else:
            yield from walk(section, f"{prefix}{name}.")


def accepted(field: FieldInfo) -> str:
    """Say in words which values a field accepts, e.g. `an integer, at least 2`."""
    bounds = []
    for constraint in field.metadata:
        for attribute, words in _CONSTRAINTS.items():
            if (bound := getattr(constraint, attribute, None)) is not None:
                bounds.append(words.format(bound))
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {_kind(arguments[0])}"
        return f"a list of {len(arguments)}, each {_kind(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section with the keys " + ", ".join(annotation.model_fields)
    return _NAMES.get(typing.cast(type, annotation), str(annotation))


def nearest(key: str, model: type[BaseModel]) -> str | None:
    """Return the known dotted key most like an unknown one, or None where nothing is close."""
    known = [name for name, _ in walk(model)]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return close[0]
    last = key.rpartition(".")[2]
    by_last = {name.rpartition(".")[2]: name for name in known}
    close = difflib.get_close_matches(last, by_last, n=1, cutoff=0.7)
    return by_last[close[0]] if close else None
