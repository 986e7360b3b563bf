"""The posts, shares, quotes and replies of one offer, as columns.

Every id has a number, also one that was only named so far (as a root, a parent or a deleted target): its `kind` is
UNSEEN until it arrives. Deliveries of one id merge field by field, so what is here is a function of the set of
deliveries alone.
"""

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spread.events import smaller
from spread.facts import POST, QUOTE, REPLY, SHARE, ActFact, Change, DeleteFact
from spread.names import Names

Places = NDArray[np.intp]
"""Numbers of ids."""

FAR: Final = 20_000
"""More acts than this do not stay in the processor's caches."""
UNSEEN: Final = -1
NONE: Final = -1
"""No `via`, no follower count, no known account."""

_IS_NODE: Final = np.array([kind in (POST, QUOTE, SHARE) for kind in (*range(4), UNSEEN)])
_NEW: Final = Change.NEW  # looked up for every act
_UNSEEN, _ZERO_BYTES = array("b", (UNSEEN,)), array("b", (0,))
_NO_NUMBER, _FIRST, _NO_COUNT, _ZERO = array("i", (NONE,)), array("i", (0,)), array("q", (NONE,)), array("q", (0,))


class Acts:
    """Columns over the numbers of ids; `root` and `via` are such numbers too, `actor` is a number of `accounts`."""

    __slots__ = (
        "_last_root", "accounts", "actor", "at", "deletes", "differing", "elsewhere", "erased", "followers", "gone",
        "ids", "kind", "network", "networks", "offer", "placed", "root", "taken_back", "via",
    )  # fmt: skip

    def __init__(self, offer: str) -> None:
        self.offer = offer
        self.ids, self.accounts = Names(), Names()
        self.networks: list[str] = []
        self.kind, self.gone = array("b"), array("b")
        self.network, self.actor, self.root, self.via = (array("i") for _ in range(4))
        self.at, self.followers = array("q"), array("q")
        self._last_root = "", NONE
        self.deletes: dict[str, DeleteFact] = {}
        self.taken_back: dict[int, list[DeleteFact]] = {}
        """The deletes of each target, by its own account or not."""
        self.erased: set[int] = set()
        """Acts whose account was erased."""
        self.elsewhere: dict[int, str] = {}
        """Acts whose deliveries, merged, name another offer."""
        self.differing: set[int] = set()
        """Acts whose deliveries were not all the same."""
        self.placed: dict[int, str] = {}
        """The offer that a person assigned a root to."""

    def __len__(self) -> int:
        return len(self.ids)

    def number(self, id: str) -> int:
        """The number of an id, with room in the columns (there is more room than ids)."""
        number = self.ids.number(id)
        if number >= len(self.kind):
            self._make_room(4 + number // 8)
        return number

    def add(self, fact: ActFact) -> tuple[int, Change]:
        """Take a delivery in: the number of its act, and what it changed."""
        act = self.ids.number(fact.id)
        if act >= len(self.kind):
            self._make_room(4 + act // 8)
        if self.kind[act] == UNSEEN:
            self._write(act, fact)
            return act, _NEW
        known = self.fact(act)
        merged = _merge(known, fact)
        if merged != fact:
            self.differing.add(act)
        if merged == known:
            return act, Change.NOTHING
        self._write(act, merged)
        self.differing.add(act)
        return act, Change.MERGED

    def fetch(self, facts: Sequence[ActFact]) -> None:
        """Prepare for taking some deliveries in. Pays where there are more acts than `FAR`."""
        if len(facts) > 1:
            self.ids.fetch([id for fact in facts for id in (fact.id, fact.via) if id is not None])
            self.accounts.fetch([fact.actor for fact in facts if fact.actor is not None])

    def fact(self, act: int) -> ActFact:
        """A seen act as a fact again."""
        ids, actor, via, followers = self.ids, self.actor[act], self.via[act], self.followers[act]
        return ActFact(
            ids[act], self.kind[act], self.networks[self.network[act]], self.at[act],
            None if actor == NONE else self.accounts[actor], self.elsewhere.get(act, self.offer), ids[self.root[act]],
            None if via == NONE else ids[via], None if followers == NONE else followers,
        )  # fmt: skip

    def add_delete(self, fact: DeleteFact) -> tuple[int, Change]:
        """Take a delete in: the number of its target, and what it changed."""
        known = self.deletes.get(fact.id)
        change = Change.NEW
        if known is not None:
            actor, back = smaller(known.actor, fact.actor), smaller(known.target, fact.target)
            fact = DeleteFact(fact.id, actor, back, smaller(known.at, fact.at))
            if fact == known:
                return self.number(fact.target), Change.NOTHING
            old = self.number(known.target)
            self.taken_back[old].remove(known)
            self._judge(old)
            change = Change.MERGED
        self.deletes[fact.id] = fact
        target = self.number(fact.target)
        self.taken_back.setdefault(target, []).append(fact)
        self._judge(target)
        return target, change

    def shown(self, act: int) -> bool:
        """Whether an act that has arrived counts for this offer, and not for another that its root was assigned to."""
        if self.kind[act] == UNSEEN:
            return False
        if not self.placed and not self.elsewhere:
            return True
        return self.shown_in(act) == self.offer

    def shown_in(self, act: int) -> str:
        """The offer that a seen act counts for."""
        return self.placed.get(self.root[act]) or self.elsewhere.get(act, self.offer)

    def is_node(self, act: int) -> bool:
        """Whether an id is a node of a cascade of this offer, living or not."""
        return self.kind[act] != REPLY and self.shown(act)

    def nodes(self) -> Places:
        """The nodes of all cascades of this offer, living or not."""
        nodes: Places = _IS_NODE[np.asarray(self.kind)].nonzero()[0]
        if self.placed or self.elsewhere:
            nodes = np.array([node for node in nodes.tolist() if self.shown(node)], dtype=np.intp)
        return nodes

    def is_root(self, act: int) -> bool:
        """Whether an id is a node at the root of its cascade."""
        return self.root[act] == act and self.is_node(act)

    def is_living(self, act: int) -> bool:
        """Whether an id is a node that nobody took back."""
        return not self.gone[act] and self.is_node(act)

    def earlier(self, one: int, other: int) -> bool:
        """Whether one act comes before another, by (`at`, `id`)."""
        if self.at[one] != self.at[other]:
            return self.at[one] < self.at[other]
        return self.ids[one] < self.ids[other]

    def order(self, act: int) -> tuple[int, str]:
        """(`at`, `id`) of an act."""
        return self.at[act], self.ids[act]

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return self.ids.nbytes() + self.accounts.nbytes() + 32 * len(self)

    def _make_room(self, more: int) -> None:
        self.kind.extend(_UNSEEN * more)
        self.gone.extend(_ZERO_BYTES * more)
        self.network.extend(_FIRST * more)
        for numbers in (self.actor, self.root, self.via):
            numbers.extend(_NO_NUMBER * more)
        self.at.extend(_ZERO * more)
        self.followers.extend(_NO_COUNT * more)

    def _write(self, act: int, fact: ActFact) -> None:
        self.kind[act] = fact.kind
        networks = self.networks
        # Only what differs is written: storing in an array takes longer than looking.
        if not networks or fact.network != networks[self.network[act]]:
            if fact.network not in networks:
                networks.append(fact.network)
            self.network[act] = networks.index(fact.network)
        self.at[act] = fact.at
        last, root = self._last_root
        if fact.root != last:  # as good as always the one before
            root = self.number(fact.root)
            self._last_root = fact.root, root
        self.root[act] = root
        if fact.via is not None:
            self.via[act] = self.number(fact.via)
        followers = NONE if fact.followers is None else fact.followers
        if followers != self.followers[act]:
            self.followers[act] = followers
        if fact.actor is None:
            self.actor[act] = NONE
            self.erased.add(act)
        else:
            self.actor[act] = self.accounts.number(fact.actor)
        if fact.offer != self.offer:
            self.elsewhere[act] = fact.offer
        elif self.elsewhere:
            self.elsewhere.pop(act, None)
        if self.taken_back or self.erased or self.gone[act]:
            self._judge(act)

    def _judge(self, act: int) -> None:
        """Gone is what its own account took back, or what was erased."""
        if act in self.erased:
            self.gone[act] = 1
        elif act in self.taken_back and self.actor[act] != NONE:
            actor = self.accounts[self.actor[act]]
            self.gone[act] = any(delete.actor == actor for delete in self.taken_back[act])
        else:
            self.gone[act] = 0


def _merge(one: ActFact, other: ActFact) -> ActFact:
    erased = one.actor is None or other.actor is None
    return ActFact(
        one.id,
        min(one.kind, other.kind),
        smaller(one.network, other.network),
        smaller(one.at, other.at),
        None if erased else smaller(one.actor, other.actor),
        smaller(one.offer, other.offer),
        smaller(one.root, other.root),
        smaller(one.via, other.via),
        None if erased else smaller(one.followers, other.followers),
    )
