"""From query pictures and a gallery to a ranked sheet, a page and a table."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aligngan.index import GalleryIndex, UnusableIndex, is_index, load_index, make_index
from aligngan.model import Model, load_model
from aligngan.picture_files import Found, NoPictures, find_pictures, look_at, say_modalities
from aligngan.search_page import Ranking, Shown, search_csv, search_page
from aligngan.sheets import match, ranked_sheet, to_png
from aligngan.skipping import Skipped
from aligngan.terminal import counting
from aligngan.thumbnails import thumbnails
from cluster.errors import ClusterError
from cluster.folder import RunFolder
from loaders.dataset import Modality

SHEET, PAGE, TABLE = "search.png", "search.html", "search.csv"


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for and where; modalities and the person are found out where they are None."""

    source: str
    queries: Sequence[str]
    gallery: str
    out: str
    top: int = 10
    query_modality: Modality | None = None
    gallery_modality: Modality | None = None
    among: Modality | None = None
    """Search only gallery pictures of this modality."""
    person: str | None = None
    """Whom the queries show."""
    flip: bool = False
    save_index: str | None = None


class NothingToSearch(ValueError):
    """Every query or every gallery picture was broken or left out."""


def search(request: SearchRequest) -> int:
    """Search and write `search.png`, `search.html` and `search.csv`; says what it does.

    Returns:
        The command's exit status: 0 done, 1 nothing was left to search, 2 refused before anything started.
    """
    try:
        indexed = is_index(request.gallery)
        if indexed and request.save_index is not None:
            raise NoPictures(f"--save-index: {request.gallery} is an index already; give the gallery's folder")
        out = RunFolder(request.out)
        model = load_model(request.source)
        queries = _query_files(request.queries)
        ready = load_index(request.gallery, model, request.flip) if indexed else None
        files = [] if indexed else find_pictures(request.gallery)
    except (ValueError, ClusterError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    print(f"model: {model.checkpoint} ({model.method_name}, iteration {model.iteration})", flush=True)
    try:
        index = _opened(ready) if ready is not None else _indexed(request, model, files)
        _search(request, model, queries, index, out)
    except (NothingToSearch, UnusableIndex) as error:
        print(f"search failed: {error}", file=sys.stderr)
        return 1
    return 0


def _search(request: SearchRequest, model: Model, paths: list[str], index: GalleryIndex, out: RunFolder) -> None:
    if request.among is not None:
        index = index.only(request.among)
    if not len(index):
        among = "" if request.among is None else f" of modality {request.among}"
        raise NothingToSearch(f"the gallery is empty: no picture{among} of {request.gallery} could be read")
    queries, features = _embedded(request, model, paths)
    left_out = [[row] if (row := index.row_of(query.path)) is not None else [] for query in queries]
    if any(left_out) and len(index) == 1:
        raise NothingToSearch("the gallery is empty: its only picture is the query itself")
    started = time.perf_counter()
    rows, similarities = index.search(features, request.top, left_out)
    seconds = time.perf_counter() - started
    print(f"searched {len(index)} pictures for {len(queries)} queries in {seconds:.3f} s")
    if any(left_out):
        print(
            f"{sum(map(len, left_out))} queries are gallery pictures themselves and are left out of their own results"
        )
    rankings = _rankings(queries, index, rows, similarities)
    _write(out, model, index, rankings)


def _query_files(queries: Sequence[str]) -> list[str]:
    paths: list[str] = []
    for query in queries:
        if os.path.isdir(query):
            paths += find_pictures(query)
        elif os.path.exists(query):
            paths.append(query)
        else:
            raise NoPictures(f"--query {query}: no such picture")
    return paths


def _opened(index: GalleryIndex) -> GalleryIndex:
    print(f"gallery: index of {len(index)} pictures of {index.root}, {index.skipped} broken ones left out", flush=True)
    return index


def _indexed(request: SearchRequest, model: Model, files: list[str]) -> GalleryIndex:
    skipped = Skipped()
    pictures = look_at(files, request.gallery_modality, skipped)
    print(f"gallery: {say_modalities(pictures) or 'no readable picture'} in {request.gallery}", flush=True)
    with counting("gallery features", len(pictures)) as advance:
        index = make_index(
            model,
            os.path.abspath(request.gallery),
            [replace(picture, path=os.path.abspath(picture.path)) for picture in pictures],
            flip=request.flip,
            skipped=skipped.count,
            on_broken=skipped,
            on_pictures=advance,
        )
    skipped.say("gallery", len(files))
    if request.save_index is not None and len(index):
        index.save(request.save_index)
        print(f"index: {request.save_index}; search it again with --gallery {request.save_index}")
    return index


def _embedded(request: SearchRequest, model: Model, paths: list[str]) -> tuple[list[Found], NDArray[np.float32]]:
    skipped = Skipped()
    queries = look_at(paths, request.query_modality, skipped)
    print(f"queries: {say_modalities(queries) or 'no readable picture'}", flush=True)
    index = make_index(model, os.path.abspath(os.sep), queries, flip=request.flip, on_broken=skipped)
    skipped.say("query", len(paths))
    if not len(index):
        raise NothingToSearch(f"none of the {len(paths)} query pictures could be read")
    kept = [query for query in queries if query.path not in skipped.paths]
    if request.person is not None:
        kept = [replace(query, person=request.person) for query in kept]
    return kept, index.features


def _rankings(
    queries: Sequence[Found], index: GalleryIndex, rows: NDArray[np.int64], similarities: NDArray[np.float32]
) -> list[Ranking]:
    pictures = thumbnails([query.path for query in queries])
    rankings = []
    for number, query in enumerate(queries):
        found = thumbnails([index.path(row) for row in rows[number]])
        rankings.append(
            Ranking(
                Shown(query.path, query.modality, query.person, pictures[number]),
                [
                    Shown(index.names[row], index.modalities[row], index.persons[row], picture)
                    for row, picture in zip(rows[number], found, strict=True)
                ],
                similarities[number],
            )
        )
    return rankings


def _write(folder: RunFolder, model: Model, index: GalleryIndex, rankings: list[Ranking]) -> None:
    sheet = ranked_sheet(
        np.stack([ranking.query.picture for ranking in rankings]),
        [ranking.query.person for ranking in rankings],
        np.stack([[shown.picture for shown in ranking.found] for ranking in rankings]),
        np.array([[shown.person for shown in ranking.found] for ranking in rankings], dtype=object),
        np.stack([ranking.similarities for ranking in rankings]),
    )
    notes = [
        f"{len(index)} gallery pictures of {index.root}; {index.skipped} broken ones were left out.",
        f"Model {model.checkpoint}: {model.method_name} at iteration {model.iteration}, digest {model.digest}.",
        f"Similarity is the cosine of features {index.feature}; 1 is the most.",
    ]
    folder.write_bytes(SHEET, to_png(sheet))
    folder.write_bytes(PAGE, search_page(rankings, "Search", notes).encode())
    folder.write_bytes(TABLE, search_csv(rankings).encode())
    for ranking in rankings:
        best = ranking.found[0]
        verdict = match(ranking.query.person, best.person)
        print(
            f"{ranking.query.name}: {best.name}, similarity {ranking.similarities[0]:.3f}"
            + (f", {verdict} person" if verdict else "")
        )
    print(f"results: {folder.location} ({SHEET}, {PAGE}, {TABLE})")
