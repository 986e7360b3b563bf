"""What the report must say, computed from scratch in the most obvious way.

The incremental code keeps depth, parents and reach up to date one fact at a time; here everything is derived anew from
the set of events, quadratically and without shortcuts, so that the two share nothing but the contract. Meant for
worlds of some tens of valid events. Order and repetition of the lines change nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

Json = dict[str, Any]
Moment = tuple[int, str]  # (at, id): the order of two events, ids by code point, which is also their order in UTF-8
Pair = tuple[str, str]  # (follower, followed)

NODES = ("post", "share", "quote")
ACTS = (*NODES, "reply")
NAMING_AN_OFFER = (*ACTS, "counts", "outcome", "assign")


@dataclass
class Answer:
    """The report of a set of events: its lines by type, and the number of joints of each cascade by (offer, root)."""

    cascades: list[Json] = field(default_factory=list)
    offers: list[Json] = field(default_factory=list)
    edges: list[Json] = field(default_factory=list)
    joints: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class Offer:
    """One offer as it is seen: the acts shown in it, which of them live, and the facts of the accounts in it."""

    name: str
    acts: dict[str, Json]
    living: set[str]
    follows: set[Pair]
    profiles: list[Json]
    foreign_deletes: list[Json]


@dataclass
class Tree:
    """One cascade with its parents chosen and its loops broken."""

    root: str
    root_node: Json | None
    nodes: dict[str, Json]
    living: dict[str, Json]
    parent: dict[str, str]
    basis: dict[str, str]
    exposure: dict[str, int]
    joints: set[str]
    depth: dict[str, int]
    loops: int


def answer(lines: Sequence[Mapping[str, Any]]) -> Answer:
    """Derive the report's cascade, offer and edge lines from valid events in any order, repeated or not."""
    events = merged(lines)
    result = Answer()
    # An offer has a row as soon as any line names it, with zeros where nothing lives.
    for name in sorted({line["offer"] for line in lines if line["kind"] in NAMING_AN_OFFER}):
        offer = offer_as_seen(name, events)
        trees = [cascade_tree(offer, root) for root in sorted({a["root"] for a in offer.acts.values()})]
        trees = [tree for tree in trees if tree.living]
        for tree in trees:
            result.cascades.append(cascade_row(offer, tree))
            result.edges.extend(edge_lines(tree))
            result.joints[name, tree.root] = len(tree.joints)
        result.offers.append(offer_row(offer, trees))
    result.edges.sort(key=lambda edge: (edge["root"], edge["child"]))
    return result


