"""What a protocol takes and returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aligngan.metrics import RetrievalScores

ReRank = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Distances [P, G] of probes [P, D] to a gallery [G, D], each pair's depending on all the others."""


@dataclass(frozen=True, eq=False)
class ProtocolScores:
    """Scores of T trials, as shares of 1.

    cmc float64 [T, ranks] (`cmc[t, k-1]` is Rank-k), mean_ap and mean_inp float64 [T]; `probes` that count (they have
    a match), `probes_in_all`, `gallery_rows` of one trial, and `chance_rank1`, the Rank-1 of a random ranking.
    """

    cmc: NDArray[np.float64]
    mean_ap: NDArray[np.float64]
    mean_inp: NDArray[np.float64]
    probes: int
    probes_in_all: int
    gallery_rows: int
    chance_rank1: float

    @property
    def trials(self) -> int:
        """Number of trials T."""
        return len(self.mean_ap)

    def rank(self, k: int) -> NDArray[np.float64]:
        """Return Rank-k of every trial [T]; beyond the last rank it is that of the last, with any number of persons."""
        return self.cmc[:, min(k, self.cmc.shape[1]) - 1]


def over_trials(
    trials: list[RetrievalScores], probes_in_all: int, gallery_rows: int, chance_rank1: float
) -> ProtocolScores:
    """Put the scores of trials with galleries of the same persons together."""
    return ProtocolScores(
        cmc=np.stack([scores.cmc for scores in trials]),
        mean_ap=np.array([scores.mean_ap for scores in trials]),
        mean_inp=np.array([scores.mean_inp for scores in trials]),
        probes=trials[0].probes,
        probes_in_all=probes_in_all,
        gallery_rows=gallery_rows,
        chance_rank1=chance_rank1,
    )
