"""Moving averages of the networks that retrieval uses, evaluated in their place where a run asks for them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aligngan.methods.method import Method

AVERAGED = ("translator_ir", "feature_generator")
"""G_p and G_f, as far as the method has them."""


class Averages:
    """Exponential moving averages of G_p and G_f, parameters and running statistics.

    The first update takes the networks as they are; each later one keeps `decay` of the average. Workers hold equal
    networks, so each averages by itself.
    """

    def __init__(self, method: Method, decay: float) -> None:
        self._followed = {name: method.networks[name] for name in AVERAGED if name in method.networks}
        self._models = {
            name: AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
            for name, network in self._followed.items()
        }
        for model in self._models.values():
            model.requires_grad_(False)
        averaged = {name: model.module for name, model in self._models.items()}
        self.method = Method(nn.ModuleDict({**method.networks, **averaged}), [(0, ())])

    def update(self) -> None:
        """Take in the networks after an iteration."""
        for name, model in self._models.items():
            model.update_parameters(self._followed[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the averages by network."""
        return {name: model.state_dict() for name, model in self._models.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over averages made by `state_dict`."""
        for name, model in self._models.items():
            model.load_state_dict(state[name])


def retrieval_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the networks' weights of a checkpoint's state, with moving averages in their place where it has them."""
    weights = dict(state["networks"])
    for name, averages in (state.get("averages") or {}).items():
        weights |= {
            f"{name}.{key.removeprefix('module.')}": value
            for key, value in averages.items()
            if key.startswith("module.")
        }
    return weights
