"""What must hold of every world of events, in whatever order, pieces and repetition they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isclose
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from spread.facts import digest
from spread.reach import Reach
from spread.report import CascadeLine, EdgeLine, Edges
from spread.velocity import Curve
from streams.stage import MEMORY
from streams.table import Table
from tests.drive import Crash, Drive, expected, offers_named, question, report_of, run, torn
from tests.oracle import ACTS
from tests.worlds import ACCOUNTS, CROWD, NOON, OUTSIDERS, PEOPLE, Event, redelivered, worlds

MINUTE = 60_000
HOUR = 60 * MINUTE
MEMORIES = st.sampled_from([MEMORY, 1])
"""How much a stage keeps in memory: all there is, or nothing beyond a flush."""
LISTS = ("follows", "unfollows", "followed_by")


@dataclass(frozen=True)
class Batch:
    """Events fed together, and what is done after them."""

    events: list[Event]
    flush: bool
    ask: bool


@st.composite
def arrivals(draw: DrawFn, world: list[Event]) -> list[Event]:
    """Draw an order of arrival with some events repeated."""
    again = draw(st.lists(st.sampled_from(world), max_size=6)) if world else []
    return draw(st.permutations([*world, *again]))


@st.composite
def batches(draw: DrawFn, events: Sequence[Event]) -> list[Batch]:
    """Draw a split of events into batches, with flushes and questions in between."""
    ends = draw(st.lists(st.integers(0, 7), min_size=len(events), max_size=len(events)))
    split: list[Batch] = []
    together: list[Event] = []
    for one, end in zip(events, ends, strict=True):
        together.append(one)
        if end >= 3:
            split.append(Batch(together, flush=end >= 6, ask=end % 2 == 1))
            together = []
    return [*split, Batch(together, flush=True, ask=False)]


def drive_through(split: Iterable[Batch], offers: Sequence[str], *, memory: int = MEMORY) -> Drive:
    """Feed batches, flush and ask in between."""
    drive = Drive(memory=memory)
    for batch in split:
        drive.feed(batch.events)
        if batch.flush:
            drive.flush()
        if batch.ask:
            for offer in offers:
                question(drive.offer(offer))
    return drive


# -- arrival ---------------------------------------------------------------------------------------------------------


@given(worlds(), MEMORIES, st.data())
def test_order_repetition_and_batches_change_nothing(world: list[Event], memory: int, data: st.DataObject) -> None:
    """Events in any order, repeated, in any batches, flushed and asked about in between, give the oracle's report."""
    offers = offers_named(world)
    drive = drive_through(data.draw(arrivals(world).flatmap(batches)), offers, memory=memory)
    assert drive.report(offers).parsed() == expected(world)
    assert drive.report(offers) == run(world)


@given(worlds().flatmap(redelivered), st.data())
def test_differing_deliveries_merge_in_any_order(deliveries: list[Event], data: st.DataObject) -> None:
    """Deliveries of one id that differ give the oracle's report in any order and any batches."""
    offers = offers_named(deliveries)
    drive = drive_through(data.draw(st.permutations(deliveries).flatmap(batches)), offers)
    assert drive.report(offers).parsed() == expected(deliveries)
    assert drive.report(offers) == run(deliveries)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_differing_deliveries_agree_where_a_root_was_assigned(order: tuple[int, ...]) -> None:
    """Where each delivery names another offer and root, and one of these roots was assigned, both offers agree."""
    share = {"v": 1, "id": "x:4", "kind": "share", "network": "x", "at": NOON, "actor": "x:ana"}
    world: list[Event] = [
        {"v": 1, "id": "x:18", "kind": "assign", "network": "x", "at": NOON, "offer": "offer-2", "root": "x:1"},
        share | {"offer": "offer-2", "root": "x:1", "via": "x:1"},
        share | {"offer": "offer-1", "root": "x:2", "via": "x:8"},
    ]
    assert run([world[place] for place in order]).parsed() == expected(world)


@given(worlds(), st.data())
def test_differing_lists_settle_pairs_anew(world: list[Event], data: st.DataObject) -> None:
    """Where another delivery of a list says something else, questions in between change nothing."""
    world = [one for one in world if one["kind"] != "forget"]
    lists = [one for one in world if one["kind"] == "ties"]
    again = data.draw(st.lists(st.sampled_from(lists), min_size=1, max_size=6)) if lists else []
    sides = [{side: data.draw(PEOPLE) for side in LISTS if side in one} for one in again]
    deliveries = world + [one | other for one, other in zip(again, sides, strict=True)]
    arrival = data.draw(st.permutations(deliveries))
    offers = offers_named(arrival)
    drive = drive_through([Batch([one], flush=False, ask=True) for one in arrival], offers)
    assert drive.report(offers).parsed() == expected(arrival)


