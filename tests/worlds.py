"""Small adversarial worlds of social events, for properties that must hold whatever happened in whatever order.

Every event is valid by the contract and ids are unique. Times are few, so that (at, id) often decides by the id, and
native ids are numbers of one or two digits, so that "x:10" comes before "x:9". Most acts point into their own cascade
and most ties are between accounts that act, so that parents, joints, loops and reach depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Event = dict[str, Any]

NOON = 1_700_000_000_000
ACCOUNTS = ("x:ana", "x:bob", "x:cyd", "bluesky:dan", "bluesky:eve")
OUTSIDERS = ("x:out", "x:pat", "bluesky:out")  # follow and are followed, seldom speak for themselves, never act
OFFERS = ("offer-1", "offer-2")

TIMES = st.integers(0, 5).map(lambda minute: NOON + 60_000 * minute)
COUNTS = st.sampled_from([0, 1, 2, 9, 10, 100])
SOMETIMES = st.sampled_from([False, False, False, True])
SELDOM = st.sampled_from([False] * 7 + [True])
PEOPLE = st.lists(st.sampled_from([*ACCOUNTS, *OUTSIDERS]), max_size=4)
CROWD = st.lists(st.sampled_from([*ACCOUNTS, *OUTSIDERS]), min_size=3, max_size=8)
SOURCES = st.sampled_from(["stream", "poll", "backfill", "import", "simulator"])


def worlds() -> SearchStrategy[list[Event]]:
    """Draw the events of some cascades and of the accounts around them, each once, in order of arrival."""
    return _worlds()


@st.composite
def _worlds(draw: DrawFn) -> list[Event]:
    accounts = ACCOUNTS[: draw(st.integers(2, len(ACCOUNTS)))]
    if len(accounts) < 4 and draw(st.booleans()):
        accounts = (*accounts[:-1], ACCOUNTS[3])  # two networks in a small world too
    numbers = iter(draw(st.permutations(range(1, 61))))
    acts = _acts(draw, accounts, numbers)
    if draw(SELDOM):
        acts += _mixed_loop(draw, accounts, numbers)
    rest = [
        *_deletes(draw, accounts, numbers, acts),
        *_ties(draw, accounts, numbers, acts),
        *_pages(draw, accounts, numbers),
        *_facts(draw, accounts, numbers, acts),
    ]
    return draw(st.permutations([*acts, *rest]))


def _event(draw: DrawFn, numbers: Iterator[int], kind: str, actor: str | None, **fields: Any) -> Event:
    network = (actor or "x:").partition(":")[0]
    event: Event = {"v": 1, "id": f"{network}:{next(numbers)}", "kind": kind, "network": network, "at": draw(TIMES)}
    if actor is not None:
        event["actor"] = actor
    if draw(SELDOM):
        event["source"] = draw(SOURCES)
    return event | fields


def _acts(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int]) -> list[Event]:
    account = st.sampled_from(accounts)
    roots = [
        _event(draw, numbers, "post", draw(account), offer=draw(st.sampled_from(OFFERS)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    for root in roots:
        root["root"] = root["id"]
    kinds = st.sampled_from(["share", "share", "share", "quote", "quote", "reply"])
    rest = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 10]))):
        root = draw(st.sampled_from([roots[0], roots[0], *roots]))
        act = _event(draw, numbers, draw(kinds), draw(account), offer=root["offer"], root=root["id"])
        if draw(SELDOM):
            act["offer"] = draw(st.sampled_from(OFFERS))
        rest.append(act)
    # Now that all are there, a via may point anywhere: ahead, round in a loop, out of the cascade, to itself.
    everyone = [*roots, *rest]
    for act in rest:
        kin = [other["id"] for other in rest if other["root"] == act["root"] and other is not act]
        bound = act["kind"] != "share"
        where = draw(st.sampled_from(["kin", "kin", "kin", "root", "any", "unseen"] + ["none"] * (0 if bound else 10)))
        if where == "kin" and kin:
            act["via"] = draw(st.sampled_from(kin))
        elif where == "any":
            act["via"] = draw(st.sampled_from([other["id"] for other in everyone]))
        elif where == "unseen":
            act["via"] = "x:unseen"
        elif where == "root" or bound:
            act["via"] = act["root"]
    for act in everyone:
        if draw(SOMETIMES):
            act["followers"] = draw(COUNTS)
        if act["kind"] != "share" and draw(SELDOM):
            act["text"] = draw(st.sampled_from(["nous recrutons", "é", ""]))
        if draw(SELDOM):  # one account on two networks
            act["network"] = draw(st.sampled_from(["x", "bluesky"]))
    for root in roots:
        if draw(SELDOM):  # the first matched post of a chain may be a quote
            root["kind"] = "quote"
            root["via"] = draw(st.sampled_from([act["id"] for act in everyone]))
    arrived = [root for root in roots if not draw(SELDOM)]
    return [*arrived, *rest]


def _mixed_loop(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int]) -> list[Event]:
    """Draw four shares that close a loop once the ties are known by which two of them are inferred.

    early_1 names late_2 as its parent and early_2 names late_1; late_1 may follow early_1 and late_2 early_2.
    """
    first, second = draw(st.sampled_from(accounts)), draw(st.sampled_from(accounts))
    others = st.sampled_from(accounts)
    early, late = [], []
    for author in (first, second):
        early.append(_event(draw, numbers, "share", author, offer=OFFERS[0], root="x:planted"))
        late.append(_event(draw, numbers, "share", draw(others), offer=OFFERS[0], root="x:planted"))
        late[-1]["at"] = early[-1]["at"] + 60_000
    early[0]["via"], early[1]["via"] = late[1]["id"], late[0]["id"]
    return early + late


def _deletes(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int], acts: list[Event]) -> list[Event]:
    deletes = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3, 4]))):
        if not acts or draw(SELDOM):
            deletes.append(_event(draw, numbers, "delete", draw(st.sampled_from(accounts)), target="x:unseen"))
            continue
        between = [act for act in acts if any(other.get("via") == act["id"] for other in acts)]
        act = draw(st.sampled_from([*acts, *between, *between]))
        actor = draw(st.sampled_from([*accounts, *OUTSIDERS])) if draw(SOMETIMES) else act["actor"]
        deletes.append(_event(draw, numbers, "delete", actor, target=act["id"]))
    return deletes


def _lists(draw: DrawFn, *, unfollows: bool) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    sides = draw(st.sampled_from(["follows", "followed_by", "both", "neither" if unfollows else "follows"]))
    if sides in ("follows", "both"):
        fields["follows"] = draw(st.one_of(PEOPLE, CROWD))
    if sides in ("followed_by", "both"):
        fields["followed_by"] = draw(st.one_of(PEOPLE, CROWD))
    if unfollows and (sides == "neither" or draw(SOMETIMES)):
        fields["unfollows"] = draw(PEOPLE)
    return fields


def _ties(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int], acts: list[Event]) -> list[Event]:
    ties = []
    # What a node without a via may have come through: ties that infer a parent.
    shares = [act for act in acts if "via" not in act and act["kind"] == "share"]
    for share in shares:
        earlier = [a for a in acts if a["root"] == share["root"] and (a["at"], a["id"]) < (share["at"], share["id"])]
        if draw(st.booleans()) and earlier:
            follows = [draw(st.sampled_from(earlier))["actor"]]
            ties.append(_event(draw, numbers, "ties", share["actor"], follows=follows))
    for _ in range(draw(st.sampled_from([0, 1, 2, 3, 4, 5]))):
        actor = draw(st.sampled_from(OUTSIDERS if draw(SELDOM) else accounts))
        event = _event(draw, numbers, "ties", actor, **_lists(draw, unfollows=True))
        if draw(SOMETIMES):
            event["complete"] = draw(st.sampled_from([True, True, True, False]))
        ties.append(event)
    return ties


def _pages(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int]) -> list[Event]:
    """Draw one list in pages, perhaps with a part missing, given twice, or not said to be complete."""
    if not draw(SOMETIMES):
        return []
    actor = draw(st.sampled_from(accounts))
    of = draw(st.integers(1, 3))
    parts = [part for part in range(1, of + 1) if not draw(SELDOM)]
    if draw(SELDOM):
        parts.append(draw(st.integers(1, of)))
    pages = []
    for part in parts:
        page = _event(draw, numbers, "ties", actor, **_lists(draw, unfollows=False), list="list-1", part=part, of=of)
        if not draw(SELDOM):
            page["complete"] = True
        pages.append(page)
    return pages


def _facts(draw: DrawFn, accounts: tuple[str, ...], numbers: Iterator[int], acts: list[Event]) -> list[Event]:
    roots = sorted({act["root"] for act in acts})
    account, offer = st.sampled_from([*accounts, OUTSIDERS[0]]), st.sampled_from(OFFERS)
    facts = [
        _event(draw, numbers, "profile", draw(account), followers=draw(COUNTS))
        for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3])))
    ]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        root = draw(st.sampled_from([*roots, "x:unseen"]))
        facts.append(_event(draw, numbers, "assign", None, offer=draw(offer), root=root))
    if draw(SOMETIMES):
        facts.append(_event(draw, numbers, "forget", draw(account)))
        theirs = [act["id"] for act in acts if act["actor"] == facts[-1]["actor"]]
        if draw(st.booleans()) and theirs:  # another account wanted it gone as well
            target = draw(st.sampled_from(theirs))
            facts.append(_event(draw, numbers, "delete", draw(st.sampled_from(accounts)), target=target))
    if draw(SELDOM):
        totals = {"target": draw(st.sampled_from([*roots, "x:unseen"])), "shares": draw(COUNTS), "likes": draw(COUNTS)}
        facts.append(_event(draw, numbers, "counts", None, offer="offer-3", **totals))
    if draw(SELDOM):
        stage = draw(st.sampled_from(["click", "application", "hire"]))
        facts.append(_event(draw, numbers, "outcome", None, offer=draw(offer), stage=stage, n=draw(COUNTS)))
    if draw(SELDOM):
        window = {"from": NOON, "to": NOON + 60_000, "why": "rate limit"}
        facts.append(_event(draw, numbers, "gap", None, **window))
    return facts


@st.composite
def redelivered(draw: DrawFn, world: list[Event]) -> list[Event]:
    """Draw a world with more deliveries of some of its ids, some of them saying something else, in order of arrival.

    The actor stays. Where an account is forgotten the lists of its neighbours, and the offer and root of acts, stay
    too: what is erased can no longer be compared.
    """
    forgets = any(event["kind"] == "forget" for event in world)
    again = draw(st.lists(st.sampled_from(world), max_size=6)) if world else []
    return draw(st.permutations([*world, *(_altered(draw, event, world, forgets) for event in again)]))


def _altered(draw: DrawFn, event: Event, world: list[Event], forgets: bool) -> Event:
    kind = event["kind"]
    known = sorted({e["id"] for e in world if "root" in e and "actor" in e})
    roots = sorted({e["root"] for e in world if "root" in e})
    changes: dict[str, SearchStrategy[Any]] = {"at": TIMES}
    if kind in ("post", "share", "quote", "reply"):
        changes["followers"] = st.one_of(st.none(), COUNTS)
        if not forgets:
            changes["offer"] = st.sampled_from(OFFERS)
    if kind in ("share", "quote"):
        changes |= {"kind": st.sampled_from(["share", "quote"])}
    if kind in ("share", "quote", "reply"):
        changes["via"] = st.sampled_from([*known, "x:unseen"])
        if not forgets:
            changes["root"] = st.sampled_from([*roots, event["id"]])
    if kind in ("post", "quote", "reply"):
        changes["text"] = st.sampled_from(["a", "b"])
    if kind == "profile":
        changes["followers"] = COUNTS
    if kind == "assign":
        changes |= {"offer": st.sampled_from(OFFERS), "root": st.sampled_from([*roots, "x:unseen"])}
    if kind in ("counts", "outcome"):
        changes["offer"] = st.sampled_from(OFFERS)
    if kind == "ties" and not forgets:
        changes |= {side: PEOPLE for side in ("follows", "unfollows", "followed_by") if side in event}
    names = draw(st.lists(st.sampled_from(sorted(changes)), unique=True, max_size=3))
    altered = event | {name: draw(changes[name]) for name in names}
    if altered["kind"] == "quote" and "via" not in altered:  # a quote must say what it quotes
        altered["via"] = draw(st.sampled_from([*known, "x:unseen"]))
    return altered
