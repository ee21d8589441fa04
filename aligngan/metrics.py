"""Scores of ranked retrieval: CMC, mean AP and mean INP, the level of chance, and ICCS."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

CmcBy = Literal["person", "image"]

# Distances looked at together: a few megabytes, so that a block stays in the processor's cache.
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Scores over the counted probes, as shares of 1.

    `cmc[k-1]` is the share of probes whose person is among the first k; it has one entry for each person of the
    gallery (or for each gallery row when counted by image). `probes` is the number of probes that have a match.
    """

    cmc: NDArray[np.float64]
    mean_ap: float
    mean_inp: float
    probes: int


def retrieval_scores(
    distances: ArrayLike | torch.Tensor,
    probe_ids: ArrayLike | torch.Tensor,
    gallery_ids: ArrayLike | torch.Tensor,
    probe_places: ArrayLike | torch.Tensor | None = None,
    gallery_places: ArrayLike | torch.Tensor | None = None,
    cmc_by: CmcBy = "person",
) -> RetrievalScores:
    """Score the ranking of a gallery for every probe, as SYSU-MM01's official code does.

    A gallery row whose place is the probe's is dropped for that probe. Ties keep gallery order. AP is the mean over
    matches k of k / rank_k; INP is the number of matches / the rank of the last one. Probes left without a match are
    not counted.

    Args:
        distances: [P, G], smaller is better; numpy or torch, on any device.
        probe_ids, gallery_ids: integers [P] and [G], persons.
        probe_places, gallery_places: integers [P] and [G]; without them nothing is dropped.
        cmc_by: `person` ranks distinct persons by first appearance (SYSU-MM01), `image` ranks gallery rows (RegDB).

    Raises:
        ValueError: for shapes that do not fit, NaN distances, or when no probe has a match.
    """
    matrix = to_numpy(distances)
    if matrix.ndim != 2:
        raise ValueError(f"distances must be [probes, gallery rows], found shape {list(matrix.shape)}")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float32 if matrix.dtype == np.float16 else np.float64)
    if np.isnan(matrix).any():
        raise ValueError("distances hold NaN, which has no rank")
    if (probe_places is None) != (gallery_places is None):
        raise ValueError("give the places of both probes and gallery, or of neither")
    probe_persons = _labels(probe_ids, "probe_ids", matrix.shape[0])
    gallery_persons = _labels(gallery_ids, "gallery_ids", matrix.shape[1])
    places = None
    if probe_places is not None and gallery_places is not None:
        places = (
            _labels(probe_places, "probe_places", matrix.shape[0]),
            _labels(gallery_places, "gallery_places", matrix.shape[1]),
        )
    return score_columns(matrix, np.arange(matrix.shape[1]), probe_persons, gallery_persons, places, cmc_by)


