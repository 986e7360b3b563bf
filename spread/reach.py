"""How many accounts an offer can have reached: what is known, and bounds for what is not.

Reach counts distinct accounts that follow somebody who posted or shared. Known are those seen in lists of ties. For
a participant whose lists are not whole, its stated follower count a bounds what is missing:

    low = max(known, largest a)    high = max(low, sum of a)
    estimate = sum of a * known / sum of known followers, within low..high

that is, the overlap seen among known followers is taken for the overlap of all; where no follower is known, the
geometric mean of low and high. Accounts of different networks are different accounts, so the bounds of networks are
summed.

Beyond a million the known are counted by a bottom-k sketch over 64-bit digests (Beyer, Haas, Reinwald, Sismanis &
Gemulla 2007): a function of the set alone, so neither order nor a deletion can bend it. Its standard error is
1/sqrt(k - 2) = 0.4 %.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from spread.arrays import distinct
from spread.facts import Digests

EXACT: Final = 1_000_000
K: Final = 65_536
_SPAN: Final = 2**64
_NONE: Final[Digests] = np.empty(0, np.uint64)


class Reach(msgspec.Struct, frozen=True):
    """Distinct accounts: known ones, and bounds. None where a follower count is missing."""

    known: int
    low: int
    estimate: int | None
    high: int | None
    beyond: int | None
    """Known accounts that follow no author of a root."""


@dataclass(frozen=True)
class Audience:
    """The followers of some participants, in parallel."""

    network: NDArray[np.int64]
    """A number for the network of each."""
    stated: NDArray[np.int64]
    """The latest stated follower count of each, -1 without."""
    known: Mapping[int, Digests]
    """The known followers, by place, of those who have any."""

    def of(self, places: NDArray[np.intp]) -> "Audience":
        """The same of some of the participants."""
        known = {new: self.known[old] for new, old in enumerate(places.tolist()) if old in self.known}
        return Audience(self.network[places], self.stated[places], known)


class Distinct:
    """The union of some sets of accounts: exact up to a million, beyond that the k smallest digests."""

    def __init__(self, sets: Collection[Digests], *, exact: int = EXACT, k: int = K) -> None:
        found = _union_up_to(sets, max(exact, k - 1))
        self.sampled = found is None
        if found is None:
            self.members = _smallest(sets, k)
            self.size = (k - 1) * _SPAN // (int(self.members[-1]) + 1)
        else:
            self.members, self.size = found, len(found)

    def outside(self, sets: Sequence[Digests]) -> int:
        """How many of the union are in none of these sets."""
        other = _union(sets, int(self.members[-1]) if self.sampled else _SPAN - 1)
        outside = len(self.members) - int(np.isin(self.members, other, assume_unique=True).sum())
        return outside * self.size // len(self.members) if self.sampled else outside


def _union_up_to(sets: Collection[Digests], limit: int) -> Digests | None:
    """The distinct members of some sets, or None as soon as there are more than `limit`."""
    if not sets:
        return _NONE
    union, waiting, size = _NONE, [], 0
    for one in sets:
        waiting.append(one)
        size += len(one)
        if size > limit:
            union, waiting, size = distinct(np.concatenate([union, *waiting])), [], 0
            if len(union) > limit:
                return None
    union = distinct(np.concatenate([union, *waiting]))
    return union if len(union) <= limit else None


def _union(sets: Iterable[Digests], below: int) -> Digests:
    """The distinct members of sorted sets, up to a digest."""
    parts = [one[: int(np.searchsorted(one, np.uint64(below), side="right"))] for one in sets]
    return distinct(np.concatenate([_NONE, *parts]))


def _smallest(sets: Collection[Digests], k: int) -> Digests:
    """The k smallest distinct members of sorted sets that have as many."""
    below = min(_SPAN - 1, 2 * k * _SPAN // sum(map(len, sets)))
    while len(found := _union(sets, below)) < k:
        below = min(_SPAN - 1, 4 * below)
    return found[:k]


def reach(participants: Audience, authors: Sequence[Digests] | None) -> Reach:
    """The reach of some participants.

    `authors` are the known followers of the author of each root, None if a root is not living.
    """
    everybody = Distinct(participants.known.values())
    networks = distinct(participants.network)
    low, estimate, high, whole = 0, 0, 0, True
    for network in networks:
        mine = participants
        if len(networks) > 1:
            mine = participants.of(np.flatnonzero(participants.network == network))
        known = everybody.size if mine is participants else Distinct(mine.known.values()).size
        sizes, summed = mine.stated.copy(), 0
        for place, followers in mine.known.items():
            sizes[place] = max(len(followers), sizes[place])
            summed += len(followers)
        network_low = max(known, int(sizes.max()))
        low += network_low
        if sizes.min() < 0:
            whole = False
        else:
            total = int(sizes.sum())
            network_high = max(network_low, total)
            high += network_high
            estimate += _estimate(network_low, network_high, total, known, summed)
    beyond = None
    if authors and all(len(followers) for followers in authors):
        beyond = everybody.outside(authors)
    return Reach(everybody.size, low, estimate if whole else None, high if whole else None, beyond)


def _estimate(low: int, high: int, total: int, known: int, summed: int) -> int:
    guess = (total * known + summed // 2) // summed if summed else isqrt(low * high)
    return min(max(guess, low), high)


def by_generation(generations: Sequence[Sequence[Digests]]) -> list[int]:
    """Known accounts first reached at each depth, from the known followers of the participants at each depth."""
    reached: list[Digests] = []
    before = 0
    news = []
    for sets in generations:
        reached.extend(sets)
        size = Distinct(reached).size
        news.append(max(0, size - before))
        before = max(before, size)
    return news
