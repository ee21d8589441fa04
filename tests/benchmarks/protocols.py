"""Seconds of SYSU-MM01's whole evaluation at its real size: `python tests/benchmarks/protocols.py`.

96 persons, 3840 probes (SYSU-MM01: 3803), galleries of 301, 3010, 112 and 1120 rows out of 6622 RGB images (6775),
2048-d features; ten trials of all four searches from one similarity matrix.
"""

import argparse
import resource
import time

import numpy as np

from aligngan.protocols.sysu_mm01 import Mode, Shots, evaluate_searches

SEARCHES: list[tuple[Mode, Shots]] = [
    ("all", "single"),
    ("all", "multi"),
    ("indoor", "single"),
    ("indoor", "multi"),
]
# Of each camera the first and last person that it saw, and its images of each of them.
SEEN = {1: (1, 56), 2: (41, 96), 3: (1, 96), 4: (1, 95), 5: (3, 96), 6: (1, 96)}
IMAGES = {1: 22, 2: 22, 3: 20, 4: 22, 5: 22, 6: 20}


def real_size(dimensions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[list[np.ndarray]]]:
    """Return features, ids, cameras, numbers and permutations as many as SYSU-MM01's, drawn at random."""
    generator = np.random.default_rng(0)
    table = [
        (person, camera, number)
        for camera, (first, last) in SEEN.items()
        for person in range(first, last + 1)
        for number in range(1, IMAGES[camera] + 1)
    ]
    ids, cameras, numbers = np.array(table).T
    permutations = [
        [
            np.array([generator.permutation(IMAGES[camera] if first <= person <= last else 0) + 1 for _ in range(10)])
            for person in range(1, 97)
        ]
        for camera, (first, last) in SEEN.items()
    ]
    features = generator.standard_normal((len(ids), dimensions), dtype=np.float32)
    return features, ids, cameras, numbers, permutations


def main() -> None:
    """Time the evaluation and print seconds, of the clock and of processors, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    features, ids, cameras, numbers, permutations = real_size(arguments.dimensions)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(arguments.repeats):
        start, worked = time.perf_counter(), time.process_time()
        results = evaluate_searches(features, ids, cameras, numbers, permutations, SEARCHES)
        seconds, busy = time.perf_counter() - start, time.process_time() - worked
        sizes = [scores.gallery_rows for scores in results.values()]
        probes = results["all", "single"].probes
        print(f"{probes} probes, galleries {sizes}, 10 trials each: {seconds:.2f} s, {busy:.2f} s of processor")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory above the {features.nbytes >> 20} MiB of features and their owner: {grown >> 10} MiB")


if __name__ == "__main__":
    main()
