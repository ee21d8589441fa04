"""Re-ranking by k-reciprocal neighbours (Zhong et al., CVPR 2017): a gallery reordered by whom its rows resemble.

It uses the whole gallery and all other probes, so its scores are of another task than plain retrieval: always label it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aligngan.metrics import unit_rows

K1, K2, WEIGHT = 20, 6, 0.3
RE_RANKING = f"k-reciprocal (k1 {K1}, k2 {K2}, original distance {WEIGHT})"

# Distances, and pairs of neighbours, worked on at once: tens of megabytes.
_BLOCK = 2**22


def re_ranked_distances(
    probes: NDArray[np.float32], gallery: NDArray[np.float32], k1: int = K1, k2: int = K2, weight: float = WEIGHT
) -> NDArray[np.float32]:
    """Return distances [P, G] by k-reciprocal neighbours among probes and gallery together.

    Memory grows with the result and with (P + G) * k1, never with (P + G) squared.

    Args:
        probes, gallery: features [P, D] and [G, D].
        k1: neighbours that have to be each other's.
        k2: neighbours over which the sets of neighbours are averaged.
        weight: share of the original distance, the rest is the Jaccard distance of neighbours.
    """
    rows = unit_rows(np.concatenate([probes, gallery])).astype(np.float32, copy=False)
    nearest = _nearest(rows, max(k1 + 1, k2))
    strict, half = _reciprocal(nearest, k1 + 1), _reciprocal(nearest, round(k1 / 2) + 1)
    members = _expanded(strict, half)
    memberships = _weighted(members, rows)
    if k2 > 1:
        memberships = _pattern(nearest[:, :k2]) @ memberships / min(k2, len(rows))
    count = len(probes)
    original = np.concatenate([distances[:, count:] for _, distances in _normalised_distances(rows, count)])
    shared = _shared(memberships[:count], memberships[count:])
    jaccard = 1 - shared / (2 - shared)
    return ((1 - weight) * jaccard + weight * original).astype(np.float32, copy=False)


def _normalised_distances(
    rows: NDArray[np.float32], stop: int
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float32]]]:
    """Yield blocks of the first rows with their squared distances to all, over the largest of each row."""
    step = max(1, _BLOCK // len(rows))
    for start in range(0, stop, step):
        block = np.arange(start, min(start + step, stop))
        distances = np.maximum(2 - 2 * rows[block] @ rows.T, 0)
        # A row is its own nearest, whatever rounding leaves of its distance to itself.
        distances[np.arange(len(block)), block] = 0
        largest = distances.max(axis=1, keepdims=True)
        yield block, distances / np.where(largest > 0, largest, 1)


def _nearest(rows: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the k nearest of each row, the nearest first, itself among them; ties in order of rows."""
    k = min(k, len(rows))
    found = []
    for _, distances in _normalised_distances(rows, len(rows)):
        # All that are no farther than the k-th, so that ties are cut by order and not by chance.
        limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        distances[distances > limit] = np.inf
        found.append(_first_by_distance(distances, k))
    return np.concatenate(found)


def _first_by_distance(distances: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    row, column = np.nonzero(np.isfinite(distances))
    order = np.lexsort((column, distances[row, column], row))
    starts = np.searchsorted(row, np.arange(len(distances)))
    return column[order][starts[:, None] + np.arange(k)]


def _pattern(neighbours: NDArray[np.int64]) -> sparse.csr_array:
    """Return the matrix [N, N] with a one at (i, each of neighbours[i])."""
    count, k = neighbours.shape
    return sparse.csr_array(
        (np.ones(count * k, np.float32), neighbours.ravel(), np.arange(0, count * k + 1, k)), shape=(count, count)
    )


def _reciprocal(nearest: NDArray[np.int64], k: int) -> sparse.csr_array:
    """Return ones where each of two rows is among the k nearest of the other."""
    forward = _pattern(nearest[:, :k])
    return forward.multiply(forward.T).tocsr()


def _expanded(strict: sparse.csr_array, half: sparse.csr_array) -> sparse.csr_array:
    """Return the sets of neighbours, each with the smaller sets of its members that lie in it for two thirds."""
    common = (strict @ half.T).multiply(strict).tocoo()
    sizes = np.asarray(half.sum(axis=1)).ravel()
    taken = 3 * common.data > 2 * sizes[common.col]
    accepted = sparse.csr_array(
        (np.ones(taken.sum(), np.float32), (common.row[taken], common.col[taken])), shape=strict.shape
    )
    return (strict + accepted @ half).tocsr()


def _weighted(members: sparse.csr_array, rows: NDArray[np.float32]) -> sparse.csr_array:
    """Return memberships [N, N] that fall with distance; each row sums to one."""
    weighted = members.copy()
    for block, distances in _normalised_distances(rows, len(rows)):
        first, last = members.indptr[block[0]], members.indptr[block[-1] + 1]
        counts = np.diff(members.indptr[block[0] : block[-1] + 2])
        values = np.exp(-distances[np.repeat(np.arange(len(block)), counts), members.indices[first:last]])
        sums = np.bincount(np.repeat(np.arange(len(block)), counts), values, minlength=len(block))
        weighted.data[first:last] = values / np.repeat(sums, counts)
    return weighted


def _shared(left: sparse.csr_array, right: sparse.csr_array) -> NDArray[np.float32]:
    """Return the sum over columns of the smaller of two memberships, [P, G]."""
    left, columns = left.tocsr(), right.tocsc()
    sizes = np.diff(columns.indptr)
    work = np.concatenate([[0], np.cumsum(sizes[left.indices])])[left.indptr]
    result = np.zeros((left.shape[0], right.shape[0]), np.float32)
    start = 0
    while start < len(result):
        stop = max(start + 1, int(np.searchsorted(work, work[start] + _BLOCK, side="right")) - 1)
        stop = min(stop, start + max(1, _BLOCK // max(1, result.shape[1])))
        result[start:stop] = _shared_block(left[start:stop], columns, sizes, result.shape[1])
        start = stop
    return result


def _shared_block(
    left: sparse.csr_array, columns: sparse.csc_array, sizes: NDArray[np.integer], width: int
) -> NDArray[np.floating]:
    """One (probe, column) after the other, each with every gallery row that has the column too."""
    lengths = sizes[left.indices]
    total = int(lengths.sum())
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entry = np.repeat(columns.indptr[left.indices], lengths) + within
    probe = np.repeat(np.repeat(np.arange(left.shape[0]), np.diff(left.indptr)), lengths)
    smaller = np.minimum(np.repeat(left.data, lengths), columns.data[entry])
    cells = probe.astype(np.int64) * width + columns.indices[entry]
    sums = np.bincount(cells, smaller, minlength=left.shape[0] * width)
    return sums.reshape(-1, width).astype(np.float32)
