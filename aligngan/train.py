"""`python -m aligngan.train`: from a configuration to a trained model, its scores and its pictures."""

import argparse
import sys
from collections.abc import Sequence

from aligngan.config import ConfigError, dump, preset_names, resolve
from aligngan.config.checks import check
from aligngan.config.help import keys_table

EPILOG = """\
examples:
  python -m aligngan.train
      train on the synthetic data set, minutes on two cores
  python -m aligngan.train --preset paper data.root=/data/SYSU-MM01 run.workers=2
      the paper's recipe on SYSU-MM01
  python -m aligngan.train --dry-run loss.lambda_id_pix=0.5 > mine.yaml
  python -m aligngan.train --config mine.yaml
      write a configuration down, then train with it
  python -m aligngan.train --resume runs/NAME
      continue an interrupted run from its last checkpoint
  ray job submit -- python -m aligngan.train
      the same on a running Ray cluster

`--keys` lists every key with what it accepts. Keys of one section can be given together in a file:
  loss:
    lambda_id_pix: 0.5
    lambda_gan_feat: 0.05
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.train",
        description="Train AlignGAN for visible-infrared person re-identification on one or many machines.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "overrides", nargs="*", metavar="key=value", help="set one key, such as train.iterations=200"
    )
    arguments.add_argument("--preset", choices=preset_names(), help="recipe to start from (default: demo)")
    arguments.add_argument("--config", metavar="FILE", help="YAML file laid over the preset")
    arguments.add_argument("--resume", metavar="RUN", help="run folder to continue; its own configuration is used")
    arguments.add_argument(
        "--dry-run", action="store_true", help="check, print the configuration as YAML, start nothing"
    )
    arguments.add_argument("--keys", action="store_true", help="list every key, what it accepts and what it is for")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 the training failed, 2 it was refused, 130 interrupted."""
    arguments = parser().parse_intermixed_args(argv)
    if arguments.keys:
        print(keys_table(arguments.preset or "demo"))
        return 0
    try:
        if arguments.resume is not None:
            from aligngan.training.resume import resumed_config

            if arguments.preset or arguments.config:
                raise ConfigError("--resume takes the run's own configuration: leave out --preset and --config")
            config = resumed_config(arguments.resume, arguments.overrides)
        else:
            config = resolve(arguments.preset or "demo", arguments.config, arguments.overrides)
        check(config)
    except ConfigError as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    if arguments.dry_run:
        print(dump(config), end="")
        return 0

    from aligngan.training.launch import launch

    return launch(config)


if __name__ == "__main__":
    sys.exit(main())
