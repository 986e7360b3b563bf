"""Who follows whom, as far as the lists tell.

Each list asserts pairs (it names them as following, or as not following any more) and, once complete, the absence of
every pair of its side that it does not name. The state of a pair is its assertion with the greatest (`at`, `id`);
with equal ones a naming beats an absence, and an unfollow beats a follow. Nobody follows himself.

A *side* is what one account's own lists say about one direction. Between two accounts that both took part in the
offer both may have spoken, so those pairs are settled one by one (`refresh`); every other follower is known from one
side alone.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

from spread.arrays import distinct
from spread.facts import Change, Digests, TiesFact, digest, unpack
from spread.names import Names

Stamp = tuple[int, str]
"""(`at`, `id`): the order of two assertions."""


class Side:
    """One direction of one account's lists: the accounts named, each with the assertion that holds, and the floor.

    The floor is the greatest stamp of a complete list: it denies everybody who is not named.
    """

    __slots__ = ("floor", "named", "positive", "rank", "stamps")

    def __init__(self, facts: list[TiesFact], positive: str, negative: str | None) -> None:
        facts = sorted(facts, key=lambda f: (f.at, f.id))
        self.stamps: list[Stamp] = [(f.at, f.id) for f in facts]
        names, ranks, signs = [], [], []
        for rank, fact in enumerate(facts):
            for attribute, sign in ((positive, True), (negative, False)):
                packed = getattr(fact, attribute) if attribute else None
                if packed:
                    who = unpack(packed)
                    names.append(who)
                    ranks.append(np.full(len(who), rank, dtype=np.int32))
                    signs.append(np.full(len(who), sign))
        if names:
            every, rank_of, sign_of = np.concatenate(names), np.concatenate(ranks), np.concatenate(signs)
            order = np.lexsort((~sign_of, rank_of, every))  # the last of each account is the assertion that holds
            every, rank_of, sign_of = every[order], rank_of[order], sign_of[order]
            last = np.append(every[1:] != every[:-1], True)
            self.named, self.rank, self.positive = every[last], rank_of[last], sign_of[last]
        else:
            self.named, self.rank, self.positive = np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, bool)
        self.floor = -1
        for rank, listed in _complete(facts, positive):
            self.floor = rank
            denied = ~np.isin(self.named, listed, assume_unique=True) & (self.rank < rank)
            self.rank[denied], self.positive[denied] = rank, False

    def asserts(self, other: int) -> tuple[Stamp, bool] | None:
        """The assertion that holds about the account with this digest, as its stamp and whether there is a tie."""
        at = int(np.searchsorted(self.named, np.uint64(other)))
        if at < len(self.named) and self.named[at] == other:
            return self.stamps[self.rank[at]], bool(self.positive[at])
        return (self.stamps[self.floor], False) if self.floor >= 0 else None


def _complete(facts: list[TiesFact], side: str) -> list[tuple[int, Digests]]:
    """The complete lists of a side among facts in order: the rank of each and whom it names, by rank."""
    lists: list[list[tuple[int, TiesFact]]] = []
    pages: dict[tuple[str, int], list[tuple[int, TiesFact]]] = {}
    for rank, fact in enumerate(facts):
        if not fact.complete:
            continue
        if fact.list is None or fact.part is None or fact.of is None:
            lists.append([(rank, fact)])
        else:
            pages.setdefault((fact.list, fact.of), []).append((rank, fact))
    lists += (list_ for (_, of), list_ in pages.items() if len({fact.part for _, fact in list_}) >= of)
    whole = []
    for list_ in lists:
        named = [unpack(packed) for _, fact in list_ if (packed := getattr(fact, side)) is not None]
        if named:
            whole.append((max(rank for rank, _ in list_), distinct(np.concatenate(named))))
    return sorted(whole, key=lambda entry: entry[0])


class Ties:
    """The ties that its participants' lists gave an offer.

    Accounts are the numbers of `accounts`. `followed` and `followers` hold the settled pairs between them.
    """

    def __init__(self, accounts: Names) -> None:
        self._accounts = accounts
        self._facts: dict[int, dict[str, TiesFact]] = {}
        self._sides: dict[int, tuple[Side, Side]] = {}
        self._changed: set[int] = set()
        self._digests = array("Q")
        self._ordered: Digests = np.empty(0, np.uint64)
        self._silent: frozenset[int] = frozenset()
        self.followed: dict[int, set[int]] = {}
        """Whom an account follows, of those that took part."""
        self.followers: dict[int, set[int]] = {}
        """Who of those that took part follows an account."""

    def __bool__(self) -> bool:
        return bool(self._facts)

    def add(self, fact: TiesFact) -> Change:
        """Take a list in; what it changed."""
        actor = self._accounts.number(fact.actor)
        facts = self._facts.setdefault(actor, {})
        known = facts.get(fact.id)
        if known is not None and known.revision >= fact.revision:
            return Change.NOTHING
        facts[fact.id] = fact
        self._changed.add(actor)
        return Change.NEW if known is None else Change.MERGED

    def start_over(self, silent: frozenset[int]) -> None:
        """Settle everything anew at the next `refresh`, the lists of `silent` accounts left out."""
        self._silent = silent
        self._changed = set(self._facts)
        self._sides, self._digests = {}, array("Q")
        self.followed, self.followers = {}, {}

    def refresh(self) -> set[tuple[int, int]]:
        """Settle the pairs that new lists and new accounts touch; returns those (follower, followed) that changed."""
        if not self._facts:
            return set()
        first_new = len(self._digests)
        self._digests.extend(digest(self._accounts[n]) for n in range(first_new, len(self._accounts)))
        digests = np.array(self._digests, dtype=np.uint64)
        order = np.argsort(digests)
        ordered = self._ordered = digests[order]
        pairs: set[tuple[int, int]] = set()
        for actor in self._changed - self._silent:
            facts = list(self._facts.get(actor, {}).values())
            follows = Side(facts, "follows", "unfollows")
            followed_by = Side(facts, "followed_by", None)
            self._sides[actor] = follows, followed_by
            pairs |= {(actor, other) for other in self.followed.get(actor, ())}
            pairs |= {(other, actor) for other in self.followers.get(actor, ())}
            pairs |= {(actor, int(other)) for other in _among(ordered, order, follows.named)}
            pairs |= {(int(other), actor) for other in _among(ordered, order, followed_by.named)}
        if first_new < len(digests):
            new = np.arange(first_new, len(digests))
            new_order = np.argsort(digests[new])
            new_ordered = digests[new][new_order]
            for actor, (follows, followed_by) in self._sides.items():
                if actor not in self._changed:
                    pairs |= {(actor, int(new[n])) for n in _among(new_ordered, new_order, follows.named)}
                    pairs |= {(int(new[n]), actor) for n in _among(new_ordered, new_order, followed_by.named)}
        self._changed = set()
        return {pair for pair in pairs if self._settle(*pair)}

    def audience(self, account: int) -> Digests:
        """The accounts known to follow an account, as sorted distinct digests."""
        sides = self._sides.get(account)
        between = self.followers.get(account)
        if sides is None:
            known = np.empty(0, np.uint64)
        else:
            known = sides[1].named[sides[1].positive]
            known = known[~np.isin(known, self._ordered, assume_unique=True)]
        if between:
            known = np.union1d(known, np.array([self._digests[n] for n in between], dtype=np.uint64))
        return known

    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        return sum(
            200 + sum(9 * len(packed) // 8 for packed in (fact.follows, fact.unfollows, fact.followed_by) if packed)
            for facts in self._facts.values()
            for fact in facts.values()
        )

    def _settle(self, follower: int, followed: int) -> bool:
        """Decide one pair between accounts of the offer; whether it changed."""
        spoken = []
        if sides := self._sides.get(follower):
            spoken.append(sides[0].asserts(self._digests[followed]))
        if sides := self._sides.get(followed):
            spoken.append(sides[1].asserts(self._digests[follower]))
        said = [assertion for assertion in spoken if assertion is not None]
        tie = follower != followed and bool(said) and max(said)[1]
        if tie == (followed in self.followed.get(follower, ())):
            return False
        if tie:
            self.followed.setdefault(follower, set()).add(followed)
            self.followers.setdefault(followed, set()).add(follower)
        else:
            self.followed[follower].discard(followed)
            self.followers[followed].discard(follower)
        return True


def _among(ordered: Digests, order: NDArray[np.intp], named: Digests) -> NDArray[np.intp]:
    """Of the accounts with these digests (sorted, and which number each has), the numbers of those named."""
    if not len(ordered):
        return order
    at = np.minimum(np.searchsorted(ordered, named), len(ordered) - 1)
    numbers: NDArray[np.intp] = order[at[ordered[at] == named]]
    return numbers
