"""The simulated day: repeatable, valid by the event contract, and with everything in it that the demo must show."""

import json
from collections import Counter
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest

from ricochet.simulator import Arrival, Scenario, simulate
from ricochet.social_graph import STRANGERS, Appeal, Sharing, diffuse, grow

START = 1_760_000_000_000
SEEDS = (1, 2, 3, 4, 5)
NODES = ("post", "share", "quote")
HOUR = 3_600_000

Event = dict[str, Any]

ALWAYS: dict[str, type] = {"v": int, "id": str, "kind": str, "network": str, "at": int, "source": str}
DEMANDED: dict[str, dict[str, type]] = {
    "post": {"actor": str, "offer": str, "root": str, "followers": int, "role": str, "text": str},
    "share": {"actor": str, "offer": str, "root": str, "followers": int},
    "quote": {"actor": str, "offer": str, "root": str, "followers": int, "via": str, "text": str},
    "reply": {"actor": str, "offer": str, "root": str, "followers": int, "via": str, "text": str},
    "delete": {"actor": str, "target": str},
    "ties": {"actor": str},
    "profile": {"actor": str, "followers": int},
    "counts": {"offer": str, "target": str, "shares": int, "likes": int, "impressions": int},
    "outcome": {"offer": str, "stage": str, "n": int},
    "gap": {"from": int, "to": int, "why": str},
}
OPTIONAL: dict[str, set[str]] = {
    "post": {"urls", "tags"},
    "share": {"via"},
    "ties": {"follows", "unfollows", "followed_by", "complete", "part", "of", "list"},
    "outcome": {"via"},
}


@cache
def scenario(seed: int) -> Scenario:
    return simulate(seed, START)


def distinct(seed: int) -> dict[str, Event]:
    """Return each event once, by its id, in order of first arrival."""
    found: dict[str, Event] = {}
    for arrival in scenario(seed).events:
        found.setdefault(arrival.event["id"], arrival.event)
    return found


def of_kind(seed: int, *kinds: str) -> list[Event]:
    return [event for event in distinct(seed).values() if event["kind"] in kinds]


def assert_valid(event: Event) -> None:
    demanded = ALWAYS | DEMANDED[event["kind"]]
    for field, wanted in demanded.items():
        assert type(event[field]) is wanted, (field, event)
    assert event.keys() <= demanded.keys() | OPTIONAL.get(event["kind"], set())
    assert event["v"] == 1
    assert event["source"] == "simulator"
    for field in ("id", "actor", "root", "via", "target"):
        value = event.get(field)
        assert value is None or (value.startswith(event["network"] + ":") and len(value.encode()) <= 512)
    if event["kind"] == "post":
        assert event["root"] == event["id"]
        assert event["role"] in ("company", "employee")
    if event["kind"] == "ties":
        sides = [event[side] for side in ("follows", "unfollows", "followed_by") if side in event]
        assert sides
        assert all(len(side) <= 5_000 and event["actor"] not in side for side in sides)
        assert ("part" in event) == ("of" in event) == ("list" in event)
    if event["kind"] == "outcome":
        assert event["stage"] in ("click", "application", "hire")
        assert event["n"] > 0


def test_same_arguments_give_the_same_scenario() -> None:
    """A seed stands for one scenario, event by event and arrival by arrival."""
    assert simulate(1, START) == scenario(1)


def test_another_seed_gives_another_scenario() -> None:
    """Two seeds share no act."""
    assert not {e["id"] for e in of_kind(1, *NODES)} & {e["id"] for e in of_kind(2, *NODES)}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_event_has_the_fields_its_kind_demands(seed: int) -> None:
    """Every kind but corrections and erasures occurs; each event has its kind's fields, typed, and no other."""
    for event in distinct(seed).values():
        assert_valid(event)
    assert Counter(e["kind"] for e in distinct(seed).values()).keys() == DEMANDED.keys()


@pytest.mark.parametrize("hours", [0.1, 1.0, 6.0, 24.0, 240.0])
def test_nothing_happens_outside_the_scenario_and_its_size_is_bounded(hours: float) -> None:
    """Whatever the length: under 20,000 valid events, all within it, in order of arrival, none before it happens."""
    short = simulate(7, START, hours)
    assert 0 < len(short.events) < 20_000
    assert all(earlier.due <= later.due for earlier, later in pairwise(short.events))
    for arrival in short.events:
        assert_valid(arrival.event)
        assert START <= arrival.event["at"] <= START + hours * HOUR
        assert arrival.due > arrival.event["at"] - START


