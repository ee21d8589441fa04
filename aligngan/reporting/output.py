"""The files of a report in its folder."""

import json
import re
from collections.abc import Sequence

from aligngan.reporting.drawing import Picture
from aligngan.reporting.page import Section, render_page
from aligngan.reporting.table import table_csv, table_picture
from cluster.folder import RunFolder

PAGE = "index.html"
CONTENTS = "report.json"
"""Names of the files of a report: what a later report may take away, and the sign that a folder holds one."""


class FolderInUse(ValueError):
    """A folder that holds something other than a report."""


def open_folder(location: str) -> RunFolder:
    """Return the folder that a report is to be written to; raises FolderInUse where it holds something else."""
    folder = RunFolder(location)
    held = folder.list()
    if held and CONTENTS not in held:
        raise FolderInUse(
            f"{folder.location} holds {', '.join(held[:3])}{' and more' if len(held) > 3 else ''}, which is not a "
            "report: name a folder that is new, empty, or an earlier report's"
        )
    return folder


def write_report(
    folder: RunFolder, title: str, lead: str, sections: Sequence[Section], left_out: Sequence[str] = ()
) -> int:
    """Write the page, every picture as PNG and SVG and every table as CSV, PNG and SVG; returns how many files.

    An earlier report in the folder is taken away first. Arguments as in `render_page`.
    """
    page = render_page(title, lead, sections, left_out)
    files: dict[str, bytes] = {}
    for section in sections:
        files |= _files(section)
    _take_away(folder, keep=set(files))
    # The list comes first, so that whatever happens, files of a report are known as such; the page comes last.
    folder.write_json(CONTENTS, {"title": title, "files": [*sorted(files), PAGE]})
    for name, content in files.items():
        folder.write_bytes(name, content)
    folder.write_bytes(PAGE, page)
    return len(files) + 2


def _files(section: Section) -> dict[str, bytes]:
    files = {f"tables/{table.name}.csv": table_csv(table) for table in section.tables}
    for picture in (*section.pictures, *map(table_picture, section.tables)):
        files |= _both(picture)
    for inner in section.sections:
        files |= _files(inner)
    return files


def _both(picture: Picture) -> dict[str, bytes]:
    return {f"pictures/{picture.name}.png": picture.png, f"pictures/{picture.name}.svg": picture.svg}


def _take_away(folder: RunFolder, keep: set[str]) -> None:
    if folder.exists(CONTENTS):
        earlier = json.loads(folder.read_bytes(CONTENTS))["files"]
        folder.delete(PAGE)
        for name in sorted(set(earlier) - keep):
            # The list is a file like any other: nothing outside the two folders is taken away on its word.
            if re.fullmatch(r"(pictures|tables)/[\w.-]+", name):
                folder.delete(name)
