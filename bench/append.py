"""What another node costs a large offer, against a small one.

Small batches are taken in and settled; a batch of the one and a batch of the other take turns.
"""

import gc
from statistics import median
from time import process_time
from typing import Final

from bench.result import Result
from bench.trees import Cascade
from spread.offer import Offer

LARGE: Final = 1_000_000
SMALL: Final = 1_000
RATIO: Final = 1.5
_BATCH: Final = 100
_ROUNDS: Final = 300
_BATCHES_A_SMALL: Final = 3
"""After so many a small offer is no longer small, and the next one takes its place."""


def measure() -> list[Result]:
    """The cost of a node appended at a million nodes, as a multiple of that at a thousand."""
    large = _Growing(LARGE, LARGE + _ROUNDS * _BATCH, 1)
    at_large, at_small = [], []
    gc.collect()
    for round_ in range(_ROUNDS):
        if round_ % _BATCHES_A_SMALL == 0:
            small = _Growing(SMALL, SMALL + _BATCHES_A_SMALL * _BATCH, 2 + round_)
        at_small.append(small.append())
        at_large.append(large.append())
    ratio = median(at_large) / median(at_small)
    return [Result("appending at 1,000,000 nodes, to 1,000", ratio, at_most=RATIO)]


class _Growing:
    """An offer that was settled at a size, and grows on in batches."""

    def __init__(self, size: int, room: int, seed: int) -> None:
        self._cascade = Cascade("offer", room, seed)
        self._offer = Offer("offer")
        for _ in range(size // _BATCH):
            self._offer.add([self._cascade.next() for _ in range(_BATCH)])
        self._offer.settle()

    def append(self) -> float:
        """Seconds for the next batch."""
        facts = [self._cascade.next() for _ in range(_BATCH)]
        started = process_time()
        self._offer.add(facts)
        self._offer.settle()
        return process_time() - started
