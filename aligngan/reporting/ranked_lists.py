"""The queries that a method finds best and worst, with what it finds for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aligngan.protocols.sysu_mm01 import sysu_places
from aligngan.reporting.drawing import FAINT, RIGHT, WRONG, Picture, drawing_style, finished
from aligngan.reporting.exhibits import Choice, Exhibit
from aligngan.reporting.tiles import Tile, draw_tiles
from aligngan.similarity import nearest

QUERIES, RANKS = 5, 8


@dataclass(frozen=True, eq=False)
class Ranking:
    """The gallery in the order of each query that has a match.

    queries [Q] are positions in `choice.queries`; order [Q, G] positions in `choice.gallery`, best first;
    similarities [Q, G], -inf where the query's own place was dropped; precision [Q] is the average precision.
    """

    queries: NDArray[np.int64]
    order: NDArray[np.int64]
    similarities: NDArray[np.float32]
    hits: NDArray[np.bool_]
    precision: NDArray[np.float64]


def rank_gallery(choice: Choice, query_features: NDArray[np.float32], gallery_features: NDArray[np.float32]) -> Ranking:
    """Rank the gallery for every query by cosine similarity, as the protocol does.

    Args:
        choice: its queries [Q] and gallery [G]; queries without a match are left out of the ranking.
        query_features, gallery_features: [Q, D] and [G, D].
    """
    query_persons, gallery_persons = (
        np.array([picture.person for picture in pictures]) for pictures in (choice.queries, choice.gallery)
    )
    order, similarities = nearest(query_features, gallery_features, len(choice.gallery), *_places(choice))
    hits = (gallery_persons[order] == query_persons[:, None]) & np.isfinite(similarities)
    found = np.cumsum(hits, axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    matches = found[:, -1]
    precision = np.where(hits, found / ranks, 0.0).sum(axis=1) / np.maximum(matches, 1)
    counted = np.flatnonzero(matches)
    return Ranking(counted, order[counted], similarities[counted], hits[counted], precision[counted])


def best_and_worst(ranking: Ranking, choice: Choice) -> tuple[list[int], list[int]]:
    """Return the rows of the queries with the highest and the lowest average precision, one of each person.

    Among equals counts how much more similar the nearest right picture is than the nearest wrong one.
    """
    right = np.where(ranking.hits, ranking.similarities, -np.inf).max(axis=1)
    wrong = np.where(ranking.hits, -np.inf, ranking.similarities).max(axis=1)
    margin = np.where(np.isfinite(wrong), right - wrong, np.inf)
    # By precision, then by margin; equal rows stay in the order of the queries.
    worst = np.lexsort((margin, ranking.precision))
    best = np.lexsort((-margin, -ranking.precision))
    persons = [choice.queries[row].person for row in ranking.queries]
    return _one_each(best, persons), _one_each(worst, persons)


def ranked_pictures(name: str, exhibit: Exhibit) -> tuple[Picture, Picture]:
    """Return the ranked lists of the best and of the worst queries."""
    choice = exhibit.choice
    ranking = rank_gallery(choice, exhibit.features_of(choice.queries), exhibit.features_of(choice.gallery))
    best, worst = best_and_worst(ranking, choice)
    return _drawn(f"{name}-best", "best", exhibit, ranking, best), _drawn(
        f"{name}-worst", "worst", exhibit, ranking, worst
    )


def _drawn(name: str, which: str, exhibit: Exhibit, ranking: Ranking, rows: list[int]) -> Picture:
    choice, ranks = exhibit.choice, min(RANKS, ranking.order.shape[1])
    queries = [choice.queries[ranking.queries[row]] for row in rows]
    found = [[choice.gallery[place] for place in ranking.order[row, :ranks]] for row in rows]
    photographs = iter(exhibit.photographs([*queries, *(picture for line in found for picture in line)]))
    lines = []
    for query, row in zip(queries, rows, strict=True):
        first_right = int(np.argmax(ranking.hits[row])) + 1
        words = f"person {query.person}", f"AP {100 * ranking.precision[row]:.1f} %", f"right at {first_right}"
        lines.append([Tile(next(photographs), words, FAINT)])
    for line, row, pictures in zip(lines, rows, found, strict=True):
        for place, picture in enumerate(pictures):
            hit, similarity = bool(ranking.hits[row, place]), ranking.similarities[row, place]
            if not np.isfinite(similarity):
                next(photographs)
                continue
            said = f"{'right' if hit else 'wrong'}: {picture.person}", f"cosine {similarity:.3f}"
            line.append(Tile(next(photographs), said, RIGHT if hit else WRONG))
    heads = ["query", *(f"rank {place}" for place in range(1, ranks + 1))]
    with drawing_style():
        figure = draw_tiles(lines, (), heads, exhibit.proportion, apart=1)
        persons = ", ".join(str(query.person) for query in queries)
        return finished(
            figure,
            name,
            f"{exhibit.variant.label}: the {len(queries)} queries found {which}",
            f"Infrared queries of persons {persons} and the {ranks} visible pictures most similar to each, marked "
            "right or wrong.",
            f"{exhibit.run.name}; {choice.search}. Queries by average precision (AP), one of each person; right "
            "at: the first rank that is right. Green and right: the same person; red and wrong: another one, with the "
            "person's number.",
        )


def _one_each(rows: NDArray[np.int64], persons: list[int]) -> list[int]:
    """The first rows that are of different persons."""
    chosen: dict[int, int] = {}
    for row in rows:
        chosen.setdefault(persons[row], int(row))
    return list(chosen.values())[:QUERIES]


def _places(choice: Choice) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    if choice.dataset.protocol != "sysu-mm01":
        return None, None
    cameras = ([picture.camera for picture in pictures] for pictures in (choice.queries, choice.gallery))
    queries, gallery = (sysu_places(np.array(each)) for each in cameras)
    return queries, gallery
