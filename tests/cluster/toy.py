"""A linear model on two workers: the smallest training that can be interrupted and resumed.

Run as a command it is what a user's command is: `python -m tests.cluster.toy STORAGE NAME key=value ...`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import ray.train
import torch
from torch.nn.parallel import DistributedDataParallel

from cluster.best import Best, keep_best
from cluster.checkpoints import load_newest_checkpoint, report_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.connection import connect
from cluster.errors import ClusterError, Interrupted
from cluster.folder import RunFolder, run_folder
from cluster.interruption import Interruption
from cluster.progress import report_metrics, show_progress
from cluster.trainer import fit

DEFAULTS: dict[str, Any] = {
    "iterations": 8,
    "every": 2,
    "sleep": 0.0,
    "fail_at": -1,
    "error": "ValueError",
    "die_once_at": -1,
    "hang_once_at": -1,
    "hang_aside_once_at": -1,
    "terminate_once_at": -1,
    "hang_timeout": 300.0,
    "weights": 4,
    "scores": "",
    "max_failures": 1,
    "workers": "2",
    "start_timeout": 120.0,
    "grow_every": 60.0,
    "autoscaler": "false",
}


def loop(config: dict[str, Any]) -> None:
    folder, context = RunFolder(config["folder"]), ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    iteration = 0
    if (state := load_newest_checkpoint(folder)) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        iteration = state["iteration"]
    replicas = DistributedDataParallel(model)
    run = RunSettings(hang_timeout=config["hang_timeout"], collective_timeout=60)
    scores = [float(score) for score in config["scores"].split()]
    best = Best(folder, "score" if scores else None)
    with Interruption(run, iteration) as interruption:
        while iteration < config["iterations"]:
            inputs = batch(iteration, rank, world)
            loss = (replicas(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            iteration += 1
            folder.write_bytes("started", b"")
            time.sleep(config["sleep"])
            misbehave(config, iteration, rank, folder)
            with interruption.aside():
                interruption.beat()
                misbehave(config, iteration, rank, folder, ("hang_aside",))
            decision = interruption.after(iteration)
            record = {"iteration": iteration, "iterations": config["iterations"], "workers": world}
            report_metrics({"kind": "train", **record, "loss": loss.item()})
            improved = best.improves({"score": scores[iteration - 1]}) if scores else None
            if iteration % config["every"] == 0 or decision.saves or improved:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"iteration": iteration, "ballast": torch.zeros(config["weights"])}
                with interruption.saving():
                    report_checkpoint(state, iteration, wait=decision.saves)
                    if improved and rank == 0:
                        keep_best(folder, iteration, improved)
            if decision.leaves:
                interruption.leave()


def batch(iteration: int, rank: int = 0, world: int = 1) -> torch.Tensor:
    """Return a worker's share of an iteration's 16 rows."""
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(iteration))
    return rows.chunk(world)[rank]


def misbehave(
    config: dict[str, Any],
    iteration: int,
    rank: int,
    folder: RunFolder,
    ways: Sequence[str] = ("die", "terminate", "hang"),
) -> None:
    """Fail on worker 1 as configured; what happens once leaves a file in the run folder."""
    if rank != 1:
        return
    if iteration == config["fail_at"]:
        raise {"ValueError": ValueError, "RuntimeError": RuntimeError}[config["error"]]("the toy broke on purpose")
    signals = {"die": signal.SIGKILL, "terminate": signal.SIGTERM}
    for way in ways:
        if iteration == config[f"{way}_once_at"] and not folder.exists(way):
            folder.write_bytes(way, b"")
            if way in signals:
                os.kill(os.getpid(), signals[way])
            else:
                hang()


def hang() -> None:
    threading.Event().wait()


def main(storage: str, name: str, *settings: str) -> int:
    config = DEFAULTS | {key: type(DEFAULTS[key])(value) for key, value in (text.split("=") for text in settings)}
    workers = config["workers"]
    run = RunSettings(
        name=name,
        storage=storage,
        workers=workers if ":" in workers else int(workers),
        gpu="no",
        if_exists="resume",
        max_failures=config["max_failures"],
        start_timeout=config["start_timeout"],
        grow_every=config["grow_every"],
        autoscaler=config["autoscaler"] == "true",
        collective_timeout=60,
    )
    folder = run_folder(run, "toy")
    try:
        with connect(run), show_progress() as show:
            print("resuming" if folder.claim(run.if_exists) else "starting", flush=True)
            keep = CheckpointSettings(every=config["every"], keep=2)
            task = config | {"folder": folder.location}
            fit(loop, task, run=run, checkpoint=keep, folder=folder, on_report=show)
    except ClusterError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.status
    return 0


if __name__ == "__main__":
    # The importable module, so that workers unpickle its functions by name.
    from tests.cluster import toy

    sys.exit(toy.main(*sys.argv[1:]))
