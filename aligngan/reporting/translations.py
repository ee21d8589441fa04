"""Fake infrared pictures of each method beside the real ones (Figure 5)."""

from collections.abc import Sequence

from aligngan.reporting.drawing import Picture, drawing_style, finished
from aligngan.reporting.exhibits import Exhibit
from aligngan.reporting.tiles import Tile, draw_tiles


def translation_picture(anchor: str, exhibits: Sequence[Exhibit]) -> Picture | None:
    """Return RGB pictures of test persons, each method's translation of them, and real infrared pictures.

    None where no method has translators. All exhibits are of one choice of pictures.
    """
    translating = [exhibit for exhibit in exhibits if exhibit.model.translates]
    if not translating:
        return None
    first = translating[0]
    rgb, ir = ([pair[side] for pair in first.choice.pairs] for side in (0, 1))
    rows = [[Tile(photograph) for photograph in first.photographs(rgb)]]
    for exhibit in translating:
        rows.append([Tile(photograph) for photograph in exhibit.fake_ir(rgb)])
    rows.append([Tile(photograph) for photograph in first.photographs(ir)])
    fakes = [f"fake IR: {exhibit.variant.label}" for exhibit in translating]
    heads = [f"person {picture.person}" for picture in rgb]
    with drawing_style():
        figure = draw_tiles(rows, ["real RGB", *fakes, "real IR"], heads, first.proportion)
        return finished(
            figure,
            f"{anchor}-translations",
            "Fake infrared pictures of test persons",
            f"Rows of photographs of {len(rgb)} persons: visible, {', '.join(fakes)}, and real infrared.",
            "As Figure 5 of the paper. Nobody shown here was seen in training. The real infrared picture is another "
            "picture of the same person, in another pose and place. "
            + " ".join(f"{exhibit.variant.label}: {exhibit.run.name}." for exhibit in translating),
        )
