"""`python -m aligngan.search`: a person's pictures looked for in a gallery, whatever the modality."""

import argparse
import sys
from collections.abc import Sequence

EPILOG = """\
examples:
  python -m aligngan.search runs/NAME --query night.png --gallery pictures/day --top 10
      writes search/search.png, search/search.html (one file, pictures inside) and search/search.csv
  python -m aligngan.search runs/NAME --query night.png --gallery pictures/day --save-index day.index
  python -m aligngan.search runs/NAME --query other.png --gallery day.index
      features of the gallery computed once, searched many times; an index works with its own checkpoint only
  python -m aligngan.search runs/NAME --query SYSU/cam3/0006/0001.jpg --gallery SYSU --among rgb
      one modality of a folder that holds both

Modalities follow folder names (rgb, visible, ir, thermal, cam1 to cam6), else a picture without colour is taken for
infrared; the command says which. Right and wrong are marked where folders name persons, as in rgb/PERSON/picture.jpg.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.search",
        description="Rank the pictures of a gallery by how much their person looks like the one in each query picture.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("source", metavar="CHECKPOINT", help="checkpoint folder or run folder, a path or a URI")
    arguments.add_argument(
        "--query", nargs="+", required=True, metavar="PICTURE", help="whom to look for: pictures, or folders of them"
    )
    arguments.add_argument(
        "--gallery", required=True, metavar="FOLDER|INDEX", help="pictures to search, folders below too; or an index"
    )
    arguments.add_argument("--top", type=_positive, default=10, metavar="N", help="pictures per query (default: 10)")
    arguments.add_argument("--out", default="search", metavar="FOLDER", help="where the results go (default: search)")
    arguments.add_argument("--save-index", metavar="INDEX", help="keep the gallery's features in this folder")
    for name in ("query", "gallery"):
        arguments.add_argument(
            f"--{name}-modality", choices=("rgb", "ir"), help=f"of all {name} pictures (default: found out)"
        )
    arguments.add_argument("--among", choices=("rgb", "ir"), help="search only pictures of this modality")
    arguments.add_argument("--person", metavar="NAME", help="whom the queries show (default: their folder's name)")
    arguments.add_argument("--flip", action="store_true", help="add the feature of the mirrored picture")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 nothing to search, 2 refused, 130 interrupted."""
    arguments = parser().parse_args(argv)
    from aligngan.search_run import SearchRequest, search

    request = SearchRequest(
        source=arguments.source,
        queries=arguments.query,
        gallery=arguments.gallery,
        out=arguments.out,
        top=arguments.top,
        query_modality=arguments.query_modality,
        gallery_modality=arguments.gallery_modality,
        among=arguments.among,
        person=arguments.person,
        flip=arguments.flip,
        save_index=arguments.save_index,
    )
    try:
        return search(request)
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} pictures: at least one is shown")
    return number


if __name__ == "__main__":
    sys.exit(main())