def test_events_are_plain_json() -> None:
    """An event goes through JSON and comes back equal."""
    for arrival in scenario(1).events:
        assert json.loads(json.dumps(arrival.event)) == arrival.event


@pytest.mark.parametrize("seed", SEEDS)
def test_acts_belong_to_a_published_offer_and_a_root(seed: int) -> None:
    """Every node and reply names an offer of the registry and a root post of that offer, and comes after it."""
    offers = {offer.id: offer for offer in scenario(seed).offers}
    roots = {event["id"]: event for event in of_kind(seed, "post")}
    assert 8 <= len(offers) <= 12
    assert len({offer.company for offer in offers.values()}) == 3
    for event in of_kind(seed, "share", "quote", "reply"):
        root = roots[event["root"]]
        assert root["offer"] == event["offer"]
        assert root["at"] < event["at"]
        assert event["network"] in offers[event["offer"]].networks
    for event in roots.values():
        assert offers[event["offer"]].posted <= event["at"]
    assert max(Counter(event["offer"] for event in roots.values()).values()) > 1


@pytest.mark.parametrize("seed", range(1, 16))
def test_one_offer_takes_off_and_the_others_stay_small(seed: int) -> None:
    """One offer gets more than 300 shares and less than its bound, the median offer stays below 30."""
    sizes = Counter(event["offer"] for event in of_kind(seed, *NODES))
    *others, biggest = sorted(sizes.values())
    assert 300 < biggest <= 2_000
    assert median(others) < 30
    assert others[-1] < 100