def test_a_list_that_no_longer_unfollows_brings_the_tie_back() -> None:
    """A tie that a list denied holds again once a second delivery of that list, merged, does not deny it."""
    share: Event = {"v": 1, "kind": "share", "network": "x", "offer": "o", "root": "x:1"}
    ties: Event = {"v": 1, "kind": "ties", "network": "x"}
    denial = ties | {"id": "x:5", "at": NOON + 1, "actor": "x:ana"}
    arrival = [
        share | {"id": "x:2", "at": NOON, "actor": "x:bob"},
        share | {"id": "x:3", "at": NOON + 1, "actor": "x:ana"},
        ties | {"id": "x:4", "at": NOON, "actor": "x:bob", "followed_by": ["x:ana"]},
        denial | {"unfollows": ["x:bob"]},
        denial | {"unfollows": ["bluesky:eve"]},  # the smaller of the two
    ]
    asked = drive_through([Batch([one], flush=False, ask=True) for one in arrival], ["o"])
    assert asked.report(["o"]).parsed() == expected(arrival)
    assert [edge["basis"] for edge in expected(arrival)[1]] == ["assumed", "inferred"]


@st.composite
def changes_of_mind(draw: DrawFn, world: list[Event]) -> list[Event]:
    """Draw deletes, unfollows, late ties and a forget for the accounts of a world."""
    acts = [one for one in world if one["kind"] in ("post", "share", "quote", "reply")]
    authors = sorted({act["actor"] for act in acts}) or [ACCOUNTS[0]]
    author = st.sampled_from(authors)
    numbers = iter(range(1_001, 2_000))
    late = st.sampled_from([NOON, NOON + 3 * MINUTE, NOON + 10 * MINUTE])

    def made(kind: str, actor: str, **fields: Any) -> Event:
        id = f"x:{next(numbers)}"
        return {"v": 1, "id": id, "kind": kind, "network": "x", "at": draw(late), "actor": actor} | fields

    made_now = [
        made("delete", act["actor"], target=act["id"])
        for act in (draw(st.lists(st.sampled_from(acts), max_size=3, unique_by=lambda a: str(a["id"]))) if acts else ())
    ]
    made_now += [made("ties", draw(author), unfollows=draw(PEOPLE)) for _ in range(draw(st.integers(0, 2)))]
    for _ in range(draw(st.integers(0, 3))):
        side = draw(st.sampled_from(["follows", "followed_by"]))
        made_now.append(made("ties", draw(author), **{side: draw(CROWD)}))
    for one in draw(st.lists(st.sampled_from([*authors, OUTSIDERS[0]]), max_size=2, unique=True)):
        made_now.append(made("forget", one))
    return made_now


@given(worlds(), st.data())
def test_changes_of_mind_are_obeyed_whenever_they_come(world: list[Event], data: st.DataObject) -> None:
    """Deletes, unfollows, late ties and forgets count the same wherever they come, with questions all along."""
    late = data.draw(changes_of_mind(world))
    arrival = list(world)
    for one in late:
        arrival.insert(data.draw(st.integers(0, len(arrival))), one)
    offers = offers_named(arrival)
    drive = drive_through([Batch([one], flush=False, ask=True) for one in arrival], offers)
    assert drive.report(offers).parsed() == expected(arrival)
    assert drive.report(offers) == run([*world, *late]) == run([*late, *world])


@given(worlds().flatmap(arrivals))
def test_step_by_step_is_from_scratch(arrival: list[Event]) -> None:
    """Questions after each event, only one at the end, and one to the stored state give the same bytes."""
    offers = offers_named(arrival)
    asked = drive_through([Batch([one], flush=True, ask=True) for one in arrival], offers)
    once = drive_through([Batch(arrival, flush=True, ask=False)], offers)
    report = once.report(offers)
    assert asked.report(offers) == report
    assert once.again().report(offers) == report
    assert asked.again().report(offers) == report


# -- crashes ---------------------------------------------------------------------------------------------------------


