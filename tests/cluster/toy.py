"""A linear model on two workers: the smallest training that can be interrupted and resumed.

Run as a command it is what a user's command is: `python -m tests.cluster.toy STORAGE NAME key=value ...`.
"""

import os
import signal
import sys
import time
from typing import Any

import ray.train
import torch
from torch.nn.parallel import DistributedDataParallel

from cluster.checkpoints import load_newest_checkpoint, report_checkpoint
from cluster.config import CheckpointSettings, RunSettings
from cluster.connection import connect
from cluster.errors import ClusterError
from cluster.folder import RunFolder, run_folder
from cluster.progress import report_metrics, show_progress
from cluster.trainer import fit

DEFAULTS: dict[str, Any] = {
    "iterations": 8,
    "every": 2,
    "sleep": 0.0,
    "fail_at": -1,
    "error": "ValueError",
    "die_once_at": -1,
}


def loop(config: dict[str, Any]) -> None:
    folder, rank = RunFolder(config["folder"]), ray.train.get_context().get_world_rank()
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    iteration = 0
    if (state := load_newest_checkpoint(folder)) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        iteration = state["iteration"]
    replicas = DistributedDataParallel(model)
    while iteration < config["iterations"]:
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(100 * iteration + rank))
        loss = (replicas(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        iteration += 1
        time.sleep(config["sleep"])
        if iteration == config["fail_at"] and rank == 1:
            raise {"ValueError": ValueError, "RuntimeError": RuntimeError}[config["error"]]("the toy broke on purpose")
        if iteration == config["die_once_at"] and rank == 1 and not folder.exists("died"):
            folder.write_bytes("died", b"")
            os.kill(os.getpid(), signal.SIGKILL)
        report_metrics(
            {"kind": "train", "iteration": iteration, "iterations": config["iterations"], "loss": loss.item()}
        )
        if iteration % config["every"] == 0:
            report_checkpoint(
                {"iteration": iteration, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, iteration
            )


def main(storage: str, name: str, *settings: str) -> int:
    config = DEFAULTS | {key: type(DEFAULTS[key])(value) for key, value in (text.split("=") for text in settings)}
    run = RunSettings(name=name, storage=storage, workers=2, gpu="no", if_exists="resume", max_failures=1)
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
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    # The importable module, so that workers unpickle its functions by name.
    from tests.cluster import toy

    sys.exit(toy.main(*sys.argv[1:]))
