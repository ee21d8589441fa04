"""`python -m aligngan.evaluate`: the retrieval scores of a trained model, beside what the paper prints."""

import argparse
import sys
from collections.abc import Sequence

EPILOG = """\
examples:
  python -m aligngan.evaluate runs/NAME
      the newest checkpoint of a run, on the data set that it was trained on
  python -m aligngan.evaluate runs/NAME/step_000010000 --data /data/SYSU-MM01 --workers 4
      one checkpoint on a data set in another place; its layout says which data set it is
  python -m aligngan.evaluate runs/NAME --flip --re-rank
      with features of mirrored pictures added and k-reciprocal re-ranking, both named in the table and in scores.json
  python -m aligngan.evaluate runs/regdb-1 runs/regdb-2 runs/regdb-3 --out runs/regdb
      models of several RegDB splits, each on its own split, and their mean
  python -m aligngan.evaluate runs/NAME 'evaluation.modes=[indoor]' data.threads=8
      any key of the sections data, evaluation and run; the others are the checkpoint's

scores.json and table.txt go to RUN/evaluated/..., named for checkpoint, data set and options, or to --out.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.evaluate",
        description="Score a model on the test pictures of a data set: all searches of SYSU-MM01's and RegDB's "
        "official protocols, features computed on all workers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "sources", nargs="+", metavar="RUN|CHECKPOINT|key=value", help="run or checkpoint folder, path or URI; keys"
    )
    arguments.add_argument("--data", metavar="ROOT", help="folder of the data set (default: where the training had it)")
    arguments.add_argument("--workers", type=int, metavar="N", help="worker processes (default: as in the training)")
    arguments.add_argument("--flip", action="store_true", help="add the feature of the mirrored picture")
    arguments.add_argument(
        "--re-rank", action="store_true", help="k-reciprocal re-ranking; minutes for all of SYSU-MM01"
    )
    arguments.add_argument("--out", metavar="FOLDER", help="where scores.json and table.txt go: a path or a URI")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 failed, 2 refused, 128 + signal where one ended it."""
    arguments = parser().parse_intermixed_args(argv)
    from aligngan.evaluation_config import is_override

    overrides = [text for text in arguments.sources if is_override(text)]
    sources = [text for text in arguments.sources if not is_override(text)]
    if not sources:
        print("refused before anything started:\ngive a run folder or a checkpoint folder first", file=sys.stderr)
        return 2
    overrides += ["evaluation.flip=true"] * arguments.flip + ["evaluation.re_ranking=k-reciprocal"] * arguments.re_rank
    if arguments.workers is not None:
        overrides.append(f"run.workers={arguments.workers}")

    from aligngan.evaluation_run import evaluate_models

    return evaluate_models(sources, overrides, arguments.data, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
