"""What a sweep that was begun goes on with: its own settings, from its folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aligngan.config import Config, ConfigError, dump
from aligngan.config.resolve import resolve_tree
from cluster.folder import run_folder
from tune.folder import SWEEP_FILE, SweepFolder
from tune.settings import SweepSettings

FREE = ("about", "preset", "config", "concurrent", "max_trials", "retries")
"""Settings that a sweep may go on with in another form: they change no trial, or are part of the configuration."""


def resumed(location: str, overrides: Sequence[str]) -> tuple[SweepFolder, SweepSettings, Config]:
    """Return a sweep that was begun, with its settings and configuration, for `--resume`.

    Args:
        location: its folder.
        overrides: `run.*` keys, which may be set anew.

    Raises:
        ConfigError: the folder is not that of a sweep, or another key is to be set.
    """
    if wrong := [text for text in overrides if not text.startswith("run.")]:
        raise ConfigError(f"--resume keeps trials comparable: only run.* can be set anew, found {', '.join(wrong)}")
    sweep = SweepFolder.of(location)
    settings, base = sweep.read()
    return sweep, settings, resolve_tree(dump(base), "the sweep's config", {}, overrides)


def begun(settings: SweepSettings, base: Config) -> SweepFolder | None:
    """Return the sweep that `run.if_exists=resume` is to go on with, or None where there is none yet.

    Raises:
        ConfigError: without `run.name`, or where the folder of that name holds another sweep, something else, or
            anything at all while `run.if_exists` is "refuse".
    """
    if base.run.name is None:
        raise ConfigError(
            "run.if_exists=resume: found run.name null, which names every sweep after the time of its start; "
            "accepted: the name that the same command is to find again, such as run.name=figure4"
        )
    folder = run_folder(base.run, "sweep")
    if not folder.list():
        return None
    if base.run.if_exists == "refuse":
        raise ConfigError(
            f"{folder.location} holds something already: go on with it (--resume {folder.location}, or "
            "run.if_exists=resume), or give the new sweep another run.name"
        )
    if not folder.exists(SWEEP_FILE):
        raise ConfigError(f"run.name: {folder.location} holds something that is not a sweep; give another name")
    sweep = SweepFolder.of(folder.location)
    from aligngan.training.launch import located

    if mistakes := list(_differences(*sweep.read(), settings, located(base, folder))):
        raise ConfigError(
            f"{folder.location} holds another sweep; go on with it by --resume, or give this one another run.name:\n"
            + "\n".join(mistakes)
        )
    return sweep


def _differences(settings: SweepSettings, base: Config, new_settings: SweepSettings, new_base: Config) -> Iterator[str]:
    left_out = set(FREE)
    before = settings.model_dump(mode="json", exclude=left_out)
    after = new_settings.model_dump(mode="json", exclude=left_out)
    yield from _changed(before, after)
    yield from _changed(
        _flat(base.model_dump(mode="json", exclude={"run"})), _flat(new_base.model_dump(mode="json", exclude={"run"}))
    )


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield f"{key}: found {after.get(key)}, the sweep that was begun has {before.get(key)}"


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
