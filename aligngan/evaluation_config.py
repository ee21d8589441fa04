"""The configuration of an evaluation: the checkpoint's, but for where the pictures are and how they are scored."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aligngan.config import Config, ConfigError, dump
from aligngan.config.resolve import resolve_tree
from loaders import storage

_SETTABLE = (
    *("data.name", "data.root", "data.trial", "data.test_share", "data.backend", "data.threads", "data.synthetic"),
)
_SECTIONS = ("evaluation", "run")
_LAYOUTS = {"regdb": ("idx",), "sysu-mm01": ("exp",), "folder": ("rgb", "ir")}
_OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_0-9]+)*=")


def is_override(text: str) -> bool:
    """Return whether an argument is `key=value` and not a path."""
    return _OVERRIDE.match(text) is not None


def evaluation_config(trained: Config, overrides: Sequence[str], root: str | None) -> Config:
    """Return the configuration to evaluate with.

    Args:
        trained: the checkpoint's.
        overrides: `key=value` of the sections evaluation and run, and what says where pictures are and who reads them.
        root: folder of the data set; its layout decides the data set's name unless that is among the overrides.

    Raises:
        ConfigError: for another key, a wrong value, or a split whose test persons were trained on.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key.partition(".")[0] not in _SECTIONS and not any(
            key == name or key.startswith(name + ".") for name in _SETTABLE
        ):
            raise ConfigError(
                f"{key}: given by the checkpoint; an evaluation may set evaluation.*, run.*, {', '.join(_SETTABLE)}"
            )
    over: dict[str, Any] = {"data": {}}
    if root is not None:
        place = root if storage.is_remote(root) else str(Path(root).absolute())
        over["data"] = {"root": place, **_recognised(place)}
    config = resolve_tree(dump(trained), "the checkpoint's configuration", over, overrides)
    _refuse_other_split(config, trained)
    data = config.data
    if data.root is None and data.name != "synthetic":
        raise ConfigError(f"data.root: found null, accepted: the folder that holds {data.name}; give it with --data")
    if data.root is not None and data.name != "synthetic" and not _is_folder(data.root):
        raise ConfigError(f"data.root: no folder {data.root}; give the folder that holds {data.name} with --data")
    return config


def _refuse_other_split(config: Config, trained: Config) -> None:
    data, before = config.data, trained.data
    same_set = data.name == before.name and (
        data.name == "regdb" or (data.name == "folder" and data.root == before.root)
    )
    if not same_set:
        return
    for key in ("trial",) if data.name == "regdb" else ("trial", "test_share"):
        if getattr(data, key) != getattr(before, key):
            raise ConfigError(
                f"data.{key}: found {getattr(data, key)}, accepted: {getattr(before, key)} as in the training; test "
                "persons of another split were among its training persons"
            )


def _recognised(root: str) -> dict[str, Any]:
    """Which data set a folder holds, by its layout; nothing where it is none that is known."""
    if not _is_folder(root):
        raise ConfigError(f"--data {root}: no such folder")
    if not storage.is_remote(root) and (about := Path(root, "synthetic.json")).is_file():
        settings = json.loads(about.read_text())
        return {"name": "synthetic", "synthetic": {key: settings[key] for key in ("persons", "pictures", "seed")}}
    for name, folders in _LAYOUTS.items():
        if all(_is_folder(storage.join(root, folder)) for folder in folders):
            return {"name": name}
    return {}


def _is_folder(place: str) -> bool:
    try:
        return storage.is_folder(place)
    except (OSError, ValueError) as error:
        raise ConfigError(f"data.root={place}: it cannot be reached ({error})") from None