@given(worlds().flatmap(arrivals) | worlds().flatmap(redelivered), MEMORIES, st.data())
def test_crashes_lose_nothing_and_count_nothing_twice(arrival: list[Event], memory: int, data: st.DataObject) -> None:
    """After crashes that tear flushes apart, with the events since fed again, the report is as if nothing had been."""
    offers = offers_named(arrival)
    crash, at, safe = Crash(memory=memory), 0, 0
    crashes = data.draw(st.integers(1, 4), label="crashes")
    while at < len(arrival):
        size = data.draw(st.sampled_from([1, 1, 1, 2, 5]))
        crash.drive.feed(arrival[at : at + size])
        at = min(at + size, len(arrival))
        end = data.draw(st.sampled_from(["go on", "flush", "flush", "ask"] + ["die", "tear"] * (crashes > 0)))
        if end == "flush":
            crash.flush()
            safe = at
        elif end == "ask":
            for offer in offers:
                question(crash.drive.offer(offer))
        elif end in ("die", "tear"):
            if end == "tear":
                crash.drive.flush()
            crash.crash(data.draw(torn(crash.people)), data.draw(torn(crash.offers)))
            crashes -= 1
            at = safe = data.draw(st.integers(0, safe), label="again from")
    crash.flush()
    want = expected(arrival)
    assert crash.drive.report(offers).parsed() == want
    assert crash.drive.again().report(offers).parsed() == want
    for account in {one["actor"] for one in arrival if one["kind"] == "forget"}:
        for table in (crash.people, crash.offers):
            assert not found_in(table, account.encode())
            assert not found_in(table, digest(account).to_bytes(8, "little"))


def apart(one: Event) -> Event:
    """Keep an event to one network: its account, whom that lists, and what it came through."""
    if "actor" not in one:
        return one
    network = one["actor"].partition(":")[0]
    lists = {side: [other for other in one[side] if other.startswith(network)] for side in LISTS if side in one}
    via = {"via": one["root"]} if "via" in one and not one["via"].startswith(network) else {}
    return one | {"network": network} | lists | via


@given(worlds(), st.integers(0, 6), st.data())
def test_a_crash_amid_an_expiry_keeps_what_is_to_stay(world: list[Event], minutes: int, data: st.DataObject) -> None:
    """However often an expiry is torn apart, offers keep their lines, the old ones in the end without a node.

    Nothing leads from one network to another here: what an offer closed with on one is added to what lives on others.
    """
    world = [apart(one) for one in world]
    crash, now = Crash(retention_ms=HOUR), NOON + minutes * MINUTE - MINUTE // 2 + HOUR
    for batch in data.draw(batches(world)):
        crash.drive.feed(batch.events, now=NOON + HOUR)
        crash.drive.flush()
    crash.flush()
    offers = {id: crash.drive.offer(id) for id in offers_named(world)}
    before = {id: (report_of(offer).lines, 0 < offer.last_at() < now - HOUR) for id, offer in offers.items()}
    for _ in range(data.draw(st.integers(1, 4), label="crashes")):
        crash.drive.pipeline.expire(now)
        if data.draw(st.booleans(), label="safe"):
            crash.flush()
        crash.crash(data.draw(torn(crash.people)), data.draw(torn(crash.offers)))
    for _ in range(2):
        crash.drive.pipeline.expire(now)
        crash.flush()
    for id, (lines, old) in before.items():
        closed = crash.drive.offer(id).closed
        assert (sorted(closed.lines) if closed else report_of(crash.drive.offer(id)).lines) == lines
        assert (closed is not None) == old
        assert not old or crash.drive.offer(id).nodes() == 0


# -- what a report can't say -----------------------------------------------------------------------------------------


@given(worlds().flatmap(redelivered))
def test_numbers_of_a_cascade_agree(deliveries: list[Event]) -> None:
    """The numbers of each cascade agree with one another, with its edges and with its joints."""
    drive = Drive()
    drive.feed(deliveries)
    for name in offers_named(deliveries):
        offer = drive.offer(name)
        joints, living = offer.joints(), 0
        edges: dict[str, list[EdgeLine]] = {}
        for edge in offer.edges():
            edges.setdefault(edge.root, []).append(edge)
        lines = offer.cascades()
        for line in lines:
            theirs = edges.pop(line.root, [])
            root_lives = line.nodes - len(theirs)
            assert root_lives in (0, 1)
            held = joints.get(line.root, 0) + (1 - root_lives)
            agree(line, theirs, held)
            if not held:
                levels = distances(line.root, theirs)
                assert line.depth == max(levels.values())
                assert line.max_breadth == max(Counter(levels.values()).values())
                assert isclose(line.structural_virality, virality([line.root, *(e.child for e in theirs)], theirs))
            living += line.nodes
        assert not edges
        whole = offer.line()
        assert (whole.cascades, whole.nodes) == (len(lines), living)
        assert sum(network.nodes for network in whole.networks.values()) == living
        assert whole.participants <= sum(network.participants for network in whole.networks.values())
        assert max((line.depth for line in lines), default=0) == whole.depth
        assert whole.max_breadth <= sum(line.max_breadth for line in lines)
        assert sum(offer.curve().counts) == sum(line.nodes for line in lines) - sum(
            1 for line in lines if line.nodes > sum(msgspec.structs.astuple(line.edges))
        )
        bounded(whole.reach)


