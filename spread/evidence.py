"""What is known of one offer: its facts, merged as sets, and which of them are news since the last question.

Nothing is derived here.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spread.acts import FAR, NONE, Acts
from spread.events import smaller
from spread.facts import (
    REPLY,
    ActFact,
    Called,
    Change,
    Closed,
    CountsFact,
    DeleteFact,
    OfferFact,
    OutcomeFact,
    ProfileFact,
    TiesFact,
)
from spread.ties import Ties

_NEW: Final = Change.NEW  # looked up for every act
_NOTHING: Final = Change.NOTHING
TOTALS: Final = ("shares", "likes", "replies", "impressions", "clicks")


class Evidence:
    """The facts of one offer."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.closed: Closed | None = None
        self.parts: dict[str, Closed] = {}
        """By network what it closed with there, where the offer goes on elsewhere; one may be of several networks."""
        self.called: dict[str, Called] = {}
        """By condition the latest that people were told."""
        self._acts = Acts(id)
        self._ties = Ties(self._acts.accounts)
        self._profiles: dict[int, dict[str, ProfileFact]] = {}
        self._totals: dict[str, dict[str, tuple[int, str, int]]] = {}
        self._outcomes: dict[str, OutcomeFact] = {}
        self._unsettled = False
        """Whether anything came since the last question."""
        self._new: list[int] = []
        self._changed: set[int] = set()
        self._from_scratch = True

    def add(self, facts: Collection[OfferFact]) -> list[OfferFact]:
        """Take facts in; those that said anything new."""
        if len(self._acts) > FAR:
            self._acts.fetch([fact for fact in facts if isinstance(fact, ActFact)])
        news: list[OfferFact] = []
        take, new = self._acts.add, self._new
        for fact in facts:
            if isinstance(fact, ActFact):
                act, change = take(fact)
                if change is _NEW:
                    new.append(act)
            else:
                change = self._add(fact)
            if change is not _NOTHING:
                news.append(fact)
                if change is Change.MERGED:
                    self._from_scratch = True
        if news:
            self._unsettled = True
        return news

    def place(self, root: str, offer: str) -> None:
        """Obey a person's assignment of a root to an offer, this or another."""
        number = self._acts.number(root)
        if self._acts.placed.get(number) != offer:
            self._acts.placed[number] = offer
            self._from_scratch = self._unsettled = True

    def unplace(self, root: str) -> None:
        """Take an assignment back."""
        self._acts.placed.pop(self._acts.number(root), None)
        self._from_scratch = self._unsettled = True

    @property
    def has_guests(self) -> bool:
        """Whether any act may count for another offer."""
        return bool(self._acts.placed or self._acts.elsewhere)

    def guests(self, fact: ActFact | None = None) -> Iterator[tuple[str, ActFact]]:
        """The acts that count for another offer, with that offer: all, or those that one delivery bears on.

        Where deliveries differ, an earlier one may have made the act count for the offer that it names, or for any
        that a root was assigned to: all are told.
        """
        acts = self._acts
        for act in range(len(acts)) if fact is None else (acts.number(fact.id),):
            if acts.kind[act] != NONE:
                offers = {acts.shown_in(act)}
                if act in acts.differing:
                    offers |= {acts.elsewhere.get(act, self.id), *acts.placed.values()}
                yield from ((offer, acts.fact(act)) for offer in sorted(offers - {self.id}))

    def rooted_at(self, root: str) -> bool:
        """Whether any act that has come names this root."""
        acts, number = self._acts, self._acts.ids.find(root)
        return number != NONE and any(acts.root[act] == number for act in range(len(acts)) if acts.kind[act] != NONE)

    def _outcomes_by_time(self, stage: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When outcomes of a stage were (ms), and how many each."""
        of = [(outcome.at, outcome.n) for outcome in self._outcomes.values() if outcome.stage == stage]
        moments, counts = np.array(of, dtype=np.int64).reshape(-1, 2).T
        return moments, counts

    def last_at(self) -> int:
        """The latest moment of any act, in ms; 0 without any."""
        at = self._column(self._acts.at)
        return int(at.max()) if len(at) else 0

    def totals(self) -> dict[str, dict[str, int]]:
        """By target, the latest totals that its network stated."""
        return {target: {name: value for name, (_, _, value) in t.items()} for target, t in self._totals.items()}

    def funnel(self) -> dict[str, int]:
        """Clicks, applications and hires that came of the offer."""
        sums: dict[str, int] = {}
        for outcome in self._outcomes.values():
            sums[outcome.stage] = sums.get(outcome.stage, 0) + outcome.n
        return sums

    def nodes(self) -> int:
        """Acts kept, living or not."""
        return len(self._acts)

    def _silent(self) -> frozenset[int]:
        """The accounts whose acts all count for other offers, so that their lists and deletes count there too."""
        acts = self._acts
        if not acts.placed and not acts.elsewhere:
            return frozenset()
        spoke = {acts.actor[act] for act in range(len(acts)) if acts.shown(act)}
        return frozenset(range(len(acts.accounts))) - spoke

    def _add(self, fact: DeleteFact | TiesFact | ProfileFact | CountsFact | OutcomeFact | Closed | Called) -> Change:
        match fact:
            case DeleteFact():
                target, change = self._acts.add_delete(fact)
                self._changed.add(target)
                return change
            case TiesFact():
                return self._ties.add(fact)
            case ProfileFact():
                says_more = self._add_profile(fact)
            case CountsFact():
                says_more = self._add_totals(fact)
            case OutcomeFact():
                says_more = self._add_outcome(fact)
            case Closed():
                says_more = self._close(fact)
            case Called():
                says_more = self._call(fact)
        return Change.NEW if says_more else Change.NOTHING

    def _call(self, fact: Called) -> bool:
        known = self.called.get(fact.condition)
        if known is not None and (known.since, known.is_over) >= (fact.since, fact.is_over):
            return False
        self.called[fact.condition] = fact
        return True

    def taken_back(self, before: int) -> set[str]:
        """The acts that their own accounts took back before a moment (ms)."""
        acts = self._acts
        return {
            acts.ids[act]
            for act, deletes in acts.taken_back.items()
            if acts.kind[act] != NONE and acts.actor[act] != NONE
            for delete in deletes
            if 0 < delete.at < before and delete.actor == acts.accounts[acts.actor[act]]
        }

    def named(self, but: Container[str]) -> set[str]:
        """The accounts of all acts but some."""
        acts = self._acts
        seen = (act for act in range(len(acts)) if acts.actor[act] != NONE and acts.ids[act] not in but)
        return {acts.accounts[acts.actor[act]] for act in seen}

    def quiet(self, horizons: Mapping[str, int]) -> set[str]:
        """The networks without an act since their horizons (ms); networks that share a cascade are quiet together."""
        acts = self._acts
        seen = (self._column(acts.kind) != NONE).nonzero()[0]
        network, at = self._column(acts.network)[seen], self._column(acts.at)[seen]
        latest = {acts.networks[one]: int(at[network == one].max()) for one in np.unique(network).tolist()}
        quiet = {one for one, last in latest.items() if last < horizons[one]}
        if not quiet or len(quiet) == len(latest):
            return quiet
        of_root: dict[int, set[str]] = {}
        for root, one in zip(self._column(acts.root)[seen].tolist(), network.tolist(), strict=True):
            of_root.setdefault(root, set()).add(acts.networks[one])
        mixed = [networks for networks in of_root.values() if len(networks) > 1]
        while loud := [networks for networks in mixed if networks & quiet and not networks <= quiet]:
            quiet = quiet.difference(*loud)
        return quiet

    def networks(self) -> set[str]:
        """The networks of all acts that have come."""
        acts = self._acts
        seen = (self._column(acts.kind) != NONE).nonzero()[0]
        return {acts.networks[one] for one in np.unique(self._column(acts.network)[seen]).tolist()}

    def _close(self, fact: Closed) -> bool:
        if fact.networks:
            new = any(network not in self.parts for network in fact.networks)
            self.parts.update(dict.fromkeys(fact.networks, fact))
            return new
        if self.closed is not None and self.closed.closed_at >= fact.closed_at:
            return False
        self.closed = fact
        return True

    def _add_profile(self, fact: ProfileFact) -> bool:
        profiles = self._profiles.setdefault(self._acts.accounts.number(fact.actor), {})
        known = profiles.get(fact.id)
        if known is not None:
            at, followers = smaller(known.at, fact.at), smaller(known.followers, fact.followers)
            fact = ProfileFact(fact.id, at, fact.actor, followers)
        profiles[fact.id] = fact
        return fact != known

    def _add_totals(self, fact: CountsFact) -> bool:
        news = False
        totals = self._totals.setdefault(fact.target, {})
        for name in TOTALS:
            value = getattr(fact, name)
            if value is not None and (fact.at, fact.id, value) > totals.get(name, (-1, "", 0)):
                totals[name] = (fact.at, fact.id, value)
                news = True
        return news

    def _add_outcome(self, fact: OutcomeFact) -> bool:
        known = self._outcomes.get(fact.id)
        if known is not None:
            merged = (smaller(known.stage, fact.stage), smaller(known.n, fact.n))
            fact = OutcomeFact(fact.id, fact.at, fact.network, *merged)
            if merged == (known.stage, known.n):
                return False
        self._outcomes[fact.id] = fact
        return True

    def _replies(self) -> int:
        acts = self._acts
        replies = (self._column(acts.kind) == REPLY).nonzero()[0]
        return sum(1 for reply in replies.tolist() if not acts.gone[reply] and acts.shown(reply))

    def _foreign_deletes(self) -> dict[int, int]:
        """By root, the deletes of its acts that another account sent."""
        acts = self._acts
        silent = {acts.accounts[account] for account in self._silent()}
        foreign: dict[int, int] = {}
        for target, deletes in acts.taken_back.items():
            if acts.shown(target) and acts.actor[target] != NONE:
                actor = acts.accounts[acts.actor[target]]
                strangers = sum(1 for delete in deletes if delete.actor != actor and delete.actor not in silent)
                if strangers:
                    foreign[acts.root[target]] = foreign.get(acts.root[target], 0) + strangers
        return foreign

    def _column(self, column: "Iterable[int]") -> NDArray[np.int64]:
        """A column as an array, without a copy; to be let go before the column grows."""
        return np.asarray(column)
