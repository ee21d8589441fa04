"""Everything of a training that a checkpoint has to hold, and its way in and out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from aligngan.config import Config, dump
from aligngan.distributed import synchronize_batch_norm
from aligngan.methods.method import Method, build_method
from aligngan.training.averages import Averages
from aligngan.training.compiled import compile_networks
from aligngan.training.step import PhaseStep, autocast_type

FORMAT = 1
"""Version of the checkpoint's keys; raised when they change."""


class CheckpointMismatch(ValueError):
    """A checkpoint that does not fit the configuration it is loaded for."""


class TrainingState:
    """Networks, optimisers and the number of iterations done.

    Batches, augmentations and dropout are functions of (seed, iteration, rank), so nothing of theirs is state.
    """

    def __init__(self, config: Config, num_identities: int, device: torch.device) -> None:
        torch.manual_seed(config.train.seed)
        self.config = config
        self.iteration = 0
        self.method: Method = build_method(config, num_identities)
        layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
        self.method.networks.to(device).to(memory_format=layout)
        synchronize_batch_norm(self.method.networks, device)
        if config.train.compile:
            compile_networks(self.method.networks)
        autocast = autocast_type(config.train.precision, device)
        clip_norm = config.optimizer.clip_norm
        self.steps = {phase.name: PhaseStep(phase, device, autocast, clip_norm) for phase in self.method.phases}
        self.averages = Averages(self.method, config.train.ema_decay) if config.train.ema_decay else None

    @property
    def evaluated(self) -> Method:
        """The method with the weights that retrieval uses: moving averages where the run keeps them."""
        return self.method if self.averages is None else self.averages.method

    def state_dict(self) -> dict[str, Any]:
        """Return the state as nested dictionaries of tensors and plain values, loadable with `weights_only`."""
        return {
            "format": FORMAT,
            "iteration": self.iteration,
            "method": self.config.method,
            "config": dump(self.config),
            "networks": self.method.networks.state_dict(),
            "optimizers": {name: step.optimizer.state_dict() for name, step in self.steps.items()},
            "averages": None if self.averages is None else self.averages.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `state_dict`; raises CheckpointMismatch where it is of another kind."""
        check_format(state, self.config.method)
        self.method.networks.load_state_dict(state["networks"])
        for name, step in self.steps.items():
            step.load_optimizer(state["optimizers"][name])
        if self.averages is not None:
            self._load_averages(state)
        self.iteration = state["iteration"]

    def _load_averages(self, state: Mapping[str, Any]) -> None:
        assert self.averages is not None
        if state.get("averages") is None:
            # Averaging was switched on for a run that goes on: it begins with the networks as they are now.
            self.averages.update()
        else:
            self.averages.load_state_dict(state["averages"])


def check_format(state: Mapping[str, Any], method: str) -> None:
    """Raise CheckpointMismatch where a checkpoint is of a newer format or of another method."""
    if state["format"] > FORMAT:
        raise CheckpointMismatch(
            f"the checkpoint has format {state['format']}, this version reads up to {FORMAT}: install a newer version"
        )
    if state["method"] != method:
        raise CheckpointMismatch(f"the checkpoint is of method {state['method']}, the configuration asks for {method}")


def seed_iteration(seed: int, iteration: int, rank: int) -> None:
    """Seed dropout for one iteration on one worker, so that a resumed run draws what it would have drawn."""
    torch.manual_seed(int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1, np.uint64)[0]))
