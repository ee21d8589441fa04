"""`python -m loaders.check ROOT`: look at every file of a data set and say whether it can be trained on."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from loaders.check.files import Finding
    from loaders.dataset import Dataset, Picture

_EPILOG = """\
example:
  python -m loaders.check /data/SYSU-MM01

Layouts: SYSU-MM01 and synthetic sets (cam1..cam6, exp), RegDB (idx and its folders; all ten trials), and people's own
pictures (rgb/<person>/*, ir/<person>/*). Exit status: 0 can be trained on, 1 cannot, with the reason; with --strict
also 1 where anything at all was found.
"""
_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loaders.check",
        description="Count the persons and pictures of a data set and find every file that is broken.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", metavar="ROOT", help="folder of the data set")
    parser.add_argument("--threads", type=int, default=4, help="files looked at at a time (default 4)")
    parser.add_argument("--strict", action="store_true", help="fail on any finding, not only on what ends a training")
    chosen = parser.parse_args(arguments)
    return _check(chosen.root, chosen.threads, chosen.strict)


def _check(root: str, threads: int, strict: bool) -> int:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from loaders.check.files import inspect_all
    from loaders.check.layouts import detect, listed_without_pictures, read
    from loaders.dataset import DatasetError

    console = Console()
    try:
        name = detect(root)
        datasets = read(root, name)
    except DatasetError as error:
        print(f"cannot be trained on: {error}", file=sys.stderr)
        return 1
    console.print(_table(root, name, datasets))
    for line in listed_without_pictures(root, datasets[0]) if name == "sysu-mm01" else ():
        print(f"note: {line}")
    pictures = list(dict.fromkeys(p for dataset in datasets for p in (*dataset.train, *dataset.test)))
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at every file", total=None)
        findings = inspect_all(
            pictures, threads, lambda done, total: progress.update(task, completed=done, total=total)
        )
    _print_findings(findings)
    trained = {p.path for dataset in datasets for p in dataset.train}
    fatal = [finding for finding in findings if finding.fatal and finding.path in trained]
    if fatal:
        print(
            f"cannot be trained on: {len(fatal)} training pictures cannot be decoded, the first is {fatal[0].path}; "
            "unpack them again, or train with data.on_error=skip",
            file=sys.stderr,
        )
        return 1
    print("can be trained on" + ("" if not findings else ", with what is listed above"))
    return 1 if strict and findings else 0


def _table(root: str, name: str, datasets: list[Dataset]) -> Table:
    from rich.table import Table

    from loaders.check.layouts import PUBLISHED

    table = Table(title=f"{root}: layout of {name}", title_justify="left")
    for column in ("split", "camera", "persons", "pictures", "as published"):
        table.add_column(column, justify="left" if column in ("split", "camera") else "right")
    for dataset in datasets:
        of_trial = f" {dataset.trial}" if name == "regdb" else ""
        for half, pictures in (("train", dataset.train), ("test", dataset.test)):
            published = PUBLISHED.get(name, {})
            if name != "regdb":
                for camera in sorted({p.camera for p in pictures}):
                    mine = [p for p in pictures if p.camera == camera]
                    table.add_row(half, f"{camera} ({mine[0].modality})", *_counts(mine), "")
            for modality in ("rgb", "ir"):
                mine = [p for p in pictures if p.modality == modality]
                count = published.get((half, modality))
                table.add_row(half + of_trial, f"all {modality}", *_counts(mine), "" if count is None else f"{count}")
            count = published.get((half, "persons"))
            persons = "" if count is None else f"{count} persons"
            table.add_row(half + of_trial, "all", *_counts(pictures), persons, end_section=True)
    return table


def _counts(pictures: Sequence[Picture]) -> tuple[str, str]:
    return f"{len({picture.person for picture in pictures})}", f"{len(pictures)}"


def _print_findings(findings: list[Finding]) -> None:
    for kind, count in Counter(finding.kind for finding in findings).items():
        print(f"{kind}: {count} {'file' if count == 1 else 'files'}")
        of_kind = [finding for finding in findings if finding.kind == kind]
        for finding in of_kind[:_SHOWN]:
            print(f"  {finding.path}: {finding.detail}")
        if len(of_kind) > _SHOWN:
            print(f"  and {len(of_kind) - _SHOWN} more")


if __name__ == "__main__":
    sys.exit(main())
