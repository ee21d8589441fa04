"""Cosine similarity of features and the nearest gallery rows."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from aligngan.metrics import to_numpy, unit_rows


def checked_features(features: ArrayLike | torch.Tensor, name: str = "features") -> NDArray[np.float32]:
    """Return features [N, D] as float32 in numpy.

    Raises:
        ValueError: when they are not a matrix, or hold NaN or infinity (naming the first such row).
    """
    matrix = to_numpy(features).astype(np.float32, copy=False)
    if matrix.ndim != 2:
        raise ValueError(f"{name} must be [pictures, dimensions], found shape {list(matrix.shape)}")
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(broken):
        raise ValueError(
            f"{name} hold NaN or infinity in {len(broken)} of {len(matrix)} rows, the first is row {broken[0]}; "
            "the training has probably diverged"
        )
    return matrix


def cosine_distances(probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return minus the cosine similarity [P, G] of features [P, D] and [G, D].

    Multiplied on a GPU where there is one, in float32 throughout: shortened arithmetic would change ranks.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    left, right = (torch.from_numpy(unit_rows(rows)).to(device) for rows in (probes, gallery))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return (-left @ right.T).cpu().numpy()
    finally:
        torch.set_float32_matmul_precision(before)


def nearest(
    probes: ArrayLike | torch.Tensor,
    gallery: ArrayLike | torch.Tensor,
    k: int,
    probe_places: ArrayLike | None = None,
    gallery_places: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k gallery rows most similar to each probe, best first, and their cosine similarities.

    Args:
        probes, gallery: features [P, D] and [G, D].
        k: rows per probe; fewer where the gallery is smaller.
        probe_places, gallery_places: [P] and [G]; rows of the probe's place come last, with similarity -inf.

    Returns:
        rows [P, min(k, G)] and similarities of the same shape.
    """
    distances = cosine_distances(checked_features(probes, "probes"), checked_features(gallery, "gallery"))
    if probe_places is not None and gallery_places is not None:
        same = np.asarray(probe_places)[:, None] == np.asarray(gallery_places)[None]
        distances[same] = np.inf
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return rows, -np.take_along_axis(distances, rows, 1)
