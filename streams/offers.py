"""OFFERS: the cascades of each offer.

Keyed by offer. It keeps the facts that PEOPLE sends, and answers for what follows from them. An act whose root a
person assigned to another offer is sent there by way of PEOPLE, so that the facts about its account follow it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

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
    encode_segment,
    pack,
)
from spread.offer import Offer
from streams import expiry, heap, ledger
from streams.health import Health
from streams.keeping import FOREVER, Horizons, Keeping
from streams.stage import MEMORY, Emit, Kept
from streams.suppression import Suppressed
from streams.table import Table
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS

_FACTS_A_SEGMENT: Final = 2_000


class _Busy:
    """An offer and its facts that are not stored yet."""

    __slots__ = ("has_leftovers", "news", "offer")

    def __init__(self, offer: Offer, *, has_leftovers: bool) -> None:
        self.offer = offer
        self.has_leftovers = has_leftovers
        """Whether facts are stored that the offer has closed with since."""
        self.news: list[OfferFact] = []

    def nbytes(self) -> int:
        return self.offer.nbytes()


class Offers:
    """The second stage. Not thread-safe."""

    name = "offers"

    def __init__(self, health: Health, *, keeping: Keeping = FOREVER, memory: int = MEMORY) -> None:
        self._health = health
        self._keeping = keeping
        self._offers = Kept(self._load, _news, _merged, memory)
        self._suppressed: Suppressed | None = None
        self._assignments: dict[str, AssignFact] = {}
        self._assigned: dict[str, str] = {}
        """The offer that each corrected root belongs to."""
        self.acted: dict[str, None] | None = None
        """The offers that facts have come of, for one who asks for them."""
        self.erased_from: set[str] = set()
        """The offers that the last batch erased an account from."""

    def apply(self, batch: Iterable[tuple[str | None, Fact]], table: Table, emit: Emit, now: int) -> None:
        """Take facts in, each with the offer it is for, or None if it is for all."""
        self._read(table)
        self.erased_from = set()
        # Offer by offer, so that what is at hand of one is used again and again.
        of: dict[str, list[OfferFact]] = {}
        for key, fact in batch:
            if isinstance(fact, EraseFact | AssignFact):
                self._take_all(of, table, emit)
                of = {}
                self._correct(fact, table, emit, now)
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
        self._suppressed, self._assignments, self._assigned = None, {}, {}

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

    def take_rewritten(self) -> bool:
        """Whether anything was erased or has expired since this was last asked."""
        rewritten, self._offers.is_rewritten = self._offers.is_rewritten, False
        return rewritten

    def expiring(self, table: Table, now: int) -> Iterator[None]:
        """Let go of what is too old (see `streams.expiry`), and of who was erased so long ago that none can come back.

        Offer by offer: something else may be done meanwhile. What an offer closes with is safe before its facts go:
        they are left out at once, and go with the next sweep.
        """
        after_ms = self._keeping.suppression_ms
        if after_ms is None:
            return
        self._read(table)
        assert self._suppressed is not None
        self._suppressed.expire(table, now, after_ms)
        horizons = self._keeping.horizons(now)
        for key, busy in self._offers.sweep(table):
            self._expire(key, busy, table, now, horizons)
            yield

    def _expire(self, key: str, busy: _Busy, table: Table, now: int, horizons: Horizons) -> None:
        offer = busy.offer
        if offer.closed is not None:
            if offer.nodes():
                self._offers.rewrite(key, table, expiry.closed_alone)
            else:
                self._offers.release(key)  # hardly anybody will ask for it
            return
        taken_back = offer.taken_back(now - self._keeping.logs_ms)
        if taken_back or busy.has_leftovers:
            self._offers.rewrite(key, table, expiry.Remains(offer, taken_back).of)
        elif quiet := offer.quiet(horizons):
            facts = [fact for stored in self._offers.stored(key, table) for fact in decode_segment(stored)]
            busy.news.append(expiry.close(offer, quiet, facts, self._place))
            self._offers.touch(key)
            self._offers.reload(key, table)

    def _take_all(self, of: dict[str, list[OfferFact]], table: Table, emit: Emit) -> None:
        if self.acted is not None:
            self.acted.update(dict.fromkeys(of))
        for key, facts in of.items():
            busy = self._offers.get(key, table)
            known = self._allowed(facts) if self._suppressed else facts
            taken = [] if busy.offer.closed is not None else expiry.elsewhere(known, busy.offer.parts)
            self._health.expired += len(known) - len(taken)
            if taken:
                self._take(busy, taken, emit)
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

    def _correct(self, fact: EraseFact | AssignFact, table: Table, emit: Emit, now: int) -> None:
        if isinstance(fact, EraseFact):
            self._erase(fact, table, now)
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

    def _erase(self, fact: EraseFact, table: Table, now: int) -> None:
        """Erase an account from every offer. Done again each time: a crash can have lost a part of the last."""
        assert self._suppressed is not None
        self._suppressed.add(fact.actor, table, now)
        traces = (fact.actor.encode(), pack([fact.actor]))
        erased = self._offers.erase(table, traces, lambda _, stored: self._nameless(stored))
        if self.acted is not None:
            self.acted.update(dict.fromkeys(erased))
        self.erased_from |= erased

    def _nameless(self, stored: bytes) -> bytes:
        return encode_segment(self._allowed(decode_segment(stored)))

    def _allowed(self, facts: Iterable[OfferFact]) -> list[OfferFact]:
        """What is left of some facts without the accounts that were erased."""
        return [fact for fact in map(self._without_forgotten, facts) if fact is not None]

    def _without_forgotten(self, fact: OfferFact) -> OfferFact | None:
        """A fact without the accounts that were erased, or None if nothing is left of it."""
        assert self._suppressed is not None
        match fact:
            case ActFact():
                if fact.actor is not None and fact.actor in self._suppressed:
                    return msgspec.structs.replace(fact, actor=None, followers=None)
            case DeleteFact() | ProfileFact():
                return None if fact.actor in self._suppressed else fact
            case TiesFact():
                if fact.actor in self._suppressed:
                    return None
                sides = {
                    side: self._suppressed.without(packed)
                    for side in ("follows", "unfollows", "followed_by")
                    if (packed := getattr(fact, side))
                }
                return msgspec.structs.replace(fact, **sides)
        return fact

    def _read(self, table: Table) -> None:
        if self._suppressed is None:
            self._suppressed = Suppressed(self._keeping.suppression_key, table)
            self._assignments = {}
            for fact in ledger.assignments(table):
                self._merge_assignment(fact)
            self._assigned = _latest(self._assignments.values())

    def _load(self, key: str, segments: list[bytes]) -> _Busy:
        # A writer that had not heard of an erasure yet may have stored what it knew once more.
        facts = [fact for stored in segments for fact in decode_segment(stored)]
        known = self._allowed(facts) if self._suppressed else facts
        left = expiry.elsewhere(known, {name for fact in known if isinstance(fact, Closed) for name in fact.networks})
        offer = Offer(key)
        offer.add(left)
        self._place(offer)
        return _Busy(offer, has_leftovers=len(left) < len(known))

    def _place(self, offer: Offer) -> None:
        for root, assigned in self._assigned.items():
            if offer.rooted_at(root):
                offer.place(root, assigned)


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
