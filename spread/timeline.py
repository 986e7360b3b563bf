"""What happened to an offer in the order of time: all that the conditions are decided from."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from spread.velocity import MINUTE_MS

_LONGEST: Final = 30 * 24 * 60
"""Minutes that are looked at one by one, the latest; what was before counts as of the first of them."""

Counts = NDArray[np.int64]
Which = NDArray[np.bool_]


class Timeline(msgspec.Struct, frozen=True):
    """The living nodes of an offer by time, in parallel: `at` in ms, and what is known of each."""

    at: Counts
    is_share: Which
    network: Counts
    """A place in `networks`."""
    networks: Sequence[str]
    known_parent: Which
    """Whether its parent is declared or inferred."""
    passed_on: Which
    """Whether that parent is not the author."""
    below_one: Which
    """Whether it is in the largest subtree below a share, that share included."""
    followers: Counts
    """Stated by then or later; 0 where nobody stated any."""
    clicks: tuple[Counts, Counts]
    """Moments (ms) and how many each."""
    applications: tuple[Counts, Counts]


class Minutes:
    """The whole minutes from the first node to `now`. The value at one is of what happened up to it."""

    def __init__(self, first: int, now: int) -> None:
        last = now // MINUTE_MS
        self.start = max(-(-first // MINUTE_MS), last - _LONGEST)
        self.n = max(0, last - self.start + 1)

    def moment(self, place: int) -> int:
        """When a minute is, in ms."""
        return (self.start + place) * MINUTE_MS

    def moments(self) -> Counts:
        """When all of them are, in ms."""
        return (self.start + np.arange(self.n)) * MINUTE_MS

    def place(self, at: Counts) -> Counts:
        """The minute at which something is first seen; those not yet seen are beyond the last."""
        return np.maximum(-(-at // MINUTE_MS) - self.start, 0)

    def counted(self, at: Counts, weights: Counts | None = None) -> Counts:
        """What there was in all by each minute."""
        place = self.place(at)
        seen = place < self.n
        counts = np.bincount(place[seen], None if weights is None else weights[seen], minlength=self.n)
        return counts.cumsum().astype(np.int64)


def within(counted: Counts, minutes: int) -> Counts:
    """Of what there was in all by each minute, that of the last so many minutes."""
    before = np.zeros_like(counted)
    before[minutes:] = counted[:-minutes]
    return counted - before


def later(values: Counts, minutes: int) -> Counts:
    """The values of so many minutes ago, 0 where there were none."""
    moved = np.zeros_like(values)
    moved[minutes:] = values[:-minutes]
    return moved
