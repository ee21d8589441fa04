"""Which pictures make up the batch of a step: a pure function of seed, stream, step, rank and world."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, log

import numpy as np
import numpy.typing as npt

from loaders.dataset import Modality, Picture

# What a number is drawn for; together with the seed, the stream, a subject and an index it addresses one
# block of the counter-based generator, so that nothing that is drawn depends on what was drawn before.
_PERSONS, _RGB_PICTURES, _IR_PICTURES, _RGB_CHANGES, _IR_CHANGES = range(5)

# Random erasing as in Zhong et al. 2017: share of the picture's area, and height to width.
_ERASED_AREA = (0.02, 0.4)
_ERASED_ASPECT = (0.3, 1 / 0.3)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedHalf:
    """The N pictures of one modality in a batch and what is done to each.

    pictures int64 [N], index into the sequence that the plan was made from; flip bool [N];
    crop int32 [N, 2], rows and columns by which the window is moved on the picture, from -pad to pad;
    erase int32 [N, 4], top, left, height and width of the erased box, height and width 0 for none.
    """

    pictures: npt.NDArray[np.int64]
    flip: npt.NDArray[np.bool_]
    crop: npt.NDArray[np.int32]
    erase: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedRows:
    """One rank's rows of one batch: row i of both halves is the person `labels[i]` (int64 [N], index in `persons`)."""

    rgb: PlannedHalf
    ir: PlannedHalf
    labels: npt.NDArray[np.int64]


