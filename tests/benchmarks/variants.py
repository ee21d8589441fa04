"""The methods of Table 4 side by side on the synthetic set: the same iterations, several seeds, mean and spread.

    python -m tests.benchmarks.variants --out runs/variants --seeds 3

Every run is an ordinary `python -m aligngan.train` with a folder of its own in --out. A run that is there already is
not repeated, and one that was interrupted goes on, so the command can be given again after any stop.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

METHODS = ("baseline", "featalign", "aligngan-minus", "pixalign", "aligngan")
"""In the order of Table 4's Rank-1."""
SHORTER = ("stages.pixel_warmup=75", "optimizer.decay_after=80", "train.iterations=350")
"""The demo's recipe cut by a fifth; methods without translators have their pixel warm-up as joint training."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing and print the table."""
    arguments = _arguments(argv)
    runs = [(method, seed) for seed in range(arguments.seeds) for method in arguments.methods]
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("trainings", total=len(runs))
        for method, seed in runs:
            progress.update(task, description=f"{method}, seed {seed}")
            _train(arguments.out, method, seed, [*SHORTER, f"run.workers={arguments.workers}", *arguments.overrides])
            progress.advance(task)
    print(table({method: _scores(arguments.out, method, arguments.seeds) for method in arguments.methods}))
    return 0


def table(scores: dict[str, list[dict[str, float]]]) -> str:
    """Return a Markdown table of all-search single-shot scores in percent: mean and sample standard deviation."""
    lines = [
        "| method | seeds | Rank-1 | Rank-10 | mAP | Rank-1 of each seed |",
        "|---|---|---|---|---|---|",
    ]
    for method, of_seeds in scores.items():
        cells = [_spread([score[key] for score in of_seeds]) for key in ("R1", "R10", "mAP")]
        each = ", ".join(f"{score['R1']:.1f}" for score in of_seeds)
        lines.append(f"| `{method}` | {len(of_seeds)} | {' | '.join(cells)} | {each} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _train(out: Path, method: str, seed: int, overrides: list[str]) -> None:
    name = _name(method, seed)
    if (out / name / "scores.json").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "aligngan.train", f"method={method}", f"train.seed={seed}", *overrides]
    command += [f"run.storage={out.absolute()}", f"run.name={name}", "run.if_exists=resume"]
    with (out / f"{name}.log").open("ab") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if status:
        raise SystemExit(f"{name} ended with status {status}: see {log.name}; the same command goes on from there")


def _scores(out: Path, method: str, seeds: int) -> list[dict[str, float]]:
    found = []
    for seed in range(seeds):
        scores = json.loads((out / _name(method, seed) / "scores.json").read_text(encoding="utf-8"))
        single = [search for search in scores["searches"] if (search["mode"], search["shots"]) == ("all", "single")]
        found.append(single[0]["mean"])
    return found


def _name(method: str, seed: int) -> str:
    return f"{method}-seed{seed}"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.variants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="further keys for every training")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the run folders go")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each method (default: 3)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all five")
    parser.add_argument("--workers", type=int, default=1, help="workers of each training (default: 1)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
