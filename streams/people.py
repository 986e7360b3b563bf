"""PEOPLE: the facts of an account, and the offers it took part in.

Keyed by account. Everything an account does goes on to the offer it does it in; when it first acts in an offer, and
whenever its ties or profile change, those facts follow. It derives nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, get_args

import msgspec

from spread.account import Account, AccountFacts, decode_facts, encode_facts
from spread.events import (
    Act,
    AnyAct,
    AnyEvent,
    Assign,
    Counts,
    Delete,
    Forget,
    Gap,
    Outcome,
    Profile,
    Ties,
)
from spread.facts import AssignFact, CountsFact, EraseFact, OfferFact, OutcomeFact, act_fact
from streams.health import Health
from streams.keeping import FOREVER, Keeping
from streams.stage import MEMORY, Emit, Kept
from streams.suppression import Suppressed
from streams.table import Table
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS

_ABOUT_ACCOUNTS: Final = (Act, Delete, Ties, Profile)
_KINDS: Final = {kind: str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}


class People:
    """The first stage. Not thread-safe."""

    name = "people"

    def __init__(self, health: Health, *, keeping: Keeping = FOREVER, memory: int = MEMORY) -> None:
        self._health = health
        self._keeping = keeping
        self._accounts = Kept(self._load, _news, _merged, memory)
        self._suppressed: Suppressed | None = None

    def apply(self, batch: Iterable[AnyEvent], table: Table, emit: Emit, now: int) -> None:
        """Take events in and send on what concerns an offer.

        `now` in ms: what is older than the retention is left out.
        """
        horizons = self._keeping.horizons(now)
        health = self._health
        suppressed = self._read_suppressed(table)
        for event in batch:
            if event.for_offer is None:
                health.saw(_KINDS[type(event)], event.network, event.at)
            if event.at < horizons[event.network] and not isinstance(event, Forget):
                health.expired += 1
            elif not isinstance(event, _ABOUT_ACCOUNTS):
                self._pass_on(event, table, emit, now)
            elif suppressed and event.actor in suppressed:
                _send_nameless(event, emit)
            else:
                self._take(event, suppressed, table, emit)

    def flush(self, table: Table) -> None:
        """Write what is new to the table."""
        self._accounts.flush(table)

    def drop(self) -> None:
        """Forget what is in memory; the table is the truth."""
        self._accounts.drop()
        self._suppressed = None

    def take_rewritten(self) -> bool:
        """Whether anything was erased or has expired since this was last asked."""
        rewritten, self._accounts.is_rewritten = self._accounts.is_rewritten, False
        return rewritten

    def expiring(self, table: Table, now: int) -> Iterator[None]:
        """Drop what is older than the retention, acts that were taken back long ago, and who was erased longer ago.

        Account by account: something else may be done meanwhile.
        """
        after_ms = self._keeping.suppression_ms
        if after_ms is None:
            return
        self._read_suppressed(table).expire(table, now, after_ms)
        horizons = self._keeping.horizons(now)
        for key, account in self._accounts.sweep(table):
            horizon = horizons[key.partition(":")[0]]
            taken_back = account.taken_back(now - self._keeping.logs_ms)
            if taken_back or account.is_older(horizon):
                is_gone = bool(taken_back) and account.leaves_with(taken_back)
                newer = partial(_newer, horizon, taken_back)
                self._accounts.rewrite(key, table, (lambda _: None) if is_gone else newer)
            yield

    def _pass_on(self, event: Counts | Outcome | Assign | Gap | Forget, table: Table, emit: Emit, now: int) -> None:
        match event:
            case Counts():
                emit(OFFER_EVENTS, event.offer, _counts_fact(event))
            case Outcome():
                outcome = OutcomeFact(event.id, event.at, event.network, event.stage, event.n)
                emit(OFFER_EVENTS, event.offer, outcome)
            case Assign():
                emit(OFFER_EVENTS, None, AssignFact(event.id, event.at, event.root, event.offer))
            case Forget():
                self._forget(event, table, emit, now)
            case Gap():
                pass

    def _take(self, event: AnyAct | Delete | Ties | Profile, suppressed: Suppressed, table: Table, emit: Emit) -> None:
        account = self._accounts.get(event.actor, table)
        out: Sequence[tuple[str, OfferFact]]
        if isinstance(event, Act):
            emit(OFFER_EVENTS, event.for_offer or event.offer, act_fact(event))
            new, out = account.take_act(event)
        elif isinstance(event, Delete):
            new, out = account.take_delete(event)
        elif isinstance(event, Ties):
            new, out = account.take_ties(_without(event, suppressed) if suppressed else event)
        else:
            new, out = account.take_profile(event)
        if new:
            self._accounts.touch(event.actor)
        elif event.for_offer is None:
            self._health.duplicates += 1
        for offer, fact in out:
            emit(OFFER_EVENTS, offer, fact)

    def _forget(self, event: Forget, table: Table, emit: Emit, now: int) -> None:
        """Erase an account here, and have it erased everywhere.

        All of it again each time, since a crash can have lost a part of the last; `for_offer` marks what was sent on.
        """
        if event.for_offer is None:
            emit(OFFER_EVENTS, None, EraseFact(event.actor))
            emit(SOCIAL_EVENTS, None, msgspec.structs.replace(event, for_offer=event.actor))
        suppressed = self._read_suppressed(table)
        if not suppressed.add(event.actor, table, max(event.at, now)) and event.for_offer is None:
            self._health.duplicates += 1
        self._accounts.erase(
            table,
            (event.actor.encode(),),
            lambda key, stored: None if key == event.actor else _nameless(stored, suppressed),
        )

    def _load(self, key: str, segments: list[bytes]) -> Account:
        account = Account()
        for stored in segments:
            facts = decode_facts(stored)
            if self._suppressed:  # a writer that had not heard of an erasure yet may have stored what it knew once more
                facts.ties = tuple(_without(ties, self._suppressed) for ties in facts.ties)
            account.load(facts)
        return account

    def _read_suppressed(self, table: Table) -> Suppressed:
        if self._suppressed is None:
            self._suppressed = Suppressed(self._keeping.suppression_key, table)
        return self._suppressed


def _send_nameless(event: AnyEvent, emit: Emit) -> None:
    """Of an account that was forgotten only its place in a tree goes on."""
    if isinstance(event, Act):
        fact = act_fact(event)
        fact.actor = fact.followers = None
        emit(OFFER_EVENTS, event.for_offer or event.offer, fact)


def _without(ties: Ties, suppressed: Suppressed) -> Ties:
    lists = {
        name: [other for other in listed if other not in suppressed]
        for name in ("follows", "unfollows", "followed_by")
        if (listed := getattr(ties, name)) is not None
    }
    return msgspec.structs.replace(ties, **lists)


def _counts_fact(event: Counts) -> CountsFact:
    stated = (event.shares, event.likes, event.replies, event.impressions, event.clicks)
    return CountsFact(event.id, event.at, event.network, event.target, *stated)


def _news(account: Account) -> list[bytes]:
    news, account.news = account.news, None
    return [] if news is None else [encode_facts(news)]


def _merged(segments: list[bytes]) -> bytes:
    every = [decode_facts(stored) for stored in segments]
    whole = AccountFacts()
    for name in ("acts", "guest_in", "deletes", "ties", "profiles"):
        setattr(whole, name, tuple(fact for facts in every for fact in getattr(facts, name)))
    return encode_facts(whole)


def _nameless(stored: bytes, suppressed: Suppressed) -> bytes:
    facts = decode_facts(stored)
    facts.ties = tuple(_without(ties, suppressed) for ties in facts.ties)
    return encode_facts(facts)


def _newer(horizon: int, taken_back: Mapping[str, str], stored: bytes) -> bytes | None:
    facts = decode_facts(stored).since(horizon, taken_back)
    return encode_facts(facts) if facts else None