def _raw(seed: int, stream: int, purpose: int, subject: int, index: int, count: int) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit integers at one address."""
    # Philox's own output is fixed for good, while numpy's methods that build on it may change.
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, subject, purpose], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


@lru_cache(maxsize=4096)
def dealt(
    seed: int, stream: int, purpose: int, subject: int, items: int, hand: int, cycle: int
) -> npt.NDArray[np.int32]:
    """Hands dealt from shuffled rounds of `items` cards; int32 [items / gcd(items, hand), hand].

    Rounds follow each other without a gap, so a hand may begin in one round and end in the next: that round
    then starts with its first cards that the hand does not hold yet. No hand holds a card twice, and every round
    deals every card once. With fewer cards than a hand takes, the rounds are simply laid end to end.
    A cycle ends where the end of a hand meets the end of a round; cycles are independent of each other.
    """
    rounds = hand // gcd(items, hand)
    order = (
        _raw(seed, stream, purpose, subject, cycle, rounds * items)
        .reshape(rounds, items)
        .argsort(axis=1, kind="stable")
    )
    if hand <= items:
        for number in range(1, rounds):
            begun = number * items % hand
            held = np.zeros(items, dtype=bool)
            held[order[number - 1, items - begun :]] = True
            first = np.flatnonzero(~held[order[number]])[: hand - begun]
            order[number] = np.concatenate([order[number, first], np.delete(order[number], first)])
    hands = order.reshape(-1, hand).astype(np.int32)
    hands.setflags(write=False)
    return hands


class BatchPlan:
    """Identity-aligned batches: P persons times K pictures of each modality, and how each picture is changed.

    - Row i of the RGB half and row i of the IR half are the same person; persons stand in blocks of K rows.
    - Persons are distinct within a batch. Each is drawn once an epoch, an epoch being a shuffled round of all
      persons. Where P does not divide their number, the batch at the end of an epoch is filled from the next one,
      which then starts with persons that this batch does not hold yet.
    - The pictures of a person are dealt likewise, K at a time: none twice in a batch, every one once a round.
      A person with fewer than K pictures in a modality gets reshuffled rounds of them, one after the other.
    - Persons with pictures in only one modality cannot be aligned and are never drawn; they keep their label.
    - Ranks take contiguous blocks of persons: the ranks' rows one below the other are the batch of one rank.

    A stream is an independent sequence of batches from the same pictures.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        persons_per_batch: int,
        images_per_person: int,
        seed: int,
        image_size: tuple[int, int],
        stream: int = 0,
        flip: float = 0.5,
        pad: int = 0,
        erase: float = 0.0,
    ) -> None:
        """Raises ValueError when there are fewer than P persons with pictures in both modalities, and on `pad`."""
        self.pictures = tuple(pictures)
        self.persons = tuple(sorted({picture.person for picture in self.pictures}))
        self.persons_per_batch = persons_per_batch
        self.images_per_person = images_per_person
        self.seed = seed
        self.stream = stream
        self.image_size = image_size
        self.flip = flip
        self.pad = pad
        self.erase = erase
        rgb, ir = self._by_label("rgb"), self._by_label("ir")
        self._places = {"rgb": rgb, "ir": ir}
        self._labels = np.array(sorted(rgb.keys() & ir.keys()), dtype=np.int64)
        self._rgb = [rgb[label] for label in self._labels.tolist()]
        self._ir = [ir[label] for label in self._labels.tolist()]
        if len(self._labels) < persons_per_batch:
            raise ValueError(
                f"a batch takes {persons_per_batch} persons (persons_per_batch), but only {len(self._labels)} of the "
                f"{len(self.persons)} persons have pictures in both modalities"
            )
        if pad >= min(image_size):
            raise ValueError(f"pad is {pad}, which must be smaller than the image's shorter side of {min(image_size)}")

    @property
    def drawn_persons(self) -> tuple[int, ...]:
        """Persons with pictures in both modalities, sorted: those that batches are made of."""
        return tuple(self.persons[label] for label in self._labels.tolist())

    def rows(self, step: int, rank: int = 0, world: int = 1) -> PlannedRows:
        """Return the N = persons_per_batch / world * images_per_person rows of `rank` at `step` (from 0).

        Raises ValueError when the persons of a batch cannot be shared equally by `world` ranks.
        """
        size = self.persons_per_batch
        if size % world:
            raise ValueError(
                f"persons_per_batch is {size}, which {world} workers cannot share equally: "
                f"make it a multiple of {world}"
            )
        if not 0 <= rank < world or step < 0:
            raise ValueError(f"no such batch: step {step}, rank {rank} of {world}")
        share = size // world
        mine = slice(rank * share, (rank + 1) * share)
        count = len(self._labels)
        common = gcd(count, size)
        cycle, hand = divmod(step, count // common)
        persons = dealt(self.seed, self.stream, _PERSONS, 0, count, size, cycle)[hand, mine]
        # A person is drawn once an epoch, so the epoch's number is the number of that person's earlier appearances.
        epochs = cycle * (size // common) + (hand * size + np.arange(size)[mine]) // count
        appearances = list(zip(persons.tolist(), epochs.tolist(), strict=True))
        return PlannedRows(
            rgb=self._half(self._rgb, _RGB_PICTURES, _RGB_CHANGES, appearances, step, mine),
            ir=self._half(self._ir, _IR_PICTURES, _IR_CHANGES, appearances, step, mine),
            labels=np.repeat(self._labels[persons], self.images_per_person),
        )

    def others(self, index: int) -> list[int]:
        """Return the other pictures of the same person and modality, beginning with the one that follows `index`."""
        picture = self.pictures[index]
        label = self.persons.index(picture.person)
        mine = self._places[picture.modality][label].tolist()
        place = mine.index(index)
        return mine[place + 1 :] + mine[:place]

    def _by_label(self, modality: Modality) -> dict[int, npt.NDArray[np.int64]]:
        labels = {person: label for label, person in enumerate(self.persons)}
        found: dict[int, list[int]] = {}
        for index, picture in enumerate(self.pictures):
            if picture.modality == modality:
                found.setdefault(labels[picture.person], []).append(index)
        return {label: np.array(indices, dtype=np.int64) for label, indices in found.items()}

    def _half(
        self,
        pictures: list[npt.NDArray[np.int64]],
        deck: int,
        changes: int,
        appearances: list[tuple[int, int]],
        step: int,
        mine: slice,
    ) -> PlannedHalf:
        each = self.images_per_person
        hands = []
        for person, appearance in appearances:
            items = len(pictures[person])
            cycle, hand = divmod(appearance, items // gcd(items, each))
            hands.append(pictures[person][dealt(self.seed, self.stream, deck, person, items, each, cycle)[hand]])
        # Drawn for the whole batch, so that a row's changes do not depend on how many ranks share the batch.
        raw = _raw(self.seed, self.stream, changes, 0, step, self.persons_per_batch * each * 8).reshape(-1, 8)
        uniform = (raw[mine.start * each : mine.stop * each] >> np.uint64(11)) * 2.0**-53
        return PlannedHalf(
            pictures=np.concatenate(hands),
            flip=uniform[:, 0] < self.flip,
            crop=(np.floor(uniform[:, 1:3] * (2 * self.pad + 1)) - self.pad).astype(np.int32),
            erase=self._boxes(uniform[:, 3:]),
        )

    def _boxes(self, uniform: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
        """Boxes from [N, 5] uniform numbers; sides that would leave the picture are cut to it, not drawn again."""
        height, width = self.image_size
        low, high = _ERASED_AREA
        area = (low + uniform[:, 1] * (high - low)) * height * width
        low, high = _ERASED_ASPECT
        aspect = np.exp(log(low) + uniform[:, 2] * (log(high) - log(low)))
        tall = np.clip(np.rint(np.sqrt(area * aspect)), 1, height)
        wide = np.clip(np.rint(np.sqrt(area / aspect)), 1, width)
        top = np.floor(uniform[:, 3] * (height - tall + 1))
        left = np.floor(uniform[:, 4] * (width - wide + 1))
        boxes = np.stack([top, left, tall, wide], axis=1)
        boxes[uniform[:, 0] >= self.erase] = 0
        return boxes.astype(np.int32)
