"""`python -m tune.report`: Figure 4 and the tables of a sweep, from what its trials have scored so far."""

import argparse
import os
import sys
from collections.abc import Sequence

from aligngan.config import ConfigError

EPILOG = """\
examples:
  python -m tune.report runs/sweep-figure4-20260101-120000
      writes runs/sweep-figure4-20260101-120000/report; a sweep does it itself when it is done
  python -m tune.report s3://bucket/runs/SWEEP --out figure4
      from an object store, also while the sweep goes on

the folder holds index.html, one page that needs no other file; pictures/*.png and *.svg (figure-4, heat-map,
parallel-coordinates, courses); tables/*.csv (points, trials); best.yaml for `python -m aligngan.train --config`.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m tune.report",
        description="Rank-1 and mAP against each weight with their spread over seeds, and everything else of a sweep.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("sweep", metavar="SWEEP", help="sweep folder, a path or a URI")
    arguments.add_argument("--out", metavar="FOLDER", help="folder of the report (default: SWEEP/report)")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 2 refused."""
    arguments = parser().parse_args(argv)
    from aligngan.reporting.output import FolderInUse
    from cluster.errors import ClusterError

    try:
        write(arguments.sweep, arguments.out)
    except (ConfigError, FolderInUse, ClusterError, OSError) as error:
        print(f"refused, nothing was written:\n{error}", file=sys.stderr)
        return 2
    return 0


def write(sweep: str, out: str | None) -> None:
    """Write the report of a sweep and print what is best in it and where the page is.

    Args:
        sweep: the sweep's folder.
        out: folder of the report, None for `report` in the sweep's.

    Raises:
        ConfigError: where `sweep` is not a sweep, or no trial was trained to its end.
        FolderInUse: where `out` holds something other than a report.
    """
    from aligngan.reporting.output import PAGE, open_folder, write_report
    from aligngan.reporting.page import Section
    from cluster.folder import RunFolder
    from tune.figures import heat_map, search_title, weights_picture
    from tune.folder import REPORT, SweepFolder
    from tune.results import read_results
    from tune.tables import best_config, best_yaml, points_table, trials_table
    from tune.trial_figures import courses_picture, parallel_coordinates

    results = read_results(SweepFolder.of(sweep))
    states = [result.status for result in results.results]
    if "finished" not in states:
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        raise ConfigError(f"{sweep}: no trial was trained to its end yet ({counted}), so there is nothing to show")
    place, question, options = results.location.partition("?")
    folder: RunFolder = open_folder(out or f"{place}/{REPORT}{question}{options}")

    pictures = [weights_picture(results), heat_map(results), parallel_coordinates(results), courses_picture(results)]
    left_out = [f"Trials {state}: {states.count(state)}." for state in dict.fromkeys(states) if state != "finished"]
    left_out += [f"{result.name} failed: {result.message}" for result in results.results if result.message]
    base, seeds = results.base, ", ".join(map(str, results.settings.seeds))
    about = [f"{results.settings.about}."] if results.settings.about else []
    about.append(
        f"Search {results.settings.search}, seeds {seeds}. Every trial is {base.method} if not said otherwise, "
        f"{base.train.iterations} iterations on {base.run.workers} workers, scored by {search_title(results)}."
    )
    sections = [
        Section(
            "weights",
            "What the weights do",
            tuple(about),
            (points_table(results),),
            tuple(picture for picture in pictures if picture is not None),
        ),
        Section("trials", "Every trial", tables=(trials_table(results),)),
    ]
    lead = f"{states.count('finished')} of {len(states)} trials trained to their end, on {base.data.name}."
    config = best_config(results)
    if config is not None:
        best = results.best()
        assert best is not None
        chosen = ", ".join(f"{key} {value}" for key, value in best.values.items())
        words = f"best {results.settings.metric}: {best.mean(results.settings.metric):.1f} % with {chosen}"
        print(words)
        lead += f" The {words}; best.yaml trains it again. It is the best on the test pictures, so no test result."
    write_report(folder, f"Sweep {results.name}", lead, sections, left_out)
    if config is not None:
        folder.write_bytes("best.yaml", best_yaml(results, config).encode())
    print(f"report: {os.path.join(folder.location, PAGE)}")


if __name__ == "__main__":
    sys.exit(main())
