"""What a search found, as one HTML page that needs no other file, and as CSV."""

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from aligngan.sheets import match, to_png
from loaders.dataset import Modality

COLUMNS = ("query", "query_modality", "query_person", "rank", "picture", "modality", "person", "similarity", "match")

_MODALITY = {"rgb": "visible", "ir": "infrared"}
_STYLE = """\
:root { color-scheme: light dark; --ink: #1e1e1e; --paper: #fff; --soft: #666; --right: #00783a; --wrong: #c42020 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --soft: #a0a0a0; --right: #4cc38a; --wrong: #ff7b72 }
}
body { font: 15px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem }
ol, .query { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0 }
figure { margin: 0; width: 9rem; overflow-wrap: anywhere }
img { border: 4px solid var(--soft); height: 160px; width: 80px; background: #fff }
.right img { border-color: var(--right) } .right strong { color: var(--right) }
.wrong img { border-color: var(--wrong); border-style: dashed } .wrong strong { color: var(--wrong) }
figcaption, p { color: var(--soft); font-size: .85rem } strong { color: var(--ink) }
section { border-top: 1px solid var(--soft); padding-top: .5rem }
"""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of the result: uint8 [3, H, W], with what is known of it."""

    name: str
    modality: Modality
    person: str | None
    picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Ranking:
    """A query and the gallery pictures most similar to it, the best first, with cosine similarities [K]."""

    query: Shown
    found: Sequence[Shown]
    similarities: NDArray[np.float32]


def search_page(rankings: Sequence[Ranking], title: str, notes: Sequence[str]) -> str:
    """Return the page: the notes, then each query with its ranked list; pictures are inside it."""
    about = "".join(f"<p>{escape(note)}</p>\n" for note in notes)
    sections = "".join(_section(number, ranking) for number, ranking in enumerate(rankings, 1))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{about}{sections}</body>\n</html>\n"
    )


def search_csv(rankings: Sequence[Ranking]) -> str:
    """Return one line per query and rank, with a header; persons and match are empty where not known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for ranking in rankings:
        query = ranking.query
        for rank, (shown, similarity) in enumerate(zip(ranking.found, ranking.similarities, strict=True), 1):
            left = (query.name, query.modality, query.person or "", rank)
            verdict = match(query.person, shown.person)
            writer.writerow((*left, shown.name, shown.modality, shown.person or "", f"{similarity:.6f}", verdict))
    return text.getvalue()


def _section(number: int, ranking: Ranking) -> str:
    query = ranking.query
    items = "".join(
        f"<li>{_figure(shown, f'{rank}.', match(query.person, shown.person), f'similarity {similarity:.3f}')}</li>\n"
        for rank, (shown, similarity) in enumerate(zip(ranking.found, ranking.similarities, strict=True), 1)
    )
    return (
        f"<section>\n<h2>Query {number}</h2>\n"
        f'<div class="query">{_figure(query, "query", "", "")}</div>\n<ol>\n{items}</ol>\n</section>\n'
    )


def _figure(shown: Shown, place: str, verdict: str, similarity: str) -> str:
    person = "" if shown.person is None else f"person {shown.person}"
    lines = [_MODALITY[shown.modality], person, similarity, shown.name]
    caption = "<br>".join(escape(line) for line in lines if line)
    data = base64.b64encode(to_png(np.ascontiguousarray(shown.picture.transpose(1, 2, 0)))).decode()
    words = f"{place} {verdict}".strip()
    return (
        f'<figure class="{verdict}"><img src="data:image/png;base64,{data}" alt="{escape(f"{words}: {shown.name}")}">'
        f"<figcaption><strong>{escape(words)}</strong><br>{caption}</figcaption></figure>"
    )
