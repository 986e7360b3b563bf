"""From evidence to parents: who passed an offer on to whom, and how sure that is.

Rules of this file (contract, section 2):

- *declared*: a `via` that leads, through replies if need be, to a node of the same root. Believed against the clocks.
- *inferred*: without such a `via`, from ties: of the living earlier nodes whose account this one follows (and that do
not descend from it over declared edges) the root, or else the latest. - *assumed*: hung on the root for want of
evidence, or while the declared parent has not arrived. - A loop is broken at its inferred edge (without one: its
declared edge) of the smallest (`at`, `id`); an anomaly.

There are two ways to the same trees. `rebuild` decides every node from the facts, in time linear in them. `update`
decides only the nodes that new facts can have touched. A loop needs a declared edge against the clock, so it is rare;
while an offer has one, it is rebuilt instead of updated.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spread.acts import FAR, NONE, Acts, Places
from spread.facts import REPLY
from spread.ties import Ties
from spread.tree import NOBODY, Forest

DECLARED, INFERRED, ASSUMED = range(3)
BASES: Final = ("declared", "inferred", "assumed")
BY_ROOT, BY_OTHERS, BY_NONE = range(3)
EXPOSURES: Final = ("root", "others", "none")

_WAITING: Final = -2
"""As a declared parent: it was named, but has not arrived."""


class Parents:
    """The parent, basis and exposure of every node of one offer, and the trees they make."""

    def __init__(self, acts: Acts, ties: Ties) -> None:
        self._acts, self._ties = acts, ties
        self.forest = Forest()
        self.basis, self.exposure = array("b"), array("b")
        self.broken: list[int] = []
        """Nodes at which a loop was broken."""
        self._declared = array("i")
        self._stand_ins: dict[int, int] = {}
        """Heads for roots that are themselves nodes of another root's tree."""
        self._waiting: dict[int, set[int]] = {}
        self._nodes_of: dict[int, list[int]] = {}
        self._has_ties = False
        self._against_clock = False

    def head(self, root: int) -> int:
        """The head of the tree of a root: itself, unless it says that it belongs to another."""
        return self._stand_ins.get(root, root)

    def rebuild(self, silent: frozenset[int]) -> None:
        """Decide everything anew; the lists of `silent` accounts do not count."""
        acts = self._acts
        self.forest = Forest(len(acts))
        self._declared = array("i", (NONE,)) * len(acts)
        self.basis, self.exposure = (array("b", (NONE,)) * len(acts) for _ in range(2))
        self._waiting, self._nodes_of, self._stand_ins, self.broken = {}, {}, {}, []
        self._ties.start_over(silent)
        self._ties.refresh()
        self._has_ties = bool(self._ties)
        every, root = acts.nodes(), np.asarray(acts.root)
        if self._has_ties:
            for node in every.tolist():
                self._nodes_of.setdefault(acts.actor[node], []).append(node)
        roots = list(dict.fromkeys(root[every].tolist()))
        for one in roots:
            if root[one] != one and acts.is_node(one):
                self._stand_ins[one] = len(self.forest.parent)
                self.forest.extend()
        below = every[root[every] != every]
        nodes = below.tolist()
        heads = root[below]
        for one, stand_in in self._stand_ins.items():
            heads[heads == one] = stand_in
        self._against_clock = False
        declared = self._declare(below, every)
        known, lives = declared >= 0, np.asarray(acts.gone)[below] == 0
        parents = np.where(known, declared, heads).tolist()
        np.asarray(self.basis)[below] = np.where(known, DECLARED, ASSUMED)
        np.asarray(self.exposure)[below] = np.where(lives > known, BY_NONE, NONE)
        if self._has_ties:
            for place in (lives > known).nonzero()[0].tolist():
                node = nodes[place]
                parents[place], self.basis[node], self.exposure[node] = self._decide(node)
        if self._against_clock:
            self._break_loops(nodes, parents)
        heads_of = [self.head(one) for one in roots]
        self.forest.build(heads_of, nodes, parents, lives.tolist())
        for head in heads_of:
            if head < len(acts):
                self.forest.set_weight(head, int(acts.is_living(head)), head)

    def update(self, new: Sequence[int], changed: Iterable[int], silent: frozenset[int]) -> None:
        """Decide what `new` acts, acts that came or went (`changed`) and new ties touch."""
        if self.broken or self._stand_ins or bool(self._ties) != self._has_ties:
            self.rebuild(silent)
            return
        acts, forest = self._acts, self.forest
        self._make_room()
        pairs = self._ties.refresh()
        self._fetch(new)
        doubtful: dict[int, None] = {}
        for act in new:
            doubtful.update(dict.fromkeys(self._waiting.pop(act, ())))
            if acts.kind[act] == REPLY:
                continue
            head = acts.root[act]
            if forest.parent[head] != NOBODY or (act != head and act in forest.shapes):
                self.rebuild(silent)
                return
            if head not in forest.shapes:
                forest.plant(head)
            if act != head:
                forest.attach(act, head, head)
                doubtful[act] = None
            forest.set_weight(act, int(not acts.gone[act]), head)
            if self._has_ties:
                self._nodes_of.setdefault(acts.actor[act], []).append(act)
                doubtful.update(dict.fromkeys(self._nodes_that_follow(act)))
        for act in changed:
            if acts.is_node(act):
                forest.set_weight(act, int(not acts.gone[act]), acts.root[act])
                doubtful[act] = None
                doubtful.update(dict.fromkeys(c for c in forest.children(act) if self.basis[c] == INFERRED))
                doubtful.update(dict.fromkeys(self._nodes_that_follow(act)))
        for follower, _ in pairs:
            doubtful.update(dict.fromkeys(self._nodes_of.get(follower, ())))
        if not self._reconsider(list(doubtful)):
            self.rebuild(silent)

    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        return self.forest.nbytes() + 6 * len(self._declared) + 100 * (len(self._waiting) + len(self._nodes_of))

    def _reconsider(self, doubtful: list[int]) -> bool:
        """Decide these nodes again and move them; False where a loop shows, and all must be rebuilt."""
        acts, forest = self._acts, self.forest
        waiting = set(doubtful)
        while doubtful:
            node = doubtful.pop()
            waiting.discard(node)
            head = acts.root[node]
            if node == head:
                continue
            self._declared[node] = declared = self._declared_parent(node)
            if declared >= 0 and (self._against_clock or acts.earlier(node, declared)):
                # A declared descendant earlier than an ancestor is none of its candidates: ask that ancestor again.
                self._against_clock = True
                top = self._top(declared)
                if top == node:
                    return False
                if top not in waiting:
                    doubtful.append(top)
                    waiting.add(top)
            parent, self.basis[node], self.exposure[node] = self._decide(node)
            if parent != forest.parent[node]:
                if forest.has_children(node) and forest.is_below(parent, node):
                    return False
                forest.move(node, parent, head)
        return True

    def _decide(self, node: int) -> tuple[int, int, int]:
        """Parent, basis and exposure of a node that is not a root. Exposure is NONE where it is not asked for."""
        declared, head = self._declared[node], self.head(self._acts.root[node])
        if declared >= 0:
            return declared, DECLARED, NONE
        if self._acts.gone[node]:
            return head, ASSUMED, NONE
        choice, exposure = self._infer(node)
        if choice == NONE or declared == _WAITING:
            return head, ASSUMED, exposure
        return choice, INFERRED, exposure

    def _fetch(self, new: Sequence[int]) -> None:
        """Prepare for deciding some new acts, where they are many among very many."""
        acts = self._acts
        if len(new) > 1 and len(acts) > FAR:
            via = np.asarray(acts.via).take(new)
            via = via[via >= 0]
            for column in (acts.kind, acts.root, acts.at):
                np.asarray(column).take(via)
            self.forest.fetch(via)

    def _declare(self, nodes: Places, every: Places) -> NDArray[np.int32]:
        """Decide where the `via` of all these nodes lead, `every` being all there are."""
        acts = self._acts
        declared = np.asarray(acts.via)[nodes]
        named = (declared != NONE).nonzero()[0]
        if len(named):
            root, at = np.asarray(acts.root), np.asarray(acts.at)
            is_node = np.zeros(len(root), bool)
            is_node[every] = True
            child, via = nodes[named], declared[named]
            right_there = is_node[via] & (root[via] == root[child]) & (via != child)
            for place in named[~right_there].tolist():
                declared[place] = self._declared_parent(int(nodes[place]))
            np.asarray(self._declared)[nodes] = declared
            late = ((declared >= 0) & (at[nodes] <= at[declared])).nonzero()[0]
            pairs = zip(nodes[late].tolist(), declared[late].tolist(), strict=True)
            self._against_clock = any(acts.earlier(node, parent) for node, parent in pairs)
        return declared

    def _declared_parent(self, node: int) -> int:
        """The node that the `via` of a node leads to.

        NONE if it names none of this tree, _WAITING if what it names has not arrived.
        """
        acts = self._acts
        via, passed = acts.via[node], set()
        while via != NONE:
            if not acts.shown(via) or via in passed:
                self._waiting.setdefault(via, set()).add(node)
                return _WAITING
            if acts.kind[via] != REPLY:
                return via if acts.root[via] == acts.root[node] and via != node else NONE
            passed.add(via)
            via = acts.via[via]
        return NONE

    def _infer(self, node: int) -> tuple[int, int]:
        """The parent that the ties make likely, or NONE, and whom of its own the account could have had it from."""
        acts = self._acts
        root, latest = acts.root[node], NONE
        exposure = BY_NONE
        for account in self._ties.followed.get(acts.actor[node], ()):
            for other in self._nodes_of.get(account, ()):
                if (
                    acts.root[other] == root
                    and not acts.gone[other]
                    and acts.earlier(other, node)
                    and not (self._against_clock and self._descends(other, node))
                ):
                    if other == root:
                        return root, BY_ROOT
                    exposure = BY_OTHERS
                    if latest == NONE or acts.earlier(latest, other):
                        latest = other
        return latest, exposure

    def _nodes_that_follow(self, act: int) -> Iterable[int]:
        """The nodes whose account follows the account of this one, in the same tree."""
        acts = self._acts
        for follower in self._ties.followers.get(acts.actor[act], ()):
            for node in self._nodes_of.get(follower, ()):
                if acts.root[node] == acts.root[act]:
                    yield node

    def _descends(self, node: int, ancestor: int) -> bool:
        """Whether declared edges lead from a node up to another."""
        passed = set()
        while node >= 0 and node not in passed:
            if node == ancestor:
                return True
            passed.add(node)
            node = self._declared[node]
        return False

    def _top(self, node: int) -> int:
        """Where the declared edges up from a node end."""
        passed = {node}
        while (above := self._declared[node]) >= 0 and above not in passed:
            passed.add(above)
            node = above
        return node

    def _break_loops(self, nodes: list[int], parents: list[int]) -> None:
        """Hang a node of each loop on its head instead; `parents` are those of `nodes`."""
        acts, place_of = self._acts, {node: place for place, node in enumerate(nodes)}
        walk_of = dict.fromkeys(nodes, NONE)
        for start in nodes:
            node, path = start, []
            while walk_of.get(node, start) == NONE:
                walk_of[node] = start
                path.append(node)
                node = parents[place_of[node]]
            if walk_of.get(node) == start:
                loop = path[path.index(node) :]
                weakest = min([n for n in loop if self.basis[n] == INFERRED] or loop, key=acts.order)
                if self.basis[weakest] == DECLARED and not acts.gone[weakest]:
                    self.exposure[weakest] = self._infer(weakest)[1]
                parents[place_of[weakest]], self.basis[weakest] = self.head(acts.root[weakest]), ASSUMED
                self.broken.append(weakest)

    def _make_room(self) -> None:
        more = len(self._acts) - len(self._declared)
        self._declared.extend(array("i", (NONE,)) * more)
        self.basis.extend(array("b", (NONE,)) * more)
        self.exposure.extend(array("b", (NONE,)) * more)
        self.forest.extend(max(0, len(self._acts) - len(self.forest.parent)))