@pytest.mark.parametrize("seed", SEEDS)
def test_what_takes_off_is_set_off_by_an_influencer(seed: int) -> None:
    """The big offer's half hour before its most followed sharer is quieter than its hour after."""
    biggest = Counter(event["offer"] for event in of_kind(seed, *NODES)).most_common(1)[0][0]
    acts = [event for event in of_kind(seed, "share", "quote") if event["offer"] == biggest]
    turn = min(event["at"] for event in acts if event["followers"] > 5_000)
    before = sum(turn - HOUR // 2 <= event["at"] < turn for event in acts)
    after = sum(turn < event["at"] <= turn + HOUR for event in acts)
    assert after > 3 * before + 20


@pytest.mark.parametrize("seed", SEEDS)
def test_an_offer_is_reshared_after_it_closed(seed: int) -> None:
    """At least one share comes after the closing date of its offer."""
    closes = {offer.id: offer.closes for offer in scenario(seed).offers if offer.closes is not None}
    assert any(event["at"] > closes.get(event["offer"], event["at"]) for event in of_kind(seed, "share"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_closed_account_takes_everything_back(seed: int) -> None:
    """One account that shared several offers deletes each of its acts within a minute, and acts no more."""
    deletes = of_kind(seed, "delete")
    quitter, count = Counter(event["actor"] for event in deletes).most_common(1)[0]
    theirs = [event for event in deletes if event["actor"] == quitter]
    acts = [event for event in of_kind(seed, *NODES, "reply") if event["actor"] == quitter]
    assert len({event["offer"] for event in acts}) >= 3
    assert {event["target"] for event in theirs} == {event["id"] for event in acts}
    assert count == len(acts)
    assert max(e["at"] for e in acts) < min(e["at"] for e in theirs) > max(e["at"] for e in theirs) - 60_000


@pytest.mark.parametrize("seed", range(1, 16))
def test_deletes_are_by_the_author_and_one_leaves_children(seed: int) -> None:
    """A delete names an act of its own actor that happened before; one of them is the declared parent of others."""
    events = distinct(seed)
    deletes = of_kind(seed, "delete")
    for event in deletes:
        assert events[event["target"]]["actor"] == event["actor"]
        assert events[event["target"]]["at"] < event["at"]
    parents = {event["via"] for event in of_kind(seed, "share", "quote") if "via" in event}
    assert any(event["target"] in parents for event in deletes)


@pytest.mark.parametrize("seed", range(1, 16))
def test_a_delete_arrives_before_its_target(seed: int) -> None:
    """At least one delete is delivered while what it takes back is still on its way."""
    order = {event_id: position for position, event_id in enumerate(distinct(seed))}
    assert any(order[event["id"]] < order[event["target"]] for event in of_kind(seed, "delete"))


@pytest.mark.parametrize("seed", SEEDS)
def test_some_events_arrive_twice_and_some_late(seed: int) -> None:
    """About 2 % are delivered again, unchanged and later; about 2 % arrive more than a minute after they happened."""
    first: dict[str, Arrival] = {}
    again: list[Arrival] = []
    for arrival in scenario(seed).events:
        if first.setdefault(arrival.event["id"], arrival) is not arrival:
            again.append(arrival)
    assert all(first[arrival.event["id"]].event == arrival.event for arrival in again)
    assert all(first[arrival.event["id"]].due < arrival.due for arrival in again)
    assert 0.01 < len(again) / len(first) < 0.04
    late = [arrival for arrival in first.values() if arrival.due - (arrival.event["at"] - START) > 60_000]
    assert 0.01 < len(late) / len(first) < 0.04


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gap_hides_what_happened_in_it(seed: int) -> None:
    """No act but a root arrives from a network for the time in which its connector was blind."""
    gaps = of_kind(seed, "gap")
    assert 1 <= len(gaps) <= 2
    for gap in gaps:
        assert gap["from"] < gap["to"] <= gap["at"]
        acts = [event for event in of_kind(seed, "share", "quote", "reply") if event["network"] == gap["network"]]
        assert not [event for event in acts if gap["from"] <= event["at"] < gap["to"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_only_networks_that_record_it_say_whom_a_share_came_through(seed: int) -> None:
    """On Bluesky every share and quote names its earlier parent in the same cascade; shares elsewhere name none."""
    events = distinct(seed)
    networks = {event["network"] for event in of_kind(seed, *NODES)}
    assert networks == {"x", "linkedin", "bluesky", "mastodon", "facebook"}
    for event in of_kind(seed, "share"):
        assert ("via" in event) == (event["network"] == "bluesky")
    for event in of_kind(seed, "share", "quote", "reply"):
        if "via" in event and event["network"] not in ("mastodon", "linkedin"):  # a gap there may hide the parent
            assert events[event["via"]]["root"] == event["root"]
            assert events[event["via"]]["at"] < event["at"]
    deep = [e for e in of_kind(seed, "share") if e["network"] == "bluesky" and e["via"] != e["root"]]
    assert len(deep) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_linkedin_and_facebook_give_totals_that_only_grow(seed: int) -> None:
    """A company's roots there have several counts, never falling, that hold at least the shares that were named."""
    named = Counter(event["root"] for event in of_kind(seed, "share", "quote"))
    series: dict[str, list[Event]] = {}
    for event in sorted(of_kind(seed, "counts"), key=lambda event: int(event["at"])):
        series.setdefault(event["target"], []).append(event)
    for root in of_kind(seed, "post"):
        if root["network"] in ("linkedin", "facebook") and root["role"] == "company":
            totals = series[root["id"]]
            assert len(totals) >= 4
            assert named[root["id"]] <= totals[-1]["shares"] + 5  # those since the last poll
            for field in ("shares", "likes", "impressions"):
                assert all(before[field] <= after[field] for before, after in pairwise(totals))


@pytest.mark.parametrize("seed", SEEDS)
def test_follower_lists_come_after_their_account_first_acted(seed: int) -> None:
    """Ties and profiles are looked up after an act: whole lists, some in pages that all come, follows and unfollows."""
    first: dict[str, int] = {}
    for act in of_kind(seed, *NODES, "reply"):
        first[act["actor"]] = min(act["at"], first.get(act["actor"], act["at"]))
    ties = of_kind(seed, "ties")
    assert all(event["at"] > first[event["actor"]] for event in [*ties, *of_kind(seed, "profile")])
    pages: dict[str, list[Event]] = {}
    for event in ties:
        if "list" in event:
            pages.setdefault(event["list"], []).append(event)
    assert pages
    for listed in pages.values():
        assert sorted(page["part"] for page in listed) == list(range(1, listed[0]["of"] + 1))
        assert all(page["complete"] for page in listed)
    assert {"follows", "unfollows", "followed_by"} <= {field for event in ties for field in event}
    companies = {event["actor"] for event in of_kind(seed, "post") if event["role"] == "company"}
    assert companies & {event["actor"] for event in ties if event.get("complete") and "followed_by" in event}


def test_ids_are_distinct_and_of_each_networks_form() -> None:
    """X has 19-digit ids, Bluesky at-URIs; accounts are six hexadecimal digits."""
    for event in of_kind(1, *NODES):
        native = event["id"].partition(":")[2]
        account = event["actor"].partition(":")[2]
        assert len(account) == 6
        assert int(account, 16) >= 0
        if event["network"] == "x":
            assert len(native) == 19
            assert native.isdigit()
        if event["network"] == "bluesky":
            assert native.startswith("at://did:plc:")
            assert ("/app.bsky.feed.repost/" in native) == (event["kind"] == "share")
    acts = {(event["actor"], event["at"], event["root"]) for event in of_kind(1, *NODES)}
    assert len(acts) == len(of_kind(1, *NODES))


def test_the_follower_graph_is_heavy_tailed() -> None:
    """The median stranger has few followers, the mean more; one in a hundred holds many times the median."""
    graph = grow(np.random.default_rng(1), 3)
    counts = np.array([len(graph.followers[account]) for account in graph.find("x", "stranger")])
    assert len(counts) == STRANGERS["x"]
    assert np.median(counts) < np.mean(counts)
    assert np.quantile(counts, 0.99) > 8 * np.median(counts)
    influencers = [len(graph.followers[account]) for account in graph.find("x", "influencer")]
    assert min(influencers) > np.quantile(counts, 0.99)


def test_the_follower_graph_agrees_with_itself() -> None:
    """Both sides tell the same pairs, nobody follows himself, names differ, a stated count is at least the list's."""
    graph = grow(np.random.default_rng(2), 3)
    forward = {(a, int(b)) for a, followers in enumerate(graph.followers) for b in followers}
    assert forward == {(int(a), b) for b, follows in enumerate(graph.follows) for a in follows}
    assert not any(a == b for a, b in forward)
    assert len({account.name for account in graph.accounts}) == len(graph.accounts)
    for number, account in enumerate(graph.accounts):
        assert account.stated >= len(graph.followers[number])
        assert all(graph.accounts[b].network == account.network for b in graph.followers[number])


def test_colleagues_follow_each_other_more_than_strangers_do() -> None:
    """Among the employees of one company about half of all pairs are ties, and nearly all follow the company."""
    graph = grow(np.random.default_rng(3), 3)
    staff = graph.find("linkedin", "employee", 1)
    tied = sum(len(set(staff) & set(graph.followers[employee].tolist())) for employee in staff)
    assert tied > 0.3 * len(staff) * (len(staff) - 1)
    (company,) = graph.find("linkedin", "company", 1)
    assert len(set(staff) & set(graph.followers[company].tolist())) > 0.6 * len(staff)


def test_a_cascade_follows_the_ties_and_the_clock() -> None:
    """Each unplanted node follows its parent and comes later; nobody shares twice; closed accounts and the end hold."""
    rng = np.random.default_rng(4)
    graph = grow(rng, 2)
    root = Sharing(graph.find("x", "influencer")[0], 0, -1)
    closed = {int(graph.followers[root.account][0]): 0}
    cascade = diffuse(rng, graph, root, appeal=Appeal(0.1), planted=[], closed=closed, end=4 * HOUR, room=500)
    assert 100 < len(cascade) <= 500
    assert len({node.account for node in cascade}) == len(cascade)
    for node in cascade[1:]:
        parent = cascade[node.parent]
        assert node.account in graph.followers[parent.account]
        assert parent.at < node.at <= 4 * HOUR
        assert node.account not in closed


def test_a_planted_share_happens_even_a_second_time() -> None:
    """A share that must happen does, at its time and from the root, though its account has shared before."""
    rng = np.random.default_rng(5)
    graph = grow(rng, 2)
    root = Sharing(graph.find("x", "company", 0)[0], 0, -1)
    planted = [(1_000, 77), (2_000, 77)]
    cascade = diffuse(rng, graph, root, appeal=Appeal(0.0), planted=planted, closed={}, end=HOUR, room=9)
    assert [(node.at, node.parent) for node in cascade if node.account == 77] == [(1_000, 0), (2_000, 0)]
