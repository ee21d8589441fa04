"""Typed configuration: sections owned by their rooms, presets, and checks before anything starts."""

from aligngan.config.resolve import ConfigError, dump, preset_names, resolve, validate
from aligngan.config.schema import Config

__all__ = ["Config", "ConfigError", "dump", "preset_names", "resolve", "validate"]
