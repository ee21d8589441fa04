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

    from loaders.check.layouts import detect, every_picture, listed_without_pictures, read
    from loaders.dataset import DatasetError

    try:
        name = detect(root)
    except DatasetError as error:
        return _refused([str(error)])
    try:
        datasets = read(root, name)
    except DatasetError as error:
        # What is wrong with the files may be the reason, and is told in full.
        _print_findings(_inspected(every_picture(root), threads))
        return _refused([str(error)])
    print(f"{root}: layout of {name}")
    Console().print(_table(name, datasets))
    for line in listed_without_pictures(root, datasets[0]) if name in ("sysu-mm01", "synthetic") else ():
        print(f"note: {line}")
    findings = _inspected(
        list(dict.fromkeys(p for dataset in datasets for p in (*dataset.train, *dataset.test))), threads
    )
    _print_findings(findings)
    if reasons := _reasons(datasets, findings):
        return _refused(reasons)
    print("can be trained on" + ("" if not findings else ", with what is listed above"))
    return 1 if strict and findings else 0


def _refused(reasons: list[str]) -> int:
    for reason in reasons:
        print(f"cannot be trained on: {reason}", file=sys.stderr)
    return 1


def _reasons(datasets: list[Dataset], findings: list[Finding]) -> list[str]:
    """Why a training would fail, in its batches and in its evaluation."""
    fatal = {finding.path for finding in findings if finding.fatal}
    reasons = []
    for what, remedy, halves in (
        ("training", "unpack them again, or train with data.on_error=skip", [dataset.train for dataset in datasets]),
        ("test", "an evaluation would end there; unpack them again", [dataset.test for dataset in datasets]),
    ):
        broken = list(dict.fromkeys(p.path for pictures in halves for p in pictures if p.path in fatal))
        if broken:
            reasons.append(f"{len(broken)} {what} pictures cannot be decoded, the first is {broken[0]}; {remedy}")
    return reasons


def _inspected(pictures: list[Picture], threads: int) -> list[Finding]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from loaders.check.files import inspect_all

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at every file", total=None)
        return inspect_all(pictures, threads, lambda done, total: progress.update(task, completed=done, total=total))


def _table(name: str, datasets: list[Dataset]) -> Table:
    from rich.table import Table

    from loaders.check.layouts import PUBLISHED

    published = PUBLISHED.get(name, {})
    columns = ["split", "camera", "persons", "pictures", *(["published", "published"] if published else [])]
    table = Table()
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right")
    for dataset in datasets:
        of_trial = f" {dataset.trial}" if name == "regdb" else ""
        for half, pictures in (("train", dataset.train), ("test", dataset.test)):
            by_camera = name != "regdb"
            for row, mine in _rows(pictures, by_camera):
                counts = _counts(mine)
                expected = published.get(half, {}).get(row, ())
                table.add_row(
                    half + of_trial,
                    f"{row} ({mine[0].modality})" if row.isdecimal() else row,
                    *(str(count) for count in counts),
                    # What differs is meant to be seen.
                    *(
                        f"{count}" if count == found else f"[bold red]{count}[/]"
                        for count, found in zip(expected, counts, strict=False)
                    ),
                    end_section=row == "all",
                )
    return table


def _rows(pictures: Sequence[Picture], by_camera: bool) -> list[tuple[str, list[Picture]]]:
    """The pictures of each camera, each modality and all."""
    rows = []
    if by_camera:
        cameras = sorted({picture.camera for picture in pictures})
        rows += [(str(camera), [p for p in pictures if p.camera == camera]) for camera in cameras]
    rows += [(modality, [p for p in pictures if p.modality == modality]) for modality in ("rgb", "ir")]
    return [*rows, ("all", list(pictures))]


def _counts(pictures: Sequence[Picture]) -> tuple[int, int]:
    """Persons and pictures."""
    return len({picture.person for picture in pictures}), len(pictures)


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
