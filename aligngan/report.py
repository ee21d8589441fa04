"""`python -m aligngan.report`: tables, curves and pictures of finished runs as files and one page."""

import argparse
import sys
from collections.abc import Sequence

EPILOG = """\
examples:
  python -m aligngan.report runs/aligngan-synthetic-20260101-120000 --out report
      one run: its scores, curves, translations, features, and best and worst queries
  python -m aligngan.report runs/* --out report
      Table 4: several methods, each with one or more seeds; runs that differ in seed alone share a row
  python -m aligngan.report s3://bucket/runs/a s3://bucket/runs/b --out s3://bucket/report
      from and to an object store
  python -m aligngan.report runs/* --out report --no-pictures
      tables and curves alone: needs neither checkpoints nor the data set

open FOLDER/index.html: one page that needs no other file. Beside it lie pictures/*.png and *.svg, and tables/*.csv.
The same runs give the same files byte for byte.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.report",
        description="Set runs side by side: Table 4 over methods, Tables 2 and 3 beside the paper's rows, training "
        "curves, fake infrared pictures (Figure 5), features in the plane (Figure 6), best and worst queries.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("runs", nargs="+", metavar="RUN", help="run folder, a path or a URI")
    arguments.add_argument(
        "--out", required=True, metavar="FOLDER", help="folder of the report: new, empty or an earlier report's"
    )
    arguments.add_argument("--data", metavar="ROOT", help="folder of the data set, where it is not where the runs say")
    arguments.add_argument(
        "--no-pictures", action="store_true", help="leave out what needs checkpoints and the data set's pictures"
    )
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 2 refused, 130 interrupted."""
    arguments = parser().parse_args(argv)
    from rich.console import Console

    from aligngan.reporting.build import build, page_of
    from aligngan.reporting.output import FolderInUse
    from aligngan.reporting.runs import NotARun
    from aligngan.reporting.terminal import steps
    from cluster.errors import ClusterError

    step = steps(Console(stderr=True))
    try:
        left_out = build(arguments.runs, arguments.out, step, arguments.data, pictures=not arguments.no_pictures)
    except (NotARun, FolderInUse, ClusterError, OSError) as error:
        print(f"refused, nothing was written:\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the command again for the whole report", file=sys.stderr)
        return 130
    for sentence in left_out:
        print(f"left out: {sentence}")
    print(f"report: {page_of(arguments.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
