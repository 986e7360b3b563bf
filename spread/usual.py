"""What a company's past offers usually did by an age, so that an offer is held against its equals.

Ages are counted from the first post. A past offer is one whose first week is over: later ages are not compared. Closed
offers, of which only the curve is left, count like the others.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from spread.events import DAY_MS
from spread.velocity import MINUTE_MS, Curve

PAST_MS: Final = 7 * DAY_MS
FEWEST: Final = 5
"""With fewer past offers nothing is usual: the highest of four is no measure of what is rare."""
_HALF_HOUR: Final = 30 * MINUTE_MS
AGES: Final = np.array([0, *(_HALF_HOUR * 2**n for n in range(8)), 4 * DAY_MS, PAST_MS], dtype=np.int64)
"""In ms. Attention fades about as a power of the age, so the ages double."""
_BUSY: Final = 0.9
"""The share of past offers that were slower than what is called busy."""

Totals = NDArray[np.float64]
"""Shares of one offer by each of `AGES`."""


class Usual(msgspec.Struct, frozen=True):
    """Of some past offers: the median of their shares by each of `AGES`, and what a busy one gets a minute between."""

    offers: int
    total: Totals
    busy: NDArray[np.float64]

    def total_at(self, age: NDArray[np.int64]) -> NDArray[np.float64]:
        """The usual number of shares by an age (ms)."""
        return np.interp(age, AGES, self.total)

    def busy_at(self, age: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shares a minute that nine tenths of past offers did not have at an age (ms)."""
        place = np.searchsorted(AGES, age, side="right") - 1
        return self.busy[np.clip(place, 0, len(self.busy) - 1)]


def totals(first: int, curve: Curve) -> Totals:
    """The shares of an offer, first posted at `first` (ms), by each of `AGES`; evenly spread within a bucket."""
    edges = curve.start + curve.width * np.arange(len(curve.counts) + 1)
    shares: Totals = np.interp(first + AGES, edges, np.cumsum([0, *curve.counts]))
    return shares


def usual(past: Sequence[Totals]) -> Usual | None:
    """What is usual among some past offers, None if they are too few."""
    if len(past) < FEWEST:
        return None
    every = np.stack(past)
    rates = np.diff(every, axis=1) / (np.diff(AGES) / MINUTE_MS)
    return Usual(len(past), np.median(every, axis=0), np.quantile(rates, _BUSY, axis=0))
