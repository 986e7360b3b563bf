"""One offer: its facts in, its cascades out.

`add` takes facts; nothing is derived then. A question (`cascades`, `line`, `edges`, ...) first settles what has come
since the last one: step by step where little came, from scratch where much did or where a fact was of a kind that
rarely comes (a second delivery that differs, an erasure, an assignment).
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spread import parts, reach, report
from spread import velocity as speed
from spread.acts import NONE, Places
from spread.arrays import distinct, is_first
from spread.evidence import Evidence
from spread.facts import KIND_NAMES, Closed, Digests
from spread.parents import ASSUMED, BASES, BY_NONE, BY_OTHERS, BY_ROOT, DECLARED, EXPOSURES, INFERRED, Parents
from spread.timeline import Timeline


class Offer(Evidence):
    """All that is known of how one offer spreads. Not thread-safe."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._parents = Parents(self._acts, self._ties)
        self._settled = 0
        self._audiences: dict[int, Digests] = {}
        self._lines: list[report.CascadeLine] | None = None
        self._alive: Places | None = None

    def settle(self) -> None:
        """Bring trees and parents up to date with the facts."""
        if not self._unsettled:
            return
        acts = self._acts
        if self._from_scratch or acts.placed or acts.elsewhere or len(self._new) > self._settled:
            self._parents.rebuild(self._silent())
        else:
            self._parents.update(self._new, self._changed, self._silent())
        self._settled += len(self._new)
        self._new, self._changed = [], set()
        self._from_scratch = self._unsettled = False
        self._audiences, self._lines, self._alive = {}, None, None

    def cascades(self) -> list[report.CascadeLine]:
        """A line for each cascade with a living node, by root."""
        self.settle()
        if self._lines is None:
            living = self._living()
            roots = self._column(self._acts.root)[living]
            order = roots.argsort(kind="stable")
            starts = is_first(roots[order]).nonzero()[0].tolist() if len(order) else []
            parts = [living[order[start:end]] for start, end in pairwise([*starts, len(order)])]
            foreign = self._foreign_deletes()
            lines = [self._cascade(self._acts.root[int(part[0])], part, foreign) for part in parts]
            self._lines = sorted(lines, key=lambda line: line.root)
        return self._lines

    def line(self) -> report.OfferLine:
        """The line of the offer as a whole."""
        cascades = self.cascades()
        living = self._living()
        acts = self._acts
        if len(cascades) == 1:
            participants, reached = cascades[0].participants, cascades[0].reach
        else:
            participants, reached = self._reach(living, [acts.number(cascade.root) for cascade in cascades])
        breadths = self.generations()
        network, networks = self._column(acts.network)[living], {}
        for number in distinct(network).tolist():
            there = self._column(acts.actor)[living[network == number]]
            networks[acts.networks[number]] = report.OnNetwork(len(there), len(distinct(there)))
        line = report.OfferLine(
            self.id,
            len(cascades),
            len(living),
            participants,
            self._replies(),
            max((cascade.depth for cascade in cascades), default=0),
            max(breadths, default=0),
            reached,
            dict(sorted(networks.items())),
        )
        return parts.whole(line, breadths, self._closed_parts())

    def edges(self) -> Iterator[report.EdgeLine]:
        """An edge for each living node but the roots."""
        self.settle()
        acts, forest, basis = self._acts, self._parents.forest, self._parents.basis
        for node in self._living().tolist():
            root = acts.root[node]
            if node != root:
                sure = 1 if basis[node] == DECLARED else None
                parent = forest.parent[node]
                above = root if parent == self._parents.head(root) else parent
                yield report.EdgeLine(acts.ids[root], acts.ids[node], acts.ids[above], BASES[basis[node]], sure)

    def node_lines(self) -> list[bytes]:
        """A line for each living node, as it is written, by root and id. It names no account."""
        self.settle()
        acts, forest = self._acts, self._parents.forest
        found = (
            report.NodeLine(
                acts.ids[acts.root[node]],
                acts.ids[node],
                KIND_NAMES[acts.kind[node]],
                acts.networks[acts.network[node]],
                acts.at[node],
                forest.depth[node],
                None if acts.followers[node] == NONE else acts.followers[node],
            )
            for node in self._living().tolist()
        )
        return [report.encode(line) for line in sorted(found, key=lambda line: (line.root, line.id))]

    def passed_on(self) -> dict[str, dict[str, int]]:
        """By account, how many living nodes were passed on by it, by the basis of that; who passed nothing is not."""
        self.settle()
        acts, forest, basis = self._acts, self._parents.forest, self._parents.basis
        found: dict[str, dict[str, int]] = {}
        for node in self._living().tolist():
            root, parent = acts.root[node], forest.parent[node]
            above = root if parent == self._parents.head(root) else parent
            if node != root and not acts.gone[above] and acts.actor[above] != NONE:
                of = found.setdefault(acts.accounts[acts.actor[above]], dict.fromkeys(BASES, 0))
                of[BASES[basis[node]]] += 1
        return found

    def report_lines(self) -> Iterator[bytes]:
        """The lines of the report, as they are written: of a closed offer those that were kept."""
        if self.closed is not None:
            yield from self.closed.lines
            return
        lines = [*self.cascades(), *parts.cascade_lines(self._closed_parts())]
        yield from map(report.encode, sorted(lines, key=lambda line: line.root))
        yield report.encode(self.line())

    def edge_lines(self) -> list[bytes]:
        """The edges, as they are written."""
        return sorted(map(report.encode, self.edges()))

    def bases(self) -> dict[str, int]:
        """Edges of the whole offer by basis."""
        self.settle()
        basis = self._column(self._parents.basis)[self._living()]
        return {name: int((basis == number).sum()) for number, name in enumerate(BASES)}

    def bases_by_network(self) -> dict[str, dict[str, int]]:
        """The same for the nodes of each network."""
        self.settle()
        living = self._living()
        network, basis = self._column(self._acts.network)[living], self._column(self._parents.basis)[living]
        return {
            self._acts.networks[place]: {
                name: int((basis[network == place] == number).sum()) for number, name in enumerate(BASES)
            }
            for place in distinct(network).tolist()
        }

    def generations(self) -> list[int]:
        """Living nodes at each depth, over all cascades."""
        self.settle()
        depths: list[int] = np.bincount(self._column(self._parents.forest.depth)[self._living()]).tolist()
        return depths

    def reach_by_generation(self) -> list[int]:
        """Known accounts first reached at each depth, over all cascades."""
        self.settle()
        living = self._living()
        depth = self._column(self._parents.forest.depth)[living]
        actor = self._column(self._acts.actor)[living]
        generations = [
            [self._audience(account) for account in distinct(actor[depth == level]).tolist()]
            for level in range(int(depth.max()) + 1 if len(depth) else 0)
        ]
        return reach.by_generation(generations)

    def velocity(self, now: int) -> speed.Velocity:
        """The speed at `now` (ms)."""
        self.settle()
        first = self.first_at()
        return speed.velocity(self._share_times(), first, now)

    def curve(self) -> speed.Curve:
        """Shares over time."""
        self.settle()
        return speed.curve(self._share_times())

    def timeline(self) -> Timeline:
        """What happened in the order of time."""
        self.settle()
        acts, parents = self._acts, self._parents
        living = self._living()
        living = living[np.argsort(self._column(acts.at)[living], kind="stable")]
        root = self._column(acts.root)[living]
        return Timeline(
            at=self._column(acts.at)[living],
            is_share=living != root,
            network=self._column(acts.network)[living].astype(np.int64),
            networks=acts.networks,
            known_parent=self._column(parents.basis)[living] != ASSUMED,
            passed_on=self._column(parents.forest.depth)[living] > 1,
            below_one=self._below_one(living),
            followers=self._followers(living),
            clicks=self._outcomes_by_time("click"),
            applications=self._outcomes_by_time("application"),
        )

    def past(self) -> tuple[int, speed.Curve] | None:
        """When it was first posted (ms), and its shares over time; None if there is none."""
        closed = self.closed
        first = self.first_at() if closed is None else report.began(closed.lines)
        if first is None:
            return None
        if closed is None:
            return first, self.curve()
        return first, speed.Curve(closed.curve_start, closed.curve_width, closed.curve)

    def first_at(self) -> int | None:
        """When the first living node came, in ms."""
        self.settle()
        at = self._column(self._acts.at)[self._living()]
        return int(at.min()) if len(at) else None

    def moved_at(self) -> int:
        """The latest moment of any act or outcome, in ms; 0 without any."""
        return max(self.last_at(), max((outcome.at for outcome in self._outcomes.values()), default=0))

    def shares_after(self, moment: int) -> int:
        """Living shares later than a moment (ms)."""
        self.settle()
        return int((self._share_times() > moment).sum())

    def joints(self) -> dict[str, int]:
        """By root, the deleted nodes that hold living ones to the tree (the root itself not counted)."""
        self.settle()
        acts, forest = self._acts, self._parents.forest
        joints: dict[str, int] = {}
        for node in range(len(acts)):
            if acts.is_node(node) and acts.gone[node] and forest.size[node] and node != acts.root[node]:
                root = acts.ids[acts.root[node]]
                joints[root] = joints.get(root, 0) + 1
        return joints

    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        return self._acts.nbytes() + self._parents.nbytes() + self._ties.nbytes() + 4_000

    def _closed_parts(self) -> list[Closed]:
        """What it closed with on single networks."""
        return list({id(part): part for part in self.parts.values()}.values())

    def _cascade(self, root: int, living: Places, foreign: dict[int, int]) -> report.CascadeLine:
        acts, parents = self._acts, self._parents
        shape = parents.forest.shapes[parents.head(root)]
        at = self._column(acts.at)[living]
        others = living[living != root]
        basis = np.bincount(self._column(parents.basis)[others], minlength=len(BASES)).tolist()
        # One off, as NONE is -1.
        exposure = np.bincount(self._column(parents.exposure)[others] + 1, minlength=1 + len(EXPOSURES)).tolist()
        participants, reached = self._reach(living, [root])
        seen = acts.is_root(root)
        networks = {acts.networks[n] for n in distinct(self._column(acts.network)[living]).tolist()}
        broken = sum(1 for node in parents.broken if acts.root[node] == root and parents.forest.size[node])
        return report.CascadeLine(
            self.id,
            acts.ids[root],
            seen,
            acts.networks[acts.network[root]] if seen else min(networks),
            len(living),
            participants,
            shape.depth,
            shape.max_breadth,
            report.rounded(shape.structural_virality),
            report.Edges(basis[DECLARED], basis[INFERRED], basis[ASSUMED]),
            report.Exposure(exposure[1 + BY_ROOT], exposure[1 + BY_OTHERS], exposure[1 + BY_NONE]),
            reached,
            int(at.min()),
            int(at.max()),
            broken + foreign.get(root, 0),
        )

    def _reach(self, living: Places, roots: list[int]) -> tuple[int, reach.Reach]:
        """How many took part, and how many they reached."""
        if not len(living):
            return 0, report.EMPTY_REACH
        acts = self._acts
        actor, network = self._column(acts.actor)[living], self._column(acts.network)[living]
        if len(acts.networks) > 1:  # an account seen on two networks is taken with the first by name
            rank = np.argsort(np.argsort([acts.networks[n] for n in range(len(acts.networks))]))
            by_rank = rank[network].argsort(kind="stable")
            actor, network = actor[by_rank], network[by_rank]
        order = actor.argsort(kind="stable")
        first = order[is_first(actor[order])]
        accounts = actor[first]
        known = {}
        if self._ties:
            audiences = ((place, self._audience(account)) for place, account in enumerate(accounts.tolist()))
            known = {place: audience for place, audience in audiences if len(audience)}
        authors = None
        if all(acts.is_root(root) and not acts.gone[root] for root in roots):
            authors = [self._audience(acts.actor[root]) for root in roots] if self._ties else []
        audience = reach.Audience(network[first], self._stated(living, accounts), known)
        return len(accounts), reach.reach(audience, authors)

    def _stated(self, living: Places, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The latest stated follower count of each account (sorted), from these nodes and all profiles; -1 without."""
        acts = self._acts
        stated = np.full(len(accounts), NONE, dtype=np.int64)
        followers = self._column(acts.followers)[living]
        nodes = living[followers != NONE]
        if len(nodes):
            actor, at = self._column(acts.actor)[nodes], self._column(acts.at)[nodes]
            order = np.lexsort((at, actor))
            nodes, actor, at = nodes[order], actor[order], at[order]
            last = is_first(actor[::-1])[::-1]
            latest = nodes[last]
            same = ((actor[1:] == actor[:-1]) & (at[1:] == at[:-1])).nonzero()[0].tolist()
            place = np.cumsum(last) - last if same else last
            for one in same:  # equal moments: the greater id is the later
                for node in (int(nodes[one]), int(nodes[one + 1])):
                    if acts.earlier(int(latest[place[one]]), node):
                        latest[place[one]] = node
            stated[np.searchsorted(accounts, actor[last])] = self._column(acts.followers)[latest]
        if self._profiles:
            node_of = {acts.actor[node]: node for node in (latest.tolist() if len(nodes) else ())}
            for account, profiles in self._profiles.items():
                place_of = int(np.searchsorted(accounts, account))
                if place_of < len(accounts) and accounts[place_of] == account:
                    profile = max(profiles.values(), key=lambda p: (p.at, p.id))
                    node = node_of.get(account, NONE)
                    if node == NONE or acts.order(node) < (profile.at, profile.id):
                        stated[place_of] = profile.followers
        return stated

    def _below_one(self, nodes: Places) -> NDArray[np.bool_]:
        """Which of some living nodes are in the largest subtree below a share; of equal ones the earliest."""
        acts, forest = self._acts, self._parents.forest
        shares = nodes[nodes != self._column(acts.root)[nodes]]
        is_below = np.zeros(len(forest.parent), dtype=bool)
        if len(shares):
            size = self._column(forest.size)[shares]
            one = min(shares[size == size.max()].tolist(), key=acts.order)
            is_below[list(forest.subtree(one))] = True
        return is_below[nodes]

    def _followers(self, nodes: Places) -> NDArray[np.int64]:
        """The follower count of each of some nodes: as it was stated with it, else the account's latest; else 0."""
        acts = self._acts
        followers = self._column(acts.followers)[nodes]
        if self._profiles:
            latest = {
                account: max(profiles.values(), key=lambda p: (p.at, p.id)).followers
                for account, profiles in self._profiles.items()
            }
            actor = self._column(acts.actor)[nodes]
            for place in (followers == NONE).nonzero()[0].tolist():
                followers[place] = latest.get(int(actor[place]), 0)
        return np.maximum(followers, 0)

    def _audience(self, account: int) -> Digests:
        known = self._audiences.get(account)
        if known is None:
            known = self._audiences[account] = self._ties.audience(account)
        return known

    def _living(self) -> Places:
        """The numbers of all living nodes, as of the last question."""
        if self._alive is None:
            nodes = self._acts.nodes()
            self._alive = nodes[self._column(self._acts.gone)[nodes] == 0]
        return self._alive

    def _share_times(self) -> speed.Times:
        living = self._living()
        shares = living[living != self._column(self._acts.root)[living]]
        return np.sort(self._column(self._acts.at)[shares])
