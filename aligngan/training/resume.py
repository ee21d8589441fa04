"""The configuration of a run that is to go on."""

import os
from collections.abc import Sequence

from aligngan.config import Config, ConfigError
from aligngan.config.resolve import resolve_tree
from cluster.folder import RunFolder

CONFIG_FILE = "config.yaml"


def resumed_config(run: str, overrides: Sequence[str]) -> Config:
    """Read a run folder's configuration, lay overrides over it and point it at that folder.

    Args:
        run: path or URI of the run folder.
        overrides: `key=value` changes, such as another number of workers or more iterations.

    Raises:
        ConfigError: the folder holds no run or cannot be reached, or an override is wrong.
    """
    try:
        folder = RunFolder(run)
        if not folder.exists(CONFIG_FILE):
            raise ConfigError(
                f"--resume {run}: no {CONFIG_FILE} in {folder.location}, so this is not the folder of a run"
            )
        text = folder.read_bytes(CONFIG_FILE).decode()
    except OSError as error:
        raise ConfigError(f"--resume {run}: {error}") from None
    here = {"run": {"storage": folder.storage, "name": folder.name, "if_exists": "resume"}}
    return resolve_tree(text, os.path.join(folder.location, CONFIG_FILE), here, overrides)
