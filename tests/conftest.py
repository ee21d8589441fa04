"""What several rooms' tests share."""

from pathlib import Path

import pytest

from loaders.config import SyntheticSettings
from loaders.synthetic import make


@pytest.fixture(scope="session")
def small_synthetic(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a synthetic set of a few persons."""
    root: Path = tmp_path_factory.mktemp("synthetic") / "set"
    make(str(root), SyntheticSettings(persons=16, pictures=2, seed=1))
    return str(root)
