"""What the workers send each other in an iteration: once the gradients of the networks that each phase trains."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from aligngan.training.state import TrainingState
from aligngan.training.step import PhaseStep
from tests.method.small import METHODS, PERSONS, batch, small_config


def reduced_bytes(method: str) -> dict[str, dict[str, float]]:
    """Train one iteration; return by phase the bytes that DDP reduced, the phase's own, and those of all networks."""
    counted: dict[str, float] = {}

    class Counting(PhaseStep):
        def _average(self, state: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            counted[self.phase.name] = counted.get(self.phase.name, 0.0) + bucket.buffer().nbytes
            return super()._average(state, bucket)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aligngan.training.state.PhaseStep", Counting)
        state = TrainingState(small_config(method), PERSONS, torch.device("cpu"))
    rgb, ir, labels = (part.chunk(dist.get_world_size())[dist.get_rank()] for part in batch())
    found = {}
    for phase in state.method.phases_at(0):
        state.steps[phase.name].run(rgb, ir, labels, 1.0)
        own = sum(parameter.nbytes for name in phase.trains for parameter in state.method.networks[name].parameters())
        everything = sum(parameter.nbytes for parameter in state.method.networks.parameters())
        found[phase.name] = {"reduced": counted[phase.name], "own": own, "all": everything}
    return found


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = {method: reduced_bytes(method) for method in METHODS}
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, dict[str, float]]]]:
    folder = tmp_path_factory.mktemp("bytes")
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("method", METHODS)
def test_each_phase_sends_the_gradients_of_its_own_networks_once(
    found: list[dict[str, dict[str, dict[str, float]]]], method: str
) -> None:
    for worker in found:
        for phase, sizes in worker[method].items():
            assert sizes["reduced"] == sizes["own"], phase
    if method == "aligngan":
        assert all(sizes["own"] < sizes["all"] for sizes in found[0][method].values())
        assert len(found[0][method]) == 3
