"""A gallery's features, searched by cosine similarity, kept on disk and bound to the checkpoint that made them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aligngan.features import FEATURE, FLIP_FEATURE
from aligngan.model import Model
from aligngan.picture_files import Found, display_name
from loaders.dataset import Modality

FORMAT = 1
ABOUT = "index.json"
# Similarities computed together: 64 MiB.
_BLOCK = 2**24


class UnusableIndex(ValueError):
    """An index that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class GalleryIndex:
    """Pictures of a gallery and their features.

    features float32 [N, D] with rows of length one; of each row its file's name below `root`, its modality and its
    person, or None. `digest` is the checkpoint's, `feature` how a feature was made, `skipped` how many pictures were
    broken.
    """

    features: NDArray[np.float32]
    root: str
    names: Sequence[str]
    modalities: Sequence[Modality]
    persons: Sequence[str | None]
    method: str
    digest: str
    feature: str
    skipped: int

    def __len__(self) -> int:
        return len(self.names)

    def path(self, row: int) -> str:
        """Return the path of a row's picture."""
        return os.path.join(self.root, self.names[row])

    def row_of(self, path: str) -> int | None:
        """Return the row of a picture file, or None where it is not in the gallery."""
        try:
            return self.names.index(display_name(os.path.realpath(path), os.path.realpath(self.root)))
        except ValueError:
            return None

    def only(self, modality: Modality) -> "GalleryIndex":
        """Return the index of the pictures of one modality."""
        rows = [row for row, other in enumerate(self.modalities) if other == modality]
        if len(rows) == len(self):
            return self
        return replace(
            self,
            features=self.features[rows],
            names=[self.names[row] for row in rows],
            modalities=[modality] * len(rows),
            persons=[self.persons[row] for row in rows],
        )

    def search(
        self, queries: NDArray[np.float32], top: int, left_out: Sequence[Sequence[int]] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the rows most similar to each query, best first and equal ones in order, and their similarities.

        Args:
            queries: features [Q, D], rows of length one.
            top: rows per query; fewer where the gallery has fewer.
            left_out: of each query the rows that it is not compared with; as many fewer are returned for all.

        Returns:
            rows [Q, k] and cosine similarities [Q, k].
        """
        fewest = len(self) - max((len(rows) for rows in left_out or ()), default=0)
        k = min(top, fewest)
        rows = np.empty((len(queries), max(k, 0)), np.int64)
        values = np.empty(rows.shape, np.float32)
        step = max(1, _BLOCK // max(1, len(self)))
        for start in range(0, len(queries) if k > 0 else 0, step):
            for number, similarities in enumerate(queries[start : start + step] @ self.features.T, start):
                if left_out is not None:
                    similarities[list(left_out[number])] = -np.inf
                least = np.partition(similarities, len(self) - k)[len(self) - k]
                candidates = np.flatnonzero(similarities >= least)
                rows[number] = candidates[np.argsort(-similarities[candidates], kind="stable")[:k]]
                values[number] = similarities[rows[number]]
        return rows, values

    def save(self, folder: str) -> None:
        """Write the index to a folder, made where it is missing; readers see the old index or the new.

        Raises:
            UnusableIndex: where the folder holds something else.
        """
        place = Path(folder)
        if place.exists() and (not place.is_dir() or (any(place.iterdir()) and not (place / ABOUT).is_file())):
            raise UnusableIndex(f"{folder} holds something that is not an index: give a new or an empty folder")
        place.mkdir(parents=True, exist_ok=True)
        content = np.ascontiguousarray(self.features, dtype=np.float32)
        name = f"features-{hashlib.sha256(content.data).hexdigest()[:16]}.npy"
        with _new_file(place / name) as file:
            np.save(file, content, allow_pickle=False)
        about = {
            "kind": "gallery index",
            "format": FORMAT,
            "checkpoint_digest": self.digest,
            "method": self.method,
            "feature": self.feature,
            "features": name,
            "shape": list(content.shape),
            "root": os.path.abspath(self.root),
            "skipped": self.skipped,
            "names": list(self.names),
            "modalities": list(self.modalities),
            "persons": list(self.persons),
        }
        # Last: it names the features that belong to it.
        with _new_file(place / ABOUT) as file:
            file.write(json.dumps(about, indent=0).encode())
        for old in place.glob("features-*.npy"):
            if old.name != name:
                old.unlink(missing_ok=True)


def is_index(folder: str) -> bool:
    """Return whether a folder holds an index."""
    return os.path.isfile(os.path.join(folder, ABOUT))


def load_index(folder: str, model: Model, flip: bool = False) -> GalleryIndex:
    """Open an index for a model; its features stay on disk and are read as they are needed.

    Raises:
        UnusableIndex: it is damaged, of a newer version, or of another checkpoint or feature.
    """
    about = _about(folder)
    again = "make it again from the gallery's folder with --save-index"
    if about["checkpoint_digest"] != model.digest:
        raise UnusableIndex(
            f"{folder} was made with another checkpoint: digest {about['checkpoint_digest'][:12]} of method "
            f"{about['method']}, found {model.digest[:12]} of {model.method_name} in {model.checkpoint}; {again}"
        )
    feature = FLIP_FEATURE if flip else FEATURE
    if about["feature"] != feature:
        raise UnusableIndex(
            f"{folder} holds features {about['feature']}, asked for {feature}; {again}, or change --flip"
        )
    try:
        features = np.load(Path(folder, about["features"]), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UnusableIndex(f"{folder}: its features cannot be read ({error}); {again}") from None
    rows = (len(about["names"]), len(about["modalities"]), len(about["persons"]))
    if features.dtype != np.float32 or list(features.shape) != about["shape"] or set(rows) != {len(features)}:
        raise UnusableIndex(f"{folder} is damaged: its features do not fit its names; {again}")
    return GalleryIndex(
        features=features,
        digest=about["checkpoint_digest"],
        **{key: about[key] for key in ("root", "names", "modalities", "persons", "method", "feature", "skipped")},
    )


def make_index(
    model: Model,
    root: str,
    pictures: Sequence[Found],
    flip: bool = False,
    batch_size: int | None = None,
    skipped: int = 0,
    on_broken: Callable[[str, str], None] | None = None,
    on_pictures: Callable[[int], None] | None = None,
) -> GalleryIndex:
    """Compute the features of a gallery's pictures; arguments as `Model.embed`.

    Args:
        root: folder that the pictures lie below.
        skipped: broken pictures that were left out before.
    """
    features: NDArray[np.float32] | None = None
    modalities: tuple[Modality, ...] = ("rgb", "ir")
    for modality in modalities:
        rows = [row for row, picture in enumerate(pictures) if picture.modality == modality]
        if rows:
            paths = [pictures[row].path for row in rows]
            part = model.embed(paths, modality, batch_size, flip, on_broken, on_pictures)
            if features is None:
                features = np.empty((len(pictures), part.shape[1]), np.float32)
            features[rows] = part
    if features is None:
        features = np.empty((0, 0), np.float32)
    whole = np.flatnonzero(np.isfinite(features).all(axis=1))
    kept = [pictures[row] for row in whole.tolist()]
    return GalleryIndex(
        features=features if len(whole) == len(features) else features[whole],
        root=root,
        names=[display_name(picture.path, root) for picture in kept],
        modalities=[picture.modality for picture in kept],
        persons=[picture.person for picture in kept],
        method=model.method_name,
        digest=model.digest,
        feature=FLIP_FEATURE if flip else FEATURE,
        skipped=skipped + len(pictures) - len(kept),
    )


def _about(folder: str) -> dict[str, Any]:
    try:
        about = json.loads(Path(folder, ABOUT).read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableIndex(f"{folder}/{ABOUT} cannot be read: {error}") from None
    if not isinstance(about, dict) or about.get("kind") != "gallery index":
        raise UnusableIndex(f"{folder}/{ABOUT} is not an index that this command wrote")
    if about["format"] > FORMAT:
        raise UnusableIndex(
            f"{folder} has format {about['format']}, this version reads up to {FORMAT}: install a newer version"
        )
    return about


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name once it is whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
