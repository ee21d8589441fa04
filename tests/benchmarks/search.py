"""Seconds to search an index of 100,000 pictures: `python tests/benchmarks/search.py`.

2048-d features at random, ten queries one by one and then together, the best ten each; the index is written to disk
and opened again, as the command does. The first query reads the features from the disk's cache.
"""

import argparse
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from aligngan.features import FEATURE
from aligngan.index import GalleryIndex, load_index
from aligngan.metrics import unit_rows
from aligngan.model import Model

DIGEST = "0" * 64


def main() -> None:
    """Time saving, opening and searching."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    features = generator.standard_normal((arguments.pictures, arguments.dimensions), dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    names = [f"cam1/{row // 20:04d}/{row % 20:04d}.jpg" for row in range(len(features))]
    index = GalleryIndex(
        features=features,
        root="/pictures",
        names=names,
        modalities=["rgb"] * len(names),
        persons=[None] * len(names),
        method="aligngan",
        digest=DIGEST,
        feature=FEATURE,
        skipped=0,
    )
    queries = unit_rows(features[:10] + 0.01 * generator.standard_normal((10, arguments.dimensions))).astype(np.float32)
    model = cast(Model, SimpleNamespace(digest=DIGEST, method_name="aligngan", checkpoint="none"))
    with tempfile.TemporaryDirectory() as directory:
        place = str(Path(directory, "index"))
        _timed("save", index.save, place)
        opened = _timed("open", load_index, place, model)
        for number in range(len(queries)):
            rows, _ = _timed(f"query {number + 1}", opened.search, queries[number : number + 1], 10)
            assert rows[0, 0] == number
        _timed(f"{len(queries)} queries together", opened.search, queries, 10)


def _timed(what: str, function: Any, *arguments: Any) -> Any:
    start = time.perf_counter()
    result = function(*arguments)
    print(f"{what}: {time.perf_counter() - start:.3f} s")
    return result


if __name__ == "__main__":
    main()
