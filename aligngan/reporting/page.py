"""One self-contained HTML page of sections with tables and pictures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from aligngan.reporting.drawing import Picture
from aligngan.reporting.table import Table, shown


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and pictures under it, and further sections one level down.

    `photographs` says that the pictures of this section hold photographs, which the page shows as WebP; others it
    shows as SVG.
    """

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    sections: tuple["Section", ...] = ()
    photographs: bool = False


def render_page(title: str, lead: str, sections: Sequence[Section], left_out: Sequence[str] = ()) -> bytes:
    """Return the page in UTF-8: no scripts, nothing fetched, light or dark as the reader's system is.

    Args:
        title: of the page.
        lead: one or two sentences under it.
        sections: in order; every anchor stands for itself once.
        left_out: what the page does not show, and why.

    Raises:
        ValueError: for an anchor that two sections have.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    anchors = [section.anchor for section in _all(sections)]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f"every section needs an anchor of its own, found {anchors}")
    environment = Environment(
        loader=PackageLoader("aligngan.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "address": _address}
    template = environment.get_template("page.html")
    return template.render(title=title, lead=lead, sections=sections, left_out=left_out).encode()


def _all(sections: Sequence[Section]) -> list[Section]:
    return [each for section in sections for each in (section, *_all(section.sections))]


def _address(picture: Picture, photographs: bool) -> str:
    """The picture itself as an address, so that the page needs no other file."""
    kind, content = ("webp", _as_webp(picture.png)) if photographs else ("svg+xml", picture.svg)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _as_webp(png: bytes) -> bytes:
    """A fifth of the size, with no difference that is seen."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, format="WEBP", quality=90, method=6)
    return buffer.getvalue()
