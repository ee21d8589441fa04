"""What several rooms' tests share."""

from pathlib import Path

import pytest

from loaders.config import SyntheticSettings
from loaders.synthetic import make


@pytest.fixture(scope="session")
def small_synthetic(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that name a synthetic set of a few persons, made once."""
    root: Path = tmp_path_factory.mktemp("synthetic") / "set"
    settings = SyntheticSettings(persons=16, pictures=2, seed=1)
    make(str(root), settings)
    return [f"data.root={root}", *(f"data.synthetic.{key}={value}" for key, value in settings.model_dump().items())]
