"""One Ray on this machine for all tests that need it."""

from collections.abc import Iterator

import pytest

from cluster.config import RunSettings
from cluster.connection import connect


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with connect(RunSettings(workers=2)):
        yield