def score_columns(
    distances: NDArray[np.floating],
    columns: NDArray[np.integer],
    probe_ids: NDArray[np.integer],
    gallery_ids: NDArray[np.integer],
    places: tuple[NDArray[np.integer], NDArray[np.integer]] | None,
    cmc_by: CmcBy = "person",
) -> RetrievalScores:
    """Score a gallery that is a selection from the columns of distances, which are not copied as a whole.

    Args:
        distances: float [P, M] without NaN.
        columns: [G], the column of each gallery row, in gallery order.
        probe_ids, gallery_ids: [P] and [G].
        places: of probes [P] and gallery rows [G], or None.
        cmc_by: see `retrieval_scores`.

    Raises:
        ValueError: when no probe has a match.
    """
    first_ranks, precisions, penalties = [], [], []
    for probes, rows in _same_place(len(probe_ids), len(gallery_ids), places):
        groups = _Groups(gallery_ids[rows])
        group = groups.of(probe_ids[probes])
        probes, group = probes[group >= 0], group[group >= 0]
        chosen = columns[rows[groups.order]]
        step = max(1, _BLOCK // max(1, len(chosen)))
        for start in range(0, len(probes), step):
            block = slice(start, start + step)
            matches = _match(distances[probes[block]].take(chosen, axis=1), groups, group[block])
            first_ranks.append(matches.person_rank if cmc_by == "person" else matches.ranks[:, 0])
            precisions.append(matches.average_precision())
            penalties.append(matches.inverse_negative_penalty())
    counted = sum(map(len, first_ranks))
    if counted == 0:
        raise ValueError(
            f"none of the {len(probe_ids)} probes has a match among the {len(gallery_ids)} gallery rows; "
            "at least one person must be in both, in different places"
        )
    length = len(np.unique(gallery_ids)) if cmc_by == "person" else len(gallery_ids)
    found = np.bincount(np.concatenate(first_ranks) - 1, minlength=length)
    return RetrievalScores(
        cmc=np.cumsum(found) / counted,
        mean_ap=float(np.concatenate(precisions).mean()),
        mean_inp=float(np.concatenate(penalties).mean()),
        probes=counted,
    )


def chance_rank1(
    probe_ids: ArrayLike,
    gallery_ids: ArrayLike,
    probe_places: ArrayLike | None = None,
    gallery_places: ArrayLike | None = None,
) -> float:
    """Return the expected Rank-1 of a random ranking, a share of 1.

    It is the mean over counted probes of the share of the right person among the gallery rows that are not dropped.

    Raises:
        ValueError: when no probe has a match.
    """
    probes, gallery = np.asarray(probe_ids), np.asarray(gallery_ids)
    places = None
    if probe_places is not None and gallery_places is not None:
        places = (np.asarray(probe_places), np.asarray(gallery_places))
    shares = []
    for members, rows in _same_place(len(probes), len(gallery), places):
        groups = _Groups(gallery[rows])
        group = groups.of(probes[members])
        shares.append(groups.counts[group[group >= 0]] / len(rows))
    every = np.concatenate(shares) if shares else np.zeros(0)
    if not len(every):
        raise ValueError("no probe has a match, so there is no chance level")
    return float(every.mean())


def intra_class_similarity(
    query: NDArray[np.floating],
    query_ids: NDArray[np.integer],
    gallery: NDArray[np.floating] | None = None,
    gallery_ids: NDArray[np.integer] | None = None,
) -> float | None:
    """Return the mean intra-class cosine similarity (ICCS, Table 1), or None where no person has a pair.

    The mean over persons of the mean over that person's query-gallery pairs. Without a gallery the queries are their
    own, and a picture is not paired with itself.

    Args:
        query, gallery: features [Q, D] and [G, D].
        query_ids, gallery_ids: [Q] and [G].
    """
    left = unit_rows(query.astype(np.float64))
    right = None if gallery is None else unit_rows(gallery.astype(np.float64))
    means = []
    for person in np.unique(query_ids):
        ours = left[query_ids == person]
        if right is None or gallery_ids is None:
            total, pairs = np.square(ours.sum(0)).sum() - np.square(ours).sum(), len(ours) * (len(ours) - 1)
        else:
            theirs = right[gallery_ids == person]
            total, pairs = ours.sum(0) @ theirs.sum(0), len(ours) * len(theirs)
        if pairs:
            means.append(total / pairs)
    return float(np.mean(means)) if means else None


def unit_rows(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return features [N, D] with rows of length one; a row of zeros stays zero."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def to_numpy(values: ArrayLike | torch.Tensor) -> NDArray:
    """Return values as a numpy array; tensors are copied from their device, and bfloat16 becomes float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


class _Groups:
    """Gallery rows put together by person: `order` lists them so, `starts` and `counts` [S] cut it."""

    def __init__(self, ids: NDArray[np.integer]) -> None:
        self.persons, inverse, self.counts = np.unique(ids, return_inverse=True, return_counts=True)
        self.order = np.argsort(inverse, kind="stable")
        self.starts = np.cumsum(self.counts) - self.counts

    def of(self, ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the group of each person [P], -1 where the gallery does not hold the person."""
        if not len(self.persons):
            return np.full(len(ids), -1)
        group = np.searchsorted(self.persons, ids).clip(max=len(self.persons) - 1)
        return np.where(self.persons[group] == ids, group, -1)


@dataclass(frozen=True, eq=False)
class _Matches:
    """Ranks [P, H] from 1 of each probe's matches, ascending; only the first `counts` [P] of a row are real."""

    ranks: NDArray[np.int64]
    counts: NDArray[np.int64]
    person_rank: NDArray[np.int64]

    def average_precision(self) -> NDArray[np.float64]:
        hit = np.arange(1, self.ranks.shape[1] + 1)
        return np.where(hit <= self.counts[:, None], hit / self.ranks, 0.0).sum(1) / self.counts

    def inverse_negative_penalty(self) -> NDArray[np.float64]:
        return self.counts / np.take_along_axis(self.ranks, self.counts[:, None] - 1, 1)[:, 0]


def _match(distances: NDArray[np.floating], groups: _Groups, group: NDArray[np.integer]) -> _Matches:
    """Find the ranks of the matches of probes in group [P] from distances [P, G], columns as in `groups.order`."""
    counts = groups.counts[group]
    hit = np.arange(counts.max())
    real = hit < counts[:, None]
    column = groups.starts[group][:, None] + np.minimum(hit, counts[:, None] - 1)
    hits = np.sort(np.where(real, np.take_along_axis(distances, column, 1), np.inf), axis=1).astype(distances.dtype)
    # Sorting the values alone is several times as fast as sorting with indices, and only the matches' ranks are asked.
    ordered, wanted = torch.from_numpy(np.sort(distances, axis=1)), torch.from_numpy(hits)
    below = torch.searchsorted(ordered, wanted).numpy()
    through = torch.searchsorted(ordered, wanted, right=True).numpy()
    tied = ((through - below > 1) & real).any(1)
    if tied.any():
        distances = distances.copy()
        distances[tied] = _stable_ranks(distances[tied], groups.order)
        return _match(distances, groups, group)
    nearest = np.minimum.reduceat(distances, groups.starts, axis=1)
    return _Matches(below + 1, counts, (nearest < hits[:, :1]).sum(1) + 1)


def _stable_ranks(distances: NDArray[np.floating], order: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return ranks [P, G], all different, of distances whose columns are in `order`; ties keep gallery order."""
    in_gallery_order = np.empty_like(distances)
    in_gallery_order[:, order] = distances
    by_rank = np.argsort(in_gallery_order, axis=1, kind="stable")
    ranks = np.empty_like(by_rank)
    np.put_along_axis(ranks, by_rank, np.arange(by_rank.shape[1])[None], axis=1)
    return ranks[:, order]


def _same_place(
    probes: int, rows: int, places: tuple[NDArray[np.integer], NDArray[np.integer]] | None
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield the probes of each place with the gallery rows that are not dropped for them."""
    if places is None:
        yield np.arange(probes), np.arange(rows)
        return
    for place in np.unique(places[0]):
        yield np.flatnonzero(places[0] == place), np.flatnonzero(places[1] != place)


def _labels(values: ArrayLike | torch.Tensor, name: str, length: int) -> NDArray[np.integer]:
    labels = to_numpy(values)
    if labels.shape != (length,):
        raise ValueError(f"{name} must have shape [{length}] to fit distances, found {list(labels.shape)}")
    return labels
