"""One account: the offers it took part in, and the facts about it that each of them needs.

A fact is sent to an offer when the account first acts in it, and again whenever it changes. What was sent is known in
memory alone: after a restart it is sent once more, since only the offer's own state tells whether it had arrived.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from spread.events import AnyAct, Delete, Profile, Ties, canonical, merge
from spread.facts import ENCODING, OfferFact, act_fact, delete_fact, profile_fact, refuse_newer, ties_fact

Named = tuple[str, str, int]
"""An own act: its id, the offer that a delivery of it named, and when it was (ms)."""


class AccountFacts(msgspec.Struct, array_like=True, gc=False):
    """What is stored of one account. `guest_in` are (offer, at in ms): see `Account.take_act`."""

    version: int = ENCODING
    acts: tuple[Named, ...] = ()
    guest_in: tuple[tuple[str, int], ...] = ()
    deletes: tuple[Delete, ...] = ()
    ties: tuple[Ties, ...] = ()
    profiles: tuple[Profile, ...] = ()

    def since(self, horizon: int, taken_back: Mapping[str, str]) -> "AccountFacts":
        """Those that are not older than `horizon` (ms), without some deletes (by id) and their targets."""
        targets = {*taken_back.values()}
        return AccountFacts(
            acts=tuple(act for act in self.acts if act[2] >= horizon and act[0] not in targets),
            guest_in=tuple(guest for guest in self.guest_in if guest[1] >= horizon),
            deletes=tuple(delete for delete in self.deletes if delete.at >= horizon and delete.id not in taken_back),
            ties=tuple(ties for ties in self.ties if ties.at >= horizon),
            profiles=tuple(profile for profile in self.profiles if profile.at >= horizon),
        )

    def __bool__(self) -> bool:
        return bool(self.acts or self.guest_in or self.deletes or self.ties or self.profiles)


_E = TypeVar("_E", Delete, Profile)

_EMPTY: Final[dict[str, Any]] = {}
_NOWHERE: Final = frozenset[str]()
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AccountFacts)


def encode_facts(facts: AccountFacts) -> bytes:
    """Facts as they are stored."""
    return _ENCODER.encode(facts)


def decode_facts(stored: bytes) -> AccountFacts:
    """Stored facts. Raises `NewerEncoding`, or `ValueError` on a damaged row."""
    try:
        facts = _DECODER.decode(stored)
    except msgspec.DecodeError as error:
        raise ValueError(f"a stored account can't be read: {error}") from None
    refuse_newer("a stored account", facts.version)
    return facts


class Account:
    """The facts of one account; what it takes in, it answers with the facts to send and the offer for each."""

    __slots__ = ("_sent", "acts", "deletes", "guest_in", "news", "profiles", "ties")

    def __init__(self) -> None:
        self.acts: dict[str, tuple[Named, ...]] = {}
        """Each own act, as often as deliveries of it named different offers; as a rule once."""
        # Most accounts share something once and have none of these: one empty dict serves them all, and is replaced.
        self.guest_in: dict[str, int] = _EMPTY
        """The offers where its acts count although they name another, each with its latest one there (ms)."""
        self.deletes: dict[str, Delete] = _EMPTY
        self.ties: dict[str, Ties] = _EMPTY
        self.profiles: dict[str, Profile] = _EMPTY
        self.news: AccountFacts | None = None
        """What has come since it was last stored."""
        self._sent: frozenset[str] = _NOWHERE

    def load(self, facts: AccountFacts) -> None:
        """Take stored facts in."""
        for act in facts.acts:
            deliveries = self.acts.get(act[0], ())
            if act[1] not in _offers(deliveries):
                self.acts[act[0]] = (*deliveries, act)
        for offer, at in facts.guest_in:
            self._enter(offer, at)
        if facts.deletes or facts.ties or facts.profiles:
            self.deletes, self.ties, self.profiles = dict(self.deletes), dict(self.ties), dict(self.profiles)
        for delete in facts.deletes:
            self.deletes[delete.id] = _merged(self.deletes.get(delete.id), delete)
        for ties in facts.ties:
            known = self.ties.get(ties.id)
            if known is None or known.revision < ties.revision:
                self.ties[ties.id] = ties
        for profile in facts.profiles:
            self.profiles[profile.id] = _merged(self.profiles.get(profile.id), profile)

    def take_act(self, act: AnyAct) -> tuple[bool, Sequence[tuple[str, OfferFact]]]:
        """Take a post, share, quote or reply; whether it is new, and what to send where besides the act itself.

        With `for_offer` the act counts for another offer than it names, where its root was assigned to: the account
        is a guest there. An act whose deliveries name several offers goes to all of them, and all learn which one it
        counts for.
        """
        if act.for_offer is not None:
            new = act.for_offer not in self.guest_in
            self._enter(act.for_offer, act.at)
            if new:
                self._noted().guest_in += ((act.for_offer, act.at),)
                self._sent -= {act.for_offer}
            return new, () if act.for_offer in self._sent else self._facts_for(act.for_offer)
        known = self.acts.get(act.id, ())
        new = not known or act.offer not in _offers(known)
        if new:
            named = ((act.id, act.offer, act.at),)
            self.acts[act.id] = known = known + named if known else named
            if self.news is None:
                self.news = AccountFacts(acts=named)
            else:
                self.news.acts += named
        if len(known) == 1 and not (self.ties or self.profiles or self.deletes):
            return new, ()
        out: list[tuple[str, OfferFact]] = []
        offers = _offers(known)
        if len(offers) > 1:
            fact = act_fact(act)
            lowest = msgspec.structs.replace(fact, offer=min(offers, key=canonical))
            out += ((offer, one) for offer in offers for one in (fact, lowest))
        for offer in offers:
            if offer in self._sent:
                out += ((offer, delete_fact(d)) for d in self.deletes.values() if d.target == act.id)
            else:
                out += self._facts_for(offer)
        return new, out

    def take_delete(self, delete: Delete) -> tuple[bool, list[tuple[str, OfferFact]]]:
        """Take a delete; whether it is new, and what to send where."""
        known = self.deletes.get(delete.id)
        merged = _merged(known, delete)
        self.deletes = {**self.deletes, delete.id: merged}
        new = merged != known
        if new:
            self._noted().deletes += (merged,)
        offers = self.offers() if known is not None and new else self._concerned(merged)
        return new, [(offer, delete_fact(merged)) for offer in offers]

    def take_ties(self, ties: Ties) -> tuple[bool, list[tuple[str, OfferFact]]]:
        """Take a list of ties; whether it says anything new, and what to send where."""
        known = self.ties.get(ties.id)
        if known is not None:
            merged = merge(known, msgspec.structs.replace(ties, revision=known.revision))
            if merged == known:
                return False, [(offer, ties_fact(known)) for offer in self.offers()]
            merged.revision = known.revision + 1
        else:
            merged = msgspec.structs.replace(ties, revision=0)
        self.ties = {**self.ties, ties.id: merged}
        self._noted().ties += (merged,)
        return True, [(offer, fact) for fact in [ties_fact(merged)] for offer in self.offers()]

    def take_profile(self, profile: Profile) -> tuple[bool, list[tuple[str, OfferFact]]]:
        """Take a profile snapshot; whether it is new, and what to send where."""
        known = self.profiles.get(profile.id)
        merged = _merged(known, profile)
        self.profiles = {**self.profiles, profile.id: merged}
        new = merged != known
        if new:
            self._noted().profiles += (merged,)
        return new, [(offer, profile_fact(merged)) for offer in self.offers()]

    def offers(self) -> dict[str, int]:
        """The offers it took part in, each with its latest act there (ms)."""
        latest = dict(self.guest_in)
        for deliveries in self.acts.values():
            for _, offer, at in deliveries:
                latest[offer] = max(at, latest.get(offer, 0))
        return latest

    def is_older(self, horizon: int) -> bool:
        """Whether anything about the account is from before `horizon` (ms)."""
        about = (*self.deletes.values(), *self.ties.values(), *self.profiles.values())
        return any(at < horizon for at in self.offers().values()) or any(event.at < horizon for event in about)

    def taken_back(self, before: int) -> dict[str, str]:
        """The deletes from before a moment (ms) whose targets have come, each with its target."""
        return {one.id: one.target for one in self.deletes.values() if one.at < before and one.target in self.acts}

    def leaves_with(self, taken_back: Mapping[str, str]) -> bool:
        """Whether nothing that it did is left without some deletes (by id) and their targets."""
        return not self.guest_in and self.deletes.keys() <= taken_back.keys() and {*self.acts} <= {*taken_back.values()}

    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        held = 800 + 300 * len(self.acts)
        if self.ties or self.profiles or self.deletes:
            sides = (side for t in self.ties.values() for side in (t.follows, t.unfollows, t.followed_by) if side)
            held += 400 * (len(self.ties) + len(self.profiles) + len(self.deletes)) + 80 * sum(map(len, sides))
        return held

    def _enter(self, offer: str, at: int) -> None:
        self.guest_in = {**self.guest_in, offer: max(at, self.guest_in.get(offer, 0))}

    def _concerned(self, delete: Delete) -> Collection[str]:
        """The offers that a delete may concern: those of its target, and those where the account is a guest."""
        named = self.acts.get(delete.target)
        if named is None:
            return self.offers()
        return {*_offers(named), *self.guest_in}

    def _noted(self) -> AccountFacts:
        if self.news is None:
            self.news = AccountFacts()
        return self.news

    def _facts_for(self, offer: str) -> list[tuple[str, OfferFact]]:
        """Everything about the account that an offer needs."""
        self._sent |= {offer}
        facts: list[OfferFact] = [ties_fact(ties) for ties in self.ties.values()]
        facts += (profile_fact(profile) for profile in self.profiles.values())
        facts += (delete_fact(delete) for delete in self.deletes.values() if offer in self._concerned(delete))
        return [(offer, fact) for fact in facts]


def _offers(deliveries: tuple[Named, ...]) -> list[str]:
    return [offer for _, offer, _ in deliveries]


def _merged(known: _E | None, event: _E) -> _E:
    return event if known is None else merge(known, event)
