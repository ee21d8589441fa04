"""`python -m loaders.synthetic OUT`: make the synthetic visible-infrared set in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loaders.config import SyntheticSettings

_EPILOG = """\
example:
  python -m loaders.synthetic people --persons 96 --pictures 10 --seed 0

makes people/cam1 to people/cam6 (1, 2, 4, 5 colour; 3, 6 infrared) and people/exp in the layout of SYSU-MM01, and
people/contact_sheet.png to look at. Every reader of SYSU-MM01 reads it. The same settings always give the same files.
Training with data.name=synthetic makes its own set; a set made here is used with data.root=people and the same
data.synthetic settings.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    from pydantic import ValidationError

    from loaders.config import SyntheticSettings

    defaults = SyntheticSettings()
    parser = argparse.ArgumentParser(
        prog="python -m loaders.synthetic",
        description="Make a data set of synthetic people seen by four colour and two infrared cameras.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", help="folder to make; must be missing or empty")
    for name, field in SyntheticSettings.model_fields.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{field.description} (default {default})"
        )
    chosen = parser.parse_args(arguments)
    try:
        settings = SyntheticSettings(**{name: getattr(chosen, name) for name in SyntheticSettings.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        parser.error(f"--{first['loc'][0]} {first['input']}: {first['msg'].lower()}")
    return _make(chosen.out, settings)


def _make(out: str, settings: SyntheticSettings) -> int:
    from rich.console import Console

    from loaders.dataset import DatasetError
    from loaders.synthetic.terminal import progress_bar
    from loaders.synthetic.write import SHEET, make

    console = Console(stderr=True)
    try:
        with progress_bar(console) as progress:
            population = make(out, settings, progress)
    except (DatasetError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    seen = population.cameras.values()
    colour, infrared = (
        settings.pictures * sum(len({*cameras} & kind) for cameras in seen) for kind in ({1, 2, 4, 5}, {3, 6})
    )
    counts = {"train": population.train, "val": population.val, "test": population.test}
    split = ", ".join(f"{len(persons)} {name}" for name, persons in counts.items())
    print(f"{settings.persons} persons ({split}), {colour} colour and {infrared} infrared pictures in {out}")
    print(f"look at {Path(out) / SHEET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
