"""Feature vectors of pictures: this worker's share is computed here, and every worker gets all of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed
from torch import Tensor, nn

from aligngan.images import to_unit_range
from loaders.dataset import Modality, Picture

FEATURE = "V(x)"
FLIP_FEATURE = "V(x) + V(flip x), L2-normalised"


def extract_features(
    features: Callable[[Tensor, Modality], Tensor],
    pictures: Sequence[Picture],
    read: Callable[[list[str]], Iterable[Tensor]],
    networks: nn.Module | None = None,
    device: torch.device | str = "cpu",
    flip: bool = False,
) -> Tensor:
    """Return the features of pictures, float32 [len(pictures), D] on the CPU, in their order and on every worker.

    With a process group each worker computes the pictures rank, rank + world, ... of each modality; all workers must
    call this together. Without gradient, and with the networks in evaluation mode, restored afterwards.

    Args:
        features: V [n, D] of images float [n, 3, H, W] in [-1, 1] of one modality.
        pictures: what to compute.
        read: yields the pictures of paths in order as batches uint8 [n, 3, H, W].
        networks: those that `features` uses.
        device: where `features` computes; the process group must be able to reduce there.
        flip: `FLIP_FEATURE` in place of `FEATURE`.

    Raises:
        RuntimeError: when `read` yields another number of pictures than it was asked for.
    """
    spread = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if spread else (0, 1)
    rows: list[int] = []
    parts: list[Tensor] = []
    with torch.no_grad(), _evaluating(networks):
        for modality in ("rgb", "ir"):
            # Shared out within each modality, as RGB pictures are translated first and cost more.
            share = [row for row, picture in enumerate(pictures) if picture.modality == modality][rank::world]
            parts += _features_of(features, [pictures[row].path for row in share], modality, read, device, flip)
            rows += share
    mine = torch.cat(parts) if parts else torch.empty(0, 0, device=device)
    return _gathered(mine, rows, len(pictures), torch.device(device), spread and world > 1)


def _features_of(
    features: Callable[[Tensor, Modality], Tensor],
    paths: list[str],
    modality: Modality,
    read: Callable[[list[str]], Iterable[Tensor]],
    device: torch.device | str,
    flip: bool,
) -> Iterator[Tensor]:
    done = 0
    for batch in read(paths) if paths else ():
        images = to_unit_range(batch.to(device, non_blocking=True))
        vectors = features(images, modality).float()
        if flip:
            vectors = nn.functional.normalize(vectors + features(images.flip(-1), modality).float())
        done += len(vectors)
        yield vectors
    if done != len(paths):
        raise RuntimeError(f"{len(paths)} {modality} pictures were asked for, {done} were read")


def _gathered(mine: Tensor, rows: list[int], total: int, device: torch.device, spread: bool) -> Tensor:
    dimensions = torch.tensor([mine.shape[1]], device=device)
    if spread:
        # A worker without a picture does not know D.
        torch.distributed.all_reduce(dimensions, torch.distributed.ReduceOp.MAX)
    everything = torch.zeros(total, int(dimensions), device=device)
    if rows:
        everything[torch.tensor(rows, device=device)] = mine
    if spread:
        # Every row is one worker's and zero elsewhere, so the sum is exact.
        torch.distributed.all_reduce(everything)
    return everything.cpu()


@contextmanager
def _evaluating(networks: nn.Module | None) -> Iterator[None]:
    training = [module for module in networks.modules() if module.training] if networks is not None else []
    if networks is not None:
        networks.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