def agree(line: CascadeLine, edges: list[EdgeLine], joints: int) -> None:
    """Check what must hold between the numbers of one cascade."""
    bases = Counter(edge.basis for edge in edges)
    assert line.edges == Edges(bases["declared"], bases["inferred"], bases["assumed"])
    assert all(edge.probability == (1 if edge.basis == "declared" else None) for edge in edges)
    assert sum(msgspec.structs.astuple(line.exposure)) == line.edges.inferred + line.edges.assumed
    assert line.edges.inferred <= line.exposure.root + line.exposure.others
    assert 1 <= line.participants <= line.nodes
    assert 1 <= line.max_breadth <= line.nodes
    assert line.depth < line.nodes + joints
    assert line.first_at <= line.last_at
    assert line.anomalies >= 0
    # A path has the greatest mean distance, a third of its nodes and one; a joint can make one more edge of the path,
    # which lies between at most half of the living nodes and the other half.
    n = line.nodes
    longest = (n + 1) / 3 + joints * 2 * (n * n // 4) / (n * (n - 1)) if n > 1 else 0.0
    assert (n > 1) <= line.structural_virality <= longest + 1e-9
    bounded(line.reach)


def bounded(reach: Reach) -> None:
    """Check the order of the bounds of a reach."""
    assert 0 <= reach.known <= reach.low
    assert reach.beyond is None or 0 <= reach.beyond <= reach.known
    if reach.estimate is None or reach.high is None:
        assert reach.estimate is reach.high is None
    else:
        assert reach.low <= reach.estimate <= reach.high


def distances(start: str, edges: Iterable[EdgeLine]) -> dict[str, int]:
    """Measure the distance of everything that edges connect with a start."""
    beside: dict[str, list[str]] = {}
    for edge in edges:
        beside.setdefault(edge.parent, []).append(edge.child)
        beside.setdefault(edge.child, []).append(edge.parent)
    found, front = {start: 0}, [start]
    for here in front:
        for there in beside.get(here, ()):
            if there not in found:
                found[there] = found[here] + 1
                front.append(there)
    return found


def virality(nodes: list[str], edges: list[EdgeLine]) -> float:
    """Take the mean distance over ordered pairs of nodes, the long way."""
    pairs = len(nodes) * (len(nodes) - 1)
    return sum(sum(distances(node, edges).values()) for node in nodes) / pairs if pairs else 0.0


# -- what must go ----------------------------------------------------------------------------------------------------


@given(worlds().flatmap(arrivals), st.integers(0, 6), st.data())
def test_an_expired_offer_keeps_its_lines_and_nothing_else(
    arrival: list[Event], minutes: int, data: st.DataObject
) -> None:
    """An offer without an act since the retention keeps its lines and its curve but no node; others stay."""
    retention, horizon = HOUR, NOON + minutes * MINUTE - MINUTE // 2
    drive = Drive(retention_ms=retention)
    for batch in data.draw(batches(arrival)):
        drive.feed(batch.events, now=NOON + retention)
        if batch.flush:
            drive.flush()
    offers = offers_named(arrival)
    before = {id: (report_of(drive.offer(id)), drive.offer(id).curve(), drive.offer(id).last_at()) for id in offers}
    for _ in range(2):  # the totals are safe before the facts go
        drive.pipeline.expire(horizon + retention)
        drive.flush()
    for life in (drive, drive.again()):
        for id, (report, curve, last) in before.items():
            offer = life.offer(id)
            if 0 < last < horizon:
                assert offer.closed is not None
                assert sorted(offer.closed.lines) == report.lines
                assert Curve(offer.closed.curve_start, offer.closed.curve_width, offer.closed.curve) == curve
                assert offer.nodes() == 0
            else:
                assert offer.closed is None
                assert report_of(offer) == report
    drive.feed(arrival, now=NOON + retention)
    closed = {id for id, (_, _, last) in before.items() if 0 < last < horizon}
    assert drive.health.expired >= sum(one["kind"] in ACTS and one["offer"] in closed for one in arrival)
    for id, (report, _, _) in before.items():
        offer = drive.offer(id)
        assert offer.nodes() == 0 if id in closed else report_of(offer) == report


def test_nothing_of_an_expired_account_is_stored() -> None:
    """Once an offer has expired, the tables name none of its accounts, acts and ties; a later act is left out."""
    post: Event = {"v": 1, "id": "x:post", "kind": "post", "network": "x", "at": NOON, "actor": "x:company"}
    share = post | {"id": "x:shared", "kind": "share", "actor": "x:sharer"}
    acts = [act | {"offer": "o", "root": "x:post"} for act in (post, share)]
    ties = {"v": 1, "id": "x:listed", "kind": "ties", "network": "x", "at": NOON, "actor": "x:sharer"}
    profile = {"v": 1, "id": "x:said", "kind": "profile", "network": "x", "at": NOON, "actor": "x:sharer"}
    drive = Drive(retention_ms=HOUR)
    drive.feed([*acts, ties | {"follows": ["x:company"]}, profile | {"followers": 7}], now=NOON)
    drive.flush()
    names = [b"x:sharer", b"x:shared", b"x:listed", b"x:said", digest("x:company").to_bytes(8, "little")]
    assert all(found_in(drive.people, name) or found_in(drive.offers, name) for name in names)
    for _ in range(2):  # the totals are safe before the facts go
        drive.pipeline.expire(NOON + HOUR + 1)
        drive.flush()
    assert not any(found_in(table, name) for table in (drive.people, drive.offers) for name in names)
    assert list(drive.people) == []
    late = share | {"id": "x:late", "at": NOON + MINUTE, "offer": "o", "root": "x:post"}
    drive.feed([late], now=NOON + HOUR + 1)  # in time itself, but its offer is closed
    drive.feed([share | {"offer": "o", "root": "x:post"}], now=NOON + HOUR + 1)  # out of time
    assert drive.health.expired == 2
    assert drive.offer("o").nodes() == 0


def found_in(table: Table, wanted: bytes) -> bool:
    """Whether bytes stand in any row of a table but those of the list of the forgotten."""
    return any(wanted in key or wanted in row for key, row in table.items() if not key.startswith(b"\0"))


@given(worlds().flatmap(arrivals), st.sampled_from(ACCOUNTS[:2]), st.data())
def test_a_forgotten_account_is_in_no_row(world: list[Event], account: str, data: st.DataObject) -> None:
    """From a forget on no row holds the account's name or its digest, whatever came before it and comes after it."""
    lists = [one for one in world if one["kind"] == "ties"]
    again = data.draw(st.lists(st.sampled_from(lists), max_size=4)) if lists else []
    names = st.lists(st.sampled_from([account, account, *ACCOUNTS, *OUTSIDERS]), max_size=2)
    differing = [one | {side: data.draw(names) for side in LISTS if side in one} for one in again]
    arrival = data.draw(st.permutations([*(one for one in world if one["kind"] != "forget"), *differing]))
    forget = {"v": 1, "id": "x:forget", "kind": "forget", "network": "x", "at": NOON, "actor": account}
    turn = data.draw(st.integers(len(arrival) // 2, len(arrival)))
    drive = drive_through(data.draw(batches(arrival[:turn])), [])
    name, packed = account.encode(), digest(account).to_bytes(8, "little")
    assert found_in(drive.people, name) or not any(one.get("actor") == account for one in arrival[:turn])
    drive.feed([forget])
    drive.flush()
    for batch in data.draw(batches(arrival[turn:])):
        drive.feed(batch.events)
        drive.flush()
        for table in (drive.people, drive.offers):
            assert not found_in(table, name)
            assert not found_in(table, packed)


def test_a_list_that_another_delivery_replaced_is_forgotten_too() -> None:
    """A name in a list of which a second delivery said something else is in no row after its forget."""
    post: Event = {"v": 1, "id": "x:1", "kind": "post", "network": "x", "at": NOON, "actor": "x:ana", "root": "x:1"}
    ties: Event = {"v": 1, "id": "x:2", "kind": "ties", "network": "x", "at": NOON, "actor": "x:ana"}
    forget: Event = {"v": 1, "id": "x:3", "kind": "forget", "network": "x", "at": NOON, "actor": "x:gone"}
    drive = Drive()
    for one in (post | {"offer": "o"}, ties | {"follows": ["x:gone"]}, ties | {"follows": ["x:bob"]}):
        drive.feed([one])
        drive.flush()
    assert found_in(drive.people, b"x:gone")
    assert found_in(drive.offers, digest("x:gone").to_bytes(8, "little"))
    drive.feed([forget])
    drive.flush()
    assert not found_in(drive.people, b"x:gone")
    assert not found_in(drive.offers, digest("x:gone").to_bytes(8, "little"))