# -- deliveries ------------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """Give the UTF-8 JSON text by which two values of one field are compared: "10" comes before "9"."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def merged(lines: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Merge the deliveries of each id, field by field: present beats absent, else the smaller in canonical JSON.

    Acts (post, share, quote, reply) of one id meet, and so does their kind; ids of different categories never meet.
    A null field counts as absent. A post has no `via`.
    """
    events: dict[tuple[str, str], Json] = {}
    for line in lines:
        category = "act" if line["kind"] in ACTS else line["kind"]
        event = events.setdefault((category, line["id"]), {})
        for name, value in line.items():
            if value is None or (name == "via" and line["kind"] == "post"):
                continue
            if name not in event or canonical(value) < canonical(event[name]):
                event[name] = value
    return list(events.values())


def moment(event: Mapping[str, Any]) -> Moment:
    """Give the place of an event in the order of events."""
    return event["at"], event["id"]


# -- what an offer sees ----------------------------------------------------------------------------------------------


def offer_of(act: Json, events: list[Json]) -> str:
    """Give the offer an act is shown in: the one its root was last assigned to, else its own."""
    assignments = [e for e in events if e["kind"] == "assign" and e["root"] == act["root"]]
    return str(max(assignments, key=moment)["offer"] if assignments else act["offer"])


def offer_as_seen(name: str, events: list[Json]) -> Offer:
    """Collect what one offer knows; an act shown in another offer has not arrived in this one."""
    acts = {e["id"]: e for e in events if e["kind"] in ACTS and offer_of(e, events) == name}
    # A forget is timeless: the account's acts are as deleted, whatever else it said vanishes.
    forgotten = {e["actor"] for e in events if e["kind"] == "forget"}
    heard = [e for e in events if e.get("actor") not in forgotten]
    deletes = [e for e in heard if e["kind"] == "delete" and e["target"] in acts]
    deleted = {e["target"] for e in deletes if e["actor"] == acts[e["target"]]["actor"]}
    # Facts of an account reach the offers in which it ever acted, be its acts deleted since.
    acted = {a["actor"] for a in acts.values()} - forgotten
    return Offer(
        name=name,
        acts=acts,
        living={i for i, a in acts.items() if i not in deleted and a["actor"] not in forgotten},
        follows=pairs_followed([e for e in heard if e["kind"] == "ties" and e["actor"] in acted], forgotten),
        profiles=[e for e in heard if e["kind"] == "profile" and e["actor"] in acted],
        # A foreign delete is an anomaly of its target's cascade if the deleter acted in the offer as well,
        # and the target's account is not erased.
        foreign_deletes=[
            e
            for e in deletes
            if e["actor"] in acted and e["actor"] != (author := acts[e["target"]]["actor"]) and author not in forgotten
        ],
    )


@dataclass
class WholeList:
    """A complete list of one side of an account, in one event or in pages: it denies what it does not name."""

    actor: str
    side: str
    names: set[str]
    moment: Moment

    def denies(self, pair: Pair) -> bool:
        """Tell whether the list asserts the absence of a pair."""
        follower, followed = pair
        if self.side == "follows":
            return follower == self.actor and followed not in self.names
        return followed == self.actor and follower not in self.names


def pairs_followed(ties: list[Json], forgotten: set[str]) -> set[Pair]:
    """Give the pairs whose assertion with the greatest (at, id) says that one follows the other."""
    # What is said of each pair: (moment, named, holds). Named pairs carry their own event's moment. At one moment a
    # naming wins over the absence in a complete list.
    said: dict[Pair, list[tuple[Moment, bool, bool]]] = defaultdict(list)
    for event in ties:
        actor, denied = event["actor"], set(event.get("unfollows", []))
        for account in denied:
            said[actor, account].append((moment(event), True, False))
        for account in set(event.get("follows", [])) - denied:  # named in both: the unfollow wins
            said[actor, account].append((moment(event), True, True))
        for account in event.get("followed_by", []):
            said[account, actor].append((moment(event), True, True))
    for whole in whole_lists(ties):
        for pair, assertions in said.items():
            if whole.denies(pair):
                assertions.append((whole.moment, False, False))
    return {
        (follower, followed)
        for (follower, followed), assertions in said.items()
        if max(assertions)[2] and follower != followed and not {follower, followed} & forgotten
    }


def whole_lists(ties: list[Json]) -> list[WholeList]:
    """Find the complete lists: single events, and paged lists of which every part that says `complete` has come.

    A page that does not say `complete`, like a list of which a part is missing, asserts only what it names.
    """
    single = [[e] for e in ties if e.get("complete") and not {"part", "of", "list"} & e.keys()]
    paged: dict[tuple[str, str, int], list[Json]] = defaultdict(list)
    for event in ties:
        if event.get("complete") and {"part", "of", "list"} <= event.keys():
            paged[event["actor"], event["list"], event["of"]].append(event)
    arrived = [pages for (_, _, of), pages in paged.items() if len({page["part"] for page in pages}) == of]
    lists = []
    for pages in single + arrived:
        for side in ("follows", "followed_by"):
            # A side is whole if any page has it, an empty one too.
            if any(side in page for page in pages):
                names: set[str] = set()
                for page in pages:
                    unfollows = page.get("unfollows", []) if side == "follows" else []
                    names |= set(page.get(side, [])) - set(unfollows)
                lists.append(WholeList(pages[0]["actor"], side, names, max(moment(page) for page in pages)))
    return lists


# -- parents ---------------------------------------------------------------------------------------------------------


def via_end(offer: Offer, node: Json) -> str | None:
    """Follow a node's `via` through replies, deleted and erased ones too, to the id of a node of the offer.

    None if it ends at an id that has not arrived in this offer, or in a loop of replies.
    """
    passed: list[str] = []
    here: str = node["via"]
    while here in offer.acts and offer.acts[here]["kind"] == "reply" and here not in passed:
        passed.append(here)
        here = offer.acts[here]["via"]
    return here if here in offer.acts and here not in passed else None


def walk_up(start: str, parent: Mapping[str, str]) -> list[str]:
    """List a node and its ancestors; in a loop, each once."""
    path: list[str] = []
    here: str | None = start
    while here is not None and here not in path:
        path.append(here)
        here = parent.get(here)
    return path


def candidates(offer: Offer, nodes: Mapping[str, Json], declared: Mapping[str, str], child: Json) -> list[Json]:
    """List the nodes a child may have come through, as its account's ties tell.

    Living and earlier nodes of the cascade, the root among them, whose account the child's account follows; never its
    own account's, never its descendants over declared edges: as declared, before loops are broken, through deleted
    nodes as well.
    """
    return [
        node
        for node in nodes.values()
        if node["id"] in offer.living
        and moment(node) < moment(child)
        and (child["actor"], node["actor"]) in offer.follows
        and node["actor"] != child["actor"]
        and child["id"] not in walk_up(node["id"], declared)
    ]


def cascade_tree(offer: Offer, root: str) -> Tree:
    """Choose the parent and the basis of every node of a cascade, break the loops, and measure depths."""
    # The root is the node whose id is the cascade's root, whatever its kind; a reply is never a node.
    nodes = {i: a for i, a in offer.acts.items() if a["kind"] in NODES and a["root"] == root}
    living = {i: a for i, a in nodes.items() if i in offer.living}
    others = {i: a for i, a in nodes.items() if i != root}  # the root has no parent, its via is ignored

    ends = {i: via_end(offer, node) for i, node in others.items() if "via" in node}
    # A via to a node of another root, or to the node itself, is as none.
    declared = {i: end for i, end in ends.items() if end is not None and end in nodes and end != i}
    waiting = {i for i, end in ends.items() if end is None}
    possible = {i: candidates(offer, nodes, declared, node) for i, node in others.items() if i in living}

    parent: dict[str, str] = {}
    basis: dict[str, str] = {}
    for i in others:
        if i in declared:
            parent[i], basis[i] = declared[i], "declared"
        elif i in living and i not in waiting and possible[i]:
            at_root = [node for node in possible[i] if node["id"] == root]
            parent[i], basis[i] = max(at_root or possible[i], key=moment)["id"], "inferred"
        else:  # so is a deleted node that declares no parent
            parent[i], basis[i] = root, "assumed"

    # Each node has one parent, so loops are apart, and a node hung on the root closes no new one.
    paths = [walk_up(i, parent) for i in others]
    loops = {frozenset(path) for path in paths if parent.get(path[-1]) == path[0]}
    # Only a loop that holds something living, in it or below it, is an anomaly.
    loops_broken = sum(any(loop & set(walk_up(i, parent)) for i in living) for loop in loops)
    for loop in loops:
        inferred = [i for i in loop if basis[i] == "inferred"]
        first = min(inferred or loop, key=lambda i: moment(nodes[i]))
        parent[first], basis[first] = root, "assumed"

    exposure = {"root": 0, "others": 0, "none": 0}
    for i, came_through in possible.items():
        if basis[i] != "declared":
            ids = {node["id"] for node in came_through}
            exposure["root" if root in ids else "others" if ids else "none"] += 1

    joints = joints_of(others.keys() - living.keys(), living, parent, basis)
    return Tree(
        root=root,
        root_node=nodes.get(root),
        nodes=nodes,
        living=living,
        parent=parent,
        basis=basis,
        exposure=exposure,
        joints=joints,
        depth=distances(root, [(i, parent[i]) for i in {*living, *joints} if i != root]),
        loops=loops_broken,
    )


def joints_of(
    deleted: Collection[str], living: Collection[str], parent: Mapping[str, str], basis: Mapping[str, str]
) -> set[str]:
    """Find the deleted nodes that stay: those with a declared child that lives or stays itself. The head is none."""
    joints: set[str] = set()
    while True:
        held = {parent[i] for i in {*living, *joints} if basis.get(i) == "declared"}
        more = (held & set(deleted)) - joints
        if not more:
            return joints
        joints |= more


def distances(start: str, edges: Collection[tuple[str, str]]) -> dict[str, int]:
    """Measure the distance from one node to each, over edges in both directions, breadth first."""
    distance = {start: 0}
    front = [start]
    while front:
        reached = [b for i in front for edge in edges for a, b in (edge, edge[::-1]) if a == i and b not in distance]
        distance |= {i: distance[front[0]] + 1 for i in reached}
        front = reached
    return distance


# -- rows ------------------------------------------------------------------------------------------------------------


def structural_virality(tree: Tree) -> float:
    """Give the mean distance over ordered pairs of living nodes, joints and head on the way (Goel et al. 2015)."""
    n = len(tree.living)
    if n < 2:
        return 0.0
    edges = [(i, tree.parent[i]) for i in {*tree.living, *tree.joints} if i != tree.root]
    total = 0
    for i in tree.living:
        distance = distances(i, edges)
        total += sum(distance[j] for j in tree.living)
    return round(total / (n * (n - 1)), 9)


def cascade_row(offer: Offer, tree: Tree) -> Json:
    """Write the report line of a cascade."""
    living = list(tree.living.values())
    bases = [tree.basis[i] for i in tree.living if i != tree.root]
    foreign = [e for e in offer.foreign_deletes if offer.acts[e["target"]]["root"] == tree.root]
    return {
        "type": "cascade",
        "offer": offer.name,
        "root": tree.root,
        "root_seen": tree.root_node is not None,
        # The root's network if it has arrived, deleted or not, else the smallest of the living nodes'.
        "network": tree.root_node["network"] if tree.root_node else min(node["network"] for node in living),
        "nodes": len(living),
        "participants": len({node["actor"] for node in living}),
        "depth": max(tree.depth[i] for i in tree.living),
        "max_breadth": max_breadth([tree]),
        "structural_virality": structural_virality(tree),
        "edges": {basis: bases.count(basis) for basis in ("declared", "inferred", "assumed")},
        "exposure": tree.exposure,
        "reach": reach(offer, [tree]),
        "first_at": min(node["at"] for node in living),
        "last_at": max(node["at"] for node in living),
        "anomalies": tree.loops + len(foreign),
    }


def edge_lines(tree: Tree) -> list[Json]:
    """Write the edge of each living node but the root; its parent may be a joint."""
    return [
        {
            "root": tree.root,
            "child": i,
            "parent": tree.parent[i],
            "basis": tree.basis[i],
            "probability": 1 if tree.basis[i] == "declared" else None,
        }
        for i in tree.living
        if i != tree.root
    ]


def offer_row(offer: Offer, trees: list[Tree]) -> Json:
    """Write the report line of an offer: the forest of its cascades, zeros if nothing lives there."""
    living = [node for tree in trees for node in tree.living.values()]
    networks = {}
    for network in sorted({node["network"] for node in living}):
        there = [node for node in living if node["network"] == network]
        networks[network] = {"nodes": len(there), "participants": len({node["actor"] for node in there})}
    return {
        "type": "offer",
        "offer": offer.name,
        "cascades": len(trees),
        "nodes": len(living),
        "participants": len({node["actor"] for node in living}),
        # Living replies, whether or not their root ever arrived.
        "replies": sum(offer.acts[i]["kind"] == "reply" for i in offer.living),
        "depth": max((tree.depth[i] for tree in trees for i in tree.living), default=0),
        "max_breadth": max_breadth(trees),
        "reach": reach(offer, trees),
        "networks": networks,
    }


def max_breadth(trees: list[Tree]) -> int:
    """Count the living nodes of the fullest level, levels summed over the trees."""
    levels = [tree.depth[i] for tree in trees for i in tree.living]
    return max((levels.count(level) for level in levels), default=0)


def reach(offer: Offer, trees: list[Tree]) -> Json:
    """Bound the distinct accounts that follow a participant of a row (a cascade, or all those of an offer)."""
    living = [node for tree in trees for node in tree.living.values()]
    # An account with nodes on two networks is taken with the smallest.
    network_of = {node["actor"]: min(n["network"] for n in living if n["actor"] == node["actor"]) for node in living}
    followers = {b: known_followers(offer, b) for b in network_of}
    known = set().union(*followers.values())
    low, estimate, high = 0, 0, 0
    bounded = True
    for network in set(network_of.values()):
        there = [b for b in network_of if network_of[b] == network]
        known_there = len(set().union(*(followers[b] for b in there)))
        audiences = [audience(len(followers[b]), latest_count(offer, living, b)) for b in there]
        counted = [a for a in audiences if a is not None]
        low_there = max([known_there, *counted])
        low += low_there
        if len(counted) < len(audiences):
            bounded = False
            continue
        high_there = max(low_there, sum(counted))
        pairs = sum(len(followers[b]) for b in there)
        # Followers overlap as much as the known ones do; where none is known, the geometric middle.
        guess = (sum(counted) * known_there + pairs // 2) // pairs if pairs else isqrt(low_there * high_there)
        estimate += min(max(guess, low_there), high_there)
        high += high_there
    return {
        "known": len(known),
        "low": low,
        "estimate": estimate if bounded else None,
        "high": high if bounded else None,
        "beyond": beyond(offer, trees, known),
    }


def beyond(offer: Offer, trees: list[Tree], known: set[str]) -> int | None:
    """Count the known accounts that follow no author of a root, if every root lives and its author is followed."""
    authors = [tree.living[tree.root]["actor"] for tree in trees if tree.root in tree.living]
    if not trees or len(authors) < len(trees) or not all(known_followers(offer, author) for author in authors):
        return None
    return len(known.difference(*(known_followers(offer, author) for author in authors)))


def known_followers(offer: Offer, account: str) -> set[str]:
    """List the accounts known to follow one, participants or not."""
    return {follower for follower, followed in offer.follows if followed == account}


def latest_count(offer: Offer, living: list[Json], account: str) -> int | None:
    """Give the follower count with the greatest (at, id) among an account's profiles and its living nodes in a row."""
    snapshots = [e for e in (*offer.profiles, *living) if e["actor"] == account and "followers" in e]
    return max(snapshots, key=moment)["followers"] if snapshots else None


def audience(known: int, count: int | None) -> int | None:
    """Give how many follow one account at least, or None where nothing is known of it."""
    if count is None:
        return known or None
    return max(known, count)
