"""`python -m tune.sweep`: many trainings that differ in a few keys, and the figure of what comes of them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aligngan.config import Config, ConfigError, preset_names
from cluster.errors import ClusterError
from tune.checks import checked_points
from tune.plan import cost, finished_run, seconds_per_iteration, standing, trial_lines
from tune.points import Point
from tune.settings import SweepSettings, base_config, read_space, space_names

if TYPE_CHECKING:
    from tune.folder import SweepFolder

Begun = tuple["SweepFolder | None", SweepSettings, Config]
"""A sweep: its folder where it was begun before, and what it is."""
EPILOG = """\
examples:
  python -m tune.sweep
      the demo: Figure 4 in small on the synthetic set, a quarter of an hour on two cores
  python -m tune.sweep --space figure4 --dry-run
      list the trials of a sweep, count them and estimate their cost; start nothing
  python -m tune.sweep --space figure4 --preset paper data.root=/data/SYSU-MM01 run.workers=2
      Figure 4 of the paper: each weight on a log grid, the baseline as reference, three seeds
  python -m tune.sweep --space mine.yaml --budget 100
      a sweep of your own, with more trials than its file allows
  python -m tune.sweep --resume runs/SWEEP
      go on after Ctrl-C, a crash or the loss of the cluster; what is finished is not done again
  ray job submit -- python -m tune.sweep --space asha run.storage=/shared/runs
      the same on a running Ray cluster
  python -m tune.sweep --space figure4 run.name=figure4 run.if_exists=resume
      start the sweep, or go on with it: one command for a job that is tried again

a file of a sweep:
  search: one-at-a-time            # or grid, random, optuna
  space:
    loss.lambda_id_pix: [0.1, 1.0, 10.0]
    loss.lambda_gan_feat: {low: 0.01, high: 1.0, scale: log, points: 5}
  seeds: [0, 1, 2]
  references: {baseline: {method: baseline}}
docs/sweeps.md has all keys. Every trial is a training like any other, with a run folder in SWEEP/trials.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m tune.sweep",
        description="Train with many values of lambda_id^pix, lambda_gan^feat or any other key, and compare.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="set one key in every trial")
    arguments.add_argument(
        "--space", metavar="NAME|FILE", help=f"{', '.join(space_names())}, or a YAML file (default: demo)"
    )
    arguments.add_argument("--preset", choices=preset_names(), help="recipe in place of the sweep's own")
    arguments.add_argument("--config", metavar="FILE", help="YAML file of training keys laid over the preset")
    arguments.add_argument("--resume", metavar="SWEEP", help="sweep folder to go on with; its own settings are used")
    arguments.add_argument("--trials", type=int, metavar="N", help="points that a random or model-based search draws")
    arguments.add_argument("--seeds", metavar="N,N", help="seeds of every point, such as 0,1,2")
    arguments.add_argument("--budget", type=int, metavar="N", help="confirm that the sweep may have so many trials")
    arguments.add_argument("--concurrent", type=int, metavar="N", help="trials at once (default: all that have room)")
    arguments.add_argument("--like", metavar="RUN", help="run folder whose speed the estimate of the time is made from")
    arguments.add_argument(
        "--dry-run", action="store_true", help="check, list the trials with their cost, start nothing"
    )
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 trials failed, 2 it was refused, 130 interrupted."""
    arguments = parser().parse_intermixed_args(argv)
    try:
        sweep, settings, base = _resumed(arguments) if arguments.resume else _new(arguments)
        points = checked_points(settings, base)
        like = arguments.like or (finished_run(sweep) if sweep else None)
        seconds = seconds_per_iteration(like) if like else None
    except (ConfigError, ClusterError, OSError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    if sweep is not None:
        print(standing(sweep, settings, points))
    if arguments.dry_run:
        print("\n".join(trial_lines(settings, points, sweep)))
    print(cost(settings, base, points, seconds, sweep), flush=True)
    if arguments.dry_run:
        return 0
    return _start(arguments, sweep, settings, base, points)


def _new(arguments: argparse.Namespace) -> Begun:
    over = {"trials": arguments.trials, "max_trials": arguments.budget, "concurrent": arguments.concurrent}
    tree = {key: value for key, value in over.items() if value is not None}
    if arguments.seeds is not None:
        tree["seeds"] = _seeds(arguments.seeds)
    settings = read_space(arguments.space or "demo", tree)
    base = base_config(settings, arguments.preset, arguments.config, tuple(arguments.overrides))
    if base.run.name is None and base.run.if_exists == "refuse":
        return None, settings, base  # its folder will be named after the time
    from tune.resuming import begun

    return begun(settings, base), settings, base


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds: found {text}, accepted: integers with commas between them, such as 0,1,2"
        ) from None


def _resumed(arguments: argparse.Namespace) -> Begun:
    from tune.resuming import resumed

    own = ("space", "preset", "config", "trials", "seeds", "budget")
    if given := [f"--{name}" for name in own if getattr(arguments, name) is not None]:
        raise ConfigError(f"--resume takes the sweep's own settings: leave out {', '.join(given)}")
    sweep, settings, base = resumed(arguments.resume, arguments.overrides)
    return sweep, settings.model_copy(update={"concurrent": arguments.concurrent or settings.concurrent}), base


def _start(
    arguments: argparse.Namespace,
    sweep: "SweepFolder | None",
    settings: SweepSettings,
    base: Config,
    points: Sequence[Point],
) -> int:
    from aligngan.training.launch import located
    from cluster.lock import locked
    from tune.folder import SweepFolder
    from tune.running import run_sweep

    try:
        goes_on = sweep is not None
        sweep = sweep or SweepFolder.new(base.run, Path(arguments.space or "demo").stem)
        base = located(base, sweep.folder)
        with locked(sweep.folder):
            if goes_on:  # with what another command wrote down while this one waited
                sweep = SweepFolder.of(sweep.folder.location)
            sweep.write(settings, base)
            print(f"sweep folder: {sweep.folder.location}", flush=True)
            status = run_sweep(sweep, settings, base, points)
    except (ClusterError, OSError) as error:
        print(f"refused before anything started:\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while another command was waited for
        return 130
    if status < 2:
        from tune.report import write

        try:
            write(sweep.folder.location, None)
        except ConfigError as error:  # nothing is finished, which the lines above explain
            print(error, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
