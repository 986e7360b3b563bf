"""How what is too old leaves an offer.

- Where a network has been quiet for its retention, the offer closes there: what happened on it becomes totals. Once it
  is quiet everywhere the offer is closed as a whole.
- An act that its account took back keeps its name until no log can bring the act again. Then it is as an erased one,
  which only holds the tree together and takes every redelivery in; and what else was known of an account that has no
  other act in the offer goes with it.
"""

from collections.abc import Callable, Collection, Iterable

import msgspec

from spread import report
from spread.facts import (
    ActFact,
    Closed,
    CountsFact,
    DeleteFact,
    OfferFact,
    ProfileFact,
    TiesFact,
    decode_segment,
    encode_segment,
)
from spread.offer import Offer


def close(offer: Offer, quiet: set[str], facts: Iterable[OfferFact], place: Callable[[Offer], None]) -> Closed:
    """What an offer closes with on its quiet networks, which may be all that it is on.

    `facts` are all of it, `place` obeys the assignments.
    """
    if quiet == offer.networks():
        curve = offer.curve()
        return Closed(offer.last_at(), [*offer.report_lines()], curve.start, curve.width, curve.counts)
    part = Offer(offer.id)
    part.add([fact for fact in facts if not isinstance(fact, Closed) and getattr(fact, "network", "") in {"", *quiet}])
    place(part)
    curve, lines = part.curve(), [*map(report.encode, part.cascades()), report.encode(part.line())]
    breadths = part.generations()
    return Closed(part.last_at(), lines, curve.start, curve.width, curve.counts, sorted(quiet), breadths)


def elsewhere(facts: list[OfferFact], closed: Collection[str]) -> list[OfferFact]:
    """The facts that are not of networks where the offer has closed."""
    if not closed:
        return facts
    return [fact for fact in facts if not (isinstance(fact, ActFact | CountsFact) and fact.network in closed)]


def closed_alone(stored: bytes) -> bytes | None:
    """What stays of a stored segment of a closed offer."""
    return _encoded([fact for fact in decode_segment(stored) if isinstance(fact, Closed) and not fact.networks])


class Remains:
    """What stays of the stored segments of an open offer, some acts of which were `taken_back` long ago."""

    def __init__(self, offer: Offer, taken_back: set[str]) -> None:
        self._offer, self._taken_back = offer, taken_back
        self._named = offer.named(taken_back)

    def of(self, stored: bytes) -> bytes | None:
        """What stays of one segment."""
        facts = elsewhere(decode_segment(stored), self._offer.parts)
        return _encoded([fact for fact in map(self._remaining, facts) if fact is not None])

    def _remaining(self, fact: OfferFact) -> OfferFact | None:
        match fact:
            case ActFact() if fact.id in self._taken_back:
                return msgspec.structs.replace(fact, actor=None, followers=None)
            case DeleteFact() if fact.target in self._taken_back:
                return None
            case DeleteFact() | TiesFact() | ProfileFact() if fact.actor not in self._named:
                return None
        return fact


def _encoded(facts: list[OfferFact]) -> bytes | None:
    return encode_segment(facts) if facts else None
