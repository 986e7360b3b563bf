"""OFFERS: the cascades of each offer.

Keyed by offer. It keeps the facts that PEOPLE sends, and answers for what follows from them. An act whose root a
person assigned to another offer is sent there by way of PEOPLE, so that the facts about its account follow it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from spread import report
from spread.events import smaller
from spread.facts import (
    ActFact,
    AssignFact,
    Closed,
    DeleteFact,
    EraseFact,
    Fact,
    OfferFact,
    ProfileFact,
    TiesFact,
    decode_segment,
    digest,
    encode_segment,
)
from spread.offer import Offer
from streams import heap, ledger
from streams.health import Health
from streams.stage import MEMORY, Emit, Kept
from streams.table import Table
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS

_FACTS_A_SEGMENT: Final = 2_000


class _Busy:
    """An offer and its facts that are not stored yet."""

    __slots__ = ("news", "offer")

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.news: list[OfferFact] = []

    def nbytes(self) -> int:
        return self.offer.nbytes()


class Offers:
    """The second stage. Not thread-safe."""

    name = "offers"

    def __init__(self, health: Health, *, retention_ms: int | None = None, memory: int = MEMORY) -> None:
        self._health = health
        self._retention_ms = retention_ms
        self._offers = Kept(self._load, _news, _merged, memory)
        self._forgotten: set[int] | None = None
        self._assignments: dict[str, AssignFact] = {}
        self._assigned: dict[str, str] = {}
        """The offer that each corrected root belongs to."""
        self.acted: dict[str, None] | None = None
        """The offers that facts have come of, for one who asks for them."""

    def apply(self, batch: Iterable[tuple[str | None, Fact]], table: Table, emit: Emit, now: int) -> None:
        """Take facts in, each with the offer it is for, or None if it is for all."""
        self._read(table)
        # Offer by offer, so that what is at hand of one is used again and again.
        of: dict[str, list[OfferFact]] = {}
        for key, fact in batch:
            if isinstance(fact, EraseFact | AssignFact):
                self._take_all(of, table, emit)
                of = {}
                self._correct(fact, table, emit)
            else:
                assert key is not None
                facts = of.get(key)
                if facts is None:
                    of[key] = [fact]
                else:
                    facts.append(fact)
        self._take_all(of, table, emit)

    def flush(self, table: Table) -> None:
        """Write what is new to the table."""
        self._offers.flush(table)

    def drop(self) -> None:
        """Forget what is in memory; the table is the truth."""
        self._offers.drop()
        self._forgotten, self._assignments, self._assigned = None, {}, {}

    def offer(self, id: str, table: Table) -> Offer:
        """One offer, to ask it. An unknown one is empty."""
        self._read(table)
        return self._offers.get(id, table).offer

    def note(self, id: str, fact: OfferFact) -> None:
        """Have a fact kept of an offer that was just asked for."""
        busy = self._offers.at_hand(id)
        busy.news += busy.offer.add([fact])
        self._offers.touch(id)

    def loaded(self) -> Iterator[Offer]:
        """The offers in memory."""
        return (busy.offer for busy in self._offers.loaded())

    def knows(self, id: str, table: Table) -> bool:
        """Whether any fact of an offer has come."""
        return self._offers.has(id, table)

    @heap.growing()
    def warm_up(self, table: Table) -> None:
        """Bring stored offers to memory, as many as it may take."""
        for key in self.ids(table):
            if self._offers.is_full:
                break
            self.offer(key, table)

    def ids(self, table: Table) -> list[str]:
        """All offers."""
        return self._offers.keys(table)

    def expire(self, table: Table, now: int) -> None:
        """Close offers without an act since the retention: their totals and curve stay, the rest goes."""
        if self._retention_ms is None:
            return
        self._read(table)
        for key, busy in self._offers.sweep(table):
            offer, last = busy.offer, busy.offer.last_at()
            if offer.closed is not None and offer.nodes():
                self._offers.rewrite(key, table, _closed_alone)  # what it closed with was stored before
            elif offer.closed is None and 0 < last < now - self._retention_ms:
                lines = [*map(report.encode, offer.cascades()), report.encode(offer.line())]
                curve = offer.curve()
                busy.news.append(Closed(last, lines, curve.start, curve.width, curve.counts))
                offer.add(busy.news[-1:])
                self._offers.touch(key)

    def _take_all(self, of: dict[str, list[OfferFact]], table: Table, emit: Emit) -> None:
        if self.acted is not None:
            self.acted.update(dict.fromkeys(of))
        for key, facts in of.items():
            busy = self._offers.get(key, table)
            if busy.offer.closed is not None:
                self._health.expired += len(facts)
                continue
            self._take(busy, self._allowed(facts) if self._forgotten else facts, emit)
            if busy.news:
                self._offers.touch(key)

    def _take(self, busy: _Busy, facts: list[OfferFact], emit: Emit) -> None:
        offer = busy.offer
        if self._assigned:
            for root in self._assigned.keys() & {fact.root for fact in facts if isinstance(fact, ActFact)}:
                offer.place(root, self._assigned[root])
        news = offer.add(facts)
        busy.news += news
        if offer.has_guests:
            # What a guest sent here itself, and says nothing new, was sent on before.
            said = {id(fact) for fact in news}
            for fact in facts:
                if isinstance(fact, ActFact) and (fact.offer == offer.id or id(fact) in said):
                    _send_guests(offer, fact, emit)

    def _correct(self, fact: EraseFact | AssignFact, table: Table, emit: Emit) -> None:
        if isinstance(fact, EraseFact):
            self._erase(fact, table)
        else:
            self._assign(fact, table, emit)

    def _assign(self, fact: AssignFact, table: Table, emit: Emit) -> None:
        ledger.assign(table, fact)
        self._merge_assignment(fact)
        before, self._assigned = self._assigned, _latest(self._assignments.values())
        roots = {root for root in before.keys() | self._assigned.keys() if before.get(root) != self._assigned.get(root)}
        for _, busy in self._offers.sweep(table):
            offer = busy.offer
            for root in roots | {fact.root, self._assignments[fact.id].root}:
                if offer.rooted_at(root):
                    if root in self._assigned:
                        offer.place(root, self._assigned[root])
                    else:
                        offer.unplace(root)
                    _send_guests(offer, None, emit)

    def _merge_assignment(self, fact: AssignFact) -> None:
        known = self._assignments.get(fact.id)
        if known is not None:
            fact = AssignFact(
                fact.id, smaller(known.at, fact.at), smaller(known.root, fact.root), smaller(known.offer, fact.offer)
            )
        self._assignments[fact.id] = fact

    def _erase(self, fact: EraseFact, table: Table) -> None:
        """Erase an account from every offer. Done again each time: a crash can have lost a part of the last."""
        assert self._forgotten is not None
        gone = digest(fact.actor)
        self._forgotten.add(gone)
        ledger.forget(table, gone)
        traces = (fact.actor.encode(), gone.to_bytes(8, "little"))
        self._offers.erase(table, traces, lambda _, stored: self._nameless(stored))

    def _nameless(self, stored: bytes) -> bytes:
        return encode_segment(self._allowed(decode_segment(stored)))

    def _allowed(self, facts: Iterable[OfferFact]) -> list[OfferFact]:
        """What is left of some facts without the accounts that were erased."""
        return [fact for fact in map(self._without_forgotten, facts) if fact is not None]

    def _without_forgotten(self, fact: OfferFact) -> OfferFact | None:
        """A fact without the accounts that were erased, or None if nothing is left of it."""
        assert self._forgotten is not None
        match fact:
            case ActFact():
                if fact.actor is not None and digest(fact.actor) in self._forgotten:
                    return msgspec.structs.replace(fact, actor=None, followers=None)
            case DeleteFact() | ProfileFact():
                return None if digest(fact.actor) in self._forgotten else fact
            case TiesFact():
                if digest(fact.actor) in self._forgotten:
                    return None
                gone = np.array(sorted(self._forgotten), dtype=np.uint64)
                sides = {
                    side: who[~np.isin(who, gone)].tobytes()
                    for side in ("follows", "unfollows", "followed_by")
                    if (packed := getattr(fact, side)) and len(who := np.frombuffer(packed, np.uint64))
                }
                return msgspec.structs.replace(fact, **sides)
        return fact

    def _read(self, table: Table) -> None:
        if self._forgotten is None:
            self._forgotten = ledger.forgotten(table)
            self._assignments = {}
            for fact in ledger.assignments(table):
                self._merge_assignment(fact)
            self._assigned = _latest(self._assignments.values())

    def _load(self, key: str, segments: list[bytes]) -> _Busy:
        offer = Offer(key)
        for stored in segments:
            facts = decode_segment(stored)
            # A writer that had not heard of an erasure yet may have stored what it knew once more.
            offer.add(self._allowed(facts) if self._forgotten else facts)
        for root, assigned in self._assigned.items():
            if offer.rooted_at(root):
                offer.place(root, assigned)
        return _Busy(offer)


def _send_guests(offer: Offer, fact: ActFact | None, emit: Emit) -> None:
    """Send acts that count for another offer to it, by way of their account; what was erased has none."""
    for other, guest in offer.guests(fact) if offer.has_guests else ():
        if guest.actor is None:
            emit(OFFER_EVENTS, other, guest)
        else:
            emit(SOCIAL_EVENTS, guest.actor, guest.event(other))


def _latest(facts: Iterable[AssignFact]) -> dict[str, str]:
    return {fact.root: fact.offer for fact in sorted(facts, key=lambda fact: (fact.at, fact.id))}


def _news(busy: _Busy) -> list[bytes]:
    news, busy.news = busy.news, []
    return _segments(news)


def _segments(facts: list[OfferFact]) -> list[bytes]:
    return [encode_segment(facts[n : n + _FACTS_A_SEGMENT]) for n in range(0, len(facts), _FACTS_A_SEGMENT)]


def _merged(segments: list[bytes]) -> bytes:
    return encode_segment([fact for stored in segments for fact in decode_segment(stored)])


def _closed_alone(stored: bytes) -> bytes | None:
    closed: list[OfferFact] = [fact for fact in decode_segment(stored) if isinstance(fact, Closed)]
    return encode_segment(closed) if closed else None
