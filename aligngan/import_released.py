"""`python -m aligngan.import_released`: the authors' published weights as a run folder of this project."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """\
example:
  python -m aligngan.import_released downloads/model --out runs/released data.root=/data/SYSU-MM01

The run folder can be used like that of a training: evaluated, searched with, exported, or trained on.
The files model-0_STEP.pkl to model-7_STEP.pkl hold, in this order, the translators to infrared and to RGB, the
discriminators of RGB pictures and of pairs, the two of the warm-up, the backbone, and classifier with embedder.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.import_released",
        description="Turn the eight weight files of the released AlignGAN code into a checkpoint.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("folder", type=Path, metavar="DIR", help="folder of model-{0..7}_{step}.pkl")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="keys laid over preset `released`")
    arguments.add_argument("--out", required=True, metavar="RUN", help="run folder to make: a path or a URI")
    arguments.add_argument("--step", type=int, help="which step's files (default: the newest whole set)")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 2 the files or the options are refused."""
    arguments = parser().parse_intermixed_args(argv)

    from aligngan.config import ConfigError
    from aligngan.released import ReleasedWeightsError
    from aligngan.training.imported import import_weights
    from cluster.errors import ClusterError

    try:
        made = import_weights(arguments.folder, arguments.out, arguments.overrides, arguments.step)
    except (ConfigError, ReleasedWeightsError, ClusterError) as error:
        print(f"nothing was imported:\n{error}", file=sys.stderr)
        return 2
    print(f"{made.identities} identities, step {made.step}: checkpoint {made.checkpoint} in {made.run}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
