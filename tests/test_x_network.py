"""X at work against X in small: what it does when X misbehaves, and what it asks for, and does not."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from connectors import catalogue, x, x_api, x_filling
from connectors.completion import Completion
from connectors.connector import Refused
from connectors.door import DeadLetters, Door
from connectors.finding import Finding
from connectors.journal import Journal
from connectors.lookups import Budget, Lookups
from connectors.runner import Runner
from connectors.x import X
from connectors.x_followers import XFollowers
from spread.events import Counts, Delete, Gap, Post, Quote, Reply, Share, Ties
from spread.registry import JobOffer
from streams.letters import foreign_letter
from tests import broker
from tests.connecting import Looking, Notes, Shelf, made, running
from tests.processes import ended, until
from tests.real_cascades import needed
from tests.rehearsals import OFFER, URL
from tests.test_connectors import cursor, told
from tests.test_door import events_in
from tests.x_network import COMPANY, PROBLEMS, RULES, STREAM, XNetwork, now_ms, post


@pytest.fixture
def network() -> Iterator[XNetwork]:
    """Give X in small."""
    with XNetwork() as started:
        yield started


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare rules often, and wait no minute where nobody says how long."""
    monkeypatch.setattr(x, "_RULES_S", 0.05)
    monkeypatch.setattr(x, "_PAUSE_S", 0.05)
    monkeypatch.setattr(x_filling, "_PAUSE_S", 0.05)


class Offers(Looking):
    """Offers that open and close."""

    def __init__(self, *open_: JobOffer) -> None:
        super().__init__()
        self.open = list(open_)

    def offers(self) -> list[JobOffer]:
        """Those that are open."""
        return self.open


def connector(network: XNetwork, known: Looking | None = None, **options: object) -> X:
    """Make the connector."""
    given = {"api": network.url, "contract": "a test", "bearer_token": "geheim"} | options
    found = made("x", given, known or Looking())
    assert isinstance(found, X)
    return found


def job(network: XNetwork) -> str:
    """Publish the post of the offer."""
    id = network.id()
    network.publish(post(id, COMPANY, "We hire", URL))
    return id


def retweet(network: XNetwork, root: str, author: str, stream: bool = True, at_ms: int | None = None) -> str:
    """Publish a retweet."""
    id = network.id(at_ms)
    network.publish(post(id, author, "RT", URL, retweeted=root), stream=stream)
    return f"x:{id}"


def has(shelf: Shelf, *ids: str) -> bool:
    """Tell whether events of these ids came."""
    return shelf.ids() >= {*ids}


def of(shelf: Shelf, kind: type) -> list:  # type: ignore[type-arg]  # events of one kind
    """Give the events of a kind."""
    return [event for event in shelf.events if isinstance(event, kind)]


def test_it_is_off_without_a_contract(tmp_path: Path) -> None:
    """Without the name of a contract nothing of X starts, whatever else is set: one line, exit code 2."""
    env = {"RICOCHET_CONNECTORS__X__BEARER_TOKEN": "geheim", "RICOCHET_HASH_KEY": "0123456789abcdef"}
    for args in (("connect", "x", "--check"), ("connect", "x"), ("run", "--connect", "x", "--port", "0")):
        complaint = ended(*args, cwd=tmp_path, env=env).complaint()
        assert "contract" in complaint
        assert "geheim" not in complaint


def test_check_says_what_will_be_seen(network: XNetwork, tmp_path: Path) -> None:
    """It asks for the rules, which tells whether the token is taken, and says what is missed, with the reason."""
    network.rules = {"1": ("cats", "somebody's"), "2": ("dogs", "ricochet:offer/o")}
    env = {
        "RICOCHET_CONNECTORS__X__CONTRACT": "Enterprise 2026",
        "RICOCHET_CONNECTORS__X__BEARER_TOKEN": "geheim",
        "RICOCHET_CONNECTORS__X__API": network.url,
    }
    told = ended("connect", "x", "--check", cwd=tmp_path, env=env)
    assert told.code == 0
    for part in (
        "Enterprise 2026",
        "999 rules (1 are there)",
        "misses  through whom",
        "lookup_calls or lookup_money is 0",
    ):
        assert part in told.out
    env |= {"RICOCHET_CONNECTORS__X__LOOKUP_CALLS": "9", "RICOCHET_CONNECTORS__X__LOOKUP_MONEY": "2.5"}
    env |= {"RICOCHET_CONNECTORS__X__RECHECK_POSTS": "0"}
    told = ended("connect", "x", "--check", cwd=tmp_path, env=env)
    assert "for up to $2.50 a day" in told.out
    assert "misses  deletions: recheck_posts is 0" in told.out
    network.refuse(401)
    refused = ended("connect", "x", "--check", cwd=tmp_path, env=env)
    assert (refused.code, "HTTP 401" in refused.out, "geheim" in refused.out + refused.err) == (1, True, False)
    assert {call.partition("?")[0] for call in network.asked} == {"GET /2/tweets/search/stream/rules"}


def test_a_cascade_comes_live(network: XNetwork, tmp_path: Path) -> None:
    """A post, a retweet, a quote, a retweet of the quote, a reply: with followers, the rules growing as posts come."""
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        root = job(network)
        shared = retweet(network, root, "7")
        until(
            lambda: any(f"retweets_of_tweet_id:{root}" in value for value, _ in network.rules.values()), "a rule for it"
        )
        quote, reply = network.id(), network.id()
        network.publish(
            post(quote, "8", "look", quoted=root), post(reply, "9", "me", replied_to=root) | {"conversation_id": root},
            followers=300,
        )  # fmt: skip
        until(
            lambda: any(f"retweets_of_tweet_id:{quote}" in value for value, _ in network.rules.values()),
            "a rule for it",
        )
        again = network.id()
        network.publish(post(again, "10", "RT look", retweeted=quote))
        until(lambda: has(shelf, f"x:{root}", shared, f"x:{quote}", f"x:{reply}", f"x:{again}"), "all of it")
    found = {event.id: event for event in shelf.events}
    assert [type(found[f"x:{id}"]) for id in (root, quote, reply, again)] == [Post, Quote, Reply, Share]
    above = found[f"x:{quote}"], found[f"x:{again}"], found[shared]
    assert [(event.root, event.via, event.followers) for event in above if isinstance(event, Quote | Share)] == [
        (f"x:{root}", f"x:{root}", 300),
        (f"x:{root}", f"x:{quote}", 10),
        (f"x:{root}", None, 10),
    ]
    assert not of(shelf, Gap)
    assert network.tokens == {"Bearer geheim"}


def test_rules_follow_the_offers(network: XNetwork, tmp_path: Path) -> None:
    """As offers open and close their rules come and go, with their ids as tags; rules of others stay."""
    network.rules = {"1": ("cats", "somebody's"), "2": ("dogs", "ricochet:offer/gone")}
    known = Offers(JobOffer(id="a", urls=("https://jobs.example/a",)))

    def tags() -> list[str]:
        return sorted(tag for _, tag in network.rules.values())

    with running(connector(network, known), tmp_path / "j", Shelf):
        assert tags() == ["ricochet:offer/a", "somebody's"]
        known.open = [*known.open, JobOffer(id="b", urls=("https://jobs.example/b",), posts=("x:5",))]
        until(lambda: tags() == ["ricochet:offer/a", "ricochet:offer/b", "ricochet:post/b", "somebody's"], "rules of b")
        known.open = known.open[1:]
        until(lambda: tags() == ["ricochet:offer/b", "ricochet:post/b", "somebody's"], "those of a to go")


def test_rules_that_x_does_not_take_stop_no_others(network: XNetwork, tmp_path: Path) -> None:
    """One that is there already, one that X finds malformed, and more than it takes: it reads with the others."""
    network.rules = {"1": ('url:"jobs.example/b"', "somebody's")}
    known = Offers(*(JobOffer(id=id, urls=(f"https://jobs.example/{id}",)) for id in "abc"))
    path = "POST /2/tweets/search/stream/rules"
    network.refuse(400, body=b'{"title":"Invalid Request"}', path=path)
    network.refuse(400, path=path)
    with running(connector(network, known), tmp_path / "j", Shelf) as one:
        assert sorted(tag for _, tag in network.rules.values()) == ["ricochet:offer/c", "somebody's"]
        assert "1 rules X did not take" in (one.status.warns or "")
        body = json.dumps({"title": "RulesCapExceeded", "type": f"{PROBLEMS}/rule-cap"}).encode()
        network.refuse(403, body=body, path=path)
        known.open = [*known.open, JobOffer(id="d", urls=("https://jobs.example/d",))]
        asked = len(network.asked)
        until(lambda: any(call.startswith("POST") for call in network.asked[asked:]), "the rules asked for")
    with running(connector(network, known), tmp_path / "j", Shelf) as one:
        assert "ricochet:offer/d" in [tag for _, tag in network.rules.values()]
        until(lambda: one.status.warns is None, "no warning any more")


def test_what_finds_no_room_is_told(network: XNetwork, tmp_path: Path) -> None:
    """Others' rules take their part of what X allows; what is not seen for that is told, and the rest is seen."""
    network.rules = {str(n): (f"cats {n}", "somebody's") for n in range(999)}
    known = Offers(*(JobOffer(id=id, urls=(f"https://jobs.example/{id}",)) for id in "abc"))
    with running(connector(network, known), tmp_path / "j", Shelf) as one:
        assert [tag for _, tag in network.rules.values() if tag != "somebody's"] == ["ricochet:offer/a"]
        assert "2 links, hashtags or posts found no room" in (one.status.warns or "")


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
@pytest.mark.parametrize("status", [429, 503, 500])
@pytest.mark.parametrize("path", [RULES, STREAM])
def test_it_comes_back(network: XNetwork, tmp_path: Path, path: str, status: int, headers: dict[str, str]) -> None:
    """Refused for now, with and without a word for how long: it waits, comes back, and reads."""
    shelf = Shelf()
    network.refuse(status, headers, b"not JSON", path=path)
    with running(connector(network), tmp_path / "j", lambda: shelf, waits=False) as one:
        until(lambda: one.status.state == "reading", "reading")
        assert (one.status.rate_limits, one.status.reconnects) == ((1, 0) if status == 429 else (0, 1))
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")


def test_silence_is_a_lost_stream(network: XNetwork, tmp_path: Path) -> None:
    """Keep-alives keep it; when even those stay away it hangs up, connects again, and has what it missed."""
    shelf = Shelf()
    network.alive_s = 0.1
    with running(connector(network, silence_s=1.0), tmp_path / "j", lambda: shelf) as one:
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")
        until(lambda: now_ms() - (one.status.heard_ms or now_ms()) > 2_500, "some time with keep-alives alone")
        assert one.status.reconnects == 0
        network.alive_s = 600.0
        missed = retweet(network, root, "7", stream=False)
        until(lambda: one.status.reconnects == 1, "the silence found out")
        network.alive_s = 0.1
        until(lambda: has(shelf, missed), "what it missed")
    assert not of(shelf, Gap)


def test_a_line_cut_short_is_a_dead_letter_and_filled_in(network: XNetwork, tmp_path: Path) -> None:
    """Ended in good order amid a line, the line is rejected, and what it was is asked for."""
    shelf, notes = Shelf(), Notes()
    with running(connector(network), tmp_path / "j", lambda: shelf, notes) as one:
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")
        missed = retweet(network, root, "7", stream=False)
        network.end(json.dumps(network.message(network.posts[missed[2:]])).encode()[:-9])
        until(lambda: has(shelf, missed), "what was cut")
        assert one.status.rejected["not JSON"] == 1
    assert of(shelf, Share)[0].source == "backfill"


def test_duplicates_and_disorder_change_nothing(network: XNetwork, tmp_path: Path) -> None:
    """Lines twice, the last first, and a retweet whose original was never told: each event once, as it was."""
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        root = network.id()
        network.publish(post(root, COMPANY, "We hire", URL), stream=False)
        shares = [retweet(network, root, str(n), stream=False) for n in range(20, 30)]
        lines = [json.dumps(network.message(network.posts[id[2:]])).encode() for id in (*shares, f"x:{root}")]
        network.say(*reversed(lines), *lines, *lines[:3])
        until(lambda: has(shelf, f"x:{root}", *shares), "all of it")
    assert {event.id: event for event in shelf.events if not isinstance(event, Post)}.keys() == {*shares}
    assert len({(event.id, event.at, event.root) for event in (*of(shelf, Post), *of(shelf, Share))}) == 11


def test_a_deletion_before_its_post(network: XNetwork, tmp_path: Path) -> None:
    """What was found gone before it came is deleted when it comes."""
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        root = job(network)
        late = network.id()
        gone = {"type": f"{PROBLEMS}/resource-not-found", "resource_type": "tweet", "resource_id": late}
        answer = {"asked": {"what": "posts", "at": now_ms(), "ids": [late]}, "answer": {"errors": [gone]}}
        network.say(json.dumps(answer).encode())
        network.publish(post(late, "7", "RT", URL, retweeted=root))
        until(lambda: has(shelf, f"x:{late}#deleted"), "the deletion")


def test_a_real_stream_comes_through_the_door(network: XNetwork, tmp_path: Path, kafka: str, prefix: str) -> None:
    """A stream as it was recorded, into Kafka: its seven posts are events, the line that is none is a dead letter."""
    *good, bad = lines = (needed() / "x_v2" / "streaming_output_with_error.jsonl").read_bytes().splitlines()
    letters = DeadLetters(f"{prefix}rejected", foreign_letter)
    topics = [f"{prefix}social", letters.topic]
    with broker.admin(kafka) as client:
        client.create_topics({name: {"num_partitions": 1, "replication_factor": 1} for name in topics})
        client.wait_for_topics(topics)
    known = Looking()
    one = connector(network, known)
    with Journal(tmp_path / "j") as journal:
        known.journal = journal
        completion = Completion(journal, lambda seen: None if seen.beside else OFFER, "x", in_order=False)
        doors = partial(Door, kafka, topics[0], letters=letters)
        runner = Runner(one, journal, completion, doors, Notes(), wait_s=0.02)
        runner.start()
        try:
            until(lambda: runner.status.state == "reading", f"reading: {runner.status}")
            network.say(*lines)
            until(lambda: len(told(kafka, letters.topic)) == 1, "the dead letter", 0.1)
            until(lambda: len(events_in(told(kafka, topics[0]))) == 7, "the events", 0.1)
        finally:
            assert runner.stop()
        assert runner.status.messages == 8
    found = {event.id: event for event in events_in(told(kafka, topics[0]))}
    posts = [json.loads(line)["data"] for line in good]
    assert found.keys() == {f"x:{post['id']}" for post in posts}
    assert {event.actor for event in found.values() if isinstance(event, Post)} == {
        f"x:{p['author_id']}" for p in posts
    }
    (letter,) = (json.loads(record.value) for record in told(kafka, letters.topic))
    assert (letter["reason"], letter["topic"], letter["bytes"]) == ("not JSON", "connector x", len(bad))


def test_an_expired_token_stops_it(network: XNetwork, tmp_path: Path) -> None:
    """Refused at the start or when it comes back: a person has to act, and the reason says no secret."""
    network.refuse(401, body=b'{"title":"Unauthorized"}')
    with running(connector(network), tmp_path / "j", Shelf, waits=False) as one:
        until(lambda: one.status.state == "refused", "the refusal")
        assert (one.status.why, one.alive()) == ("/2/tweets/search/stream/rules: HTTP 401", False)
    with running(connector(network), tmp_path / "j", Shelf) as one:
        network.refuse(401, path=STREAM)
        network.cut()
        until(lambda: one.status.state == "refused", "the refusal")


def test_without_credits_it_waits_and_tells_the_gap(
    network: XNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While X takes no calls, that is shown; after it the window is a gap, and what X still tells of it is there."""
    monkeypatch.setattr(x_api, "_UNPAID_S", 0.5)
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf) as one:
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")
        before = now_ms()
        body = json.dumps({"title": "Payment Required", "type": f"{PROBLEMS}/credits-depleted"}).encode()
        network.refuse(402, body=body)
        capped = json.dumps({"type": "https://api.twitter.com/2/problems/usage-capped"}).encode()
        network.refuse(429, body=capped, path=STREAM)
        network.cut()
        until(lambda: "credits" in one.status.why and one.status.state == "waiting", "the reason shown")
        missed = retweet(network, root, "7", stream=False)
        until(lambda: has(shelf, missed), "what it missed")
        assert one.status.rate_limits == 0
    (gap,) = of(shelf, Gap)
    assert gap.from_ <= before < gap.to_ <= now_ms()
    assert "credits" in gap.why


def broken(network: XNetwork, path: Path) -> tuple[str, str]:
    """Leave a journal as if the connector had stopped an hour ago, with the post of the offer known; give its id."""
    shelf = Shelf()
    with running(connector(network), path, lambda: shelf):
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")
    saved = cursor(path)
    assert saved is not None
    return root, saved


def test_a_break_is_filled_in(network: XNetwork, tmp_path: Path) -> None:
    """In pages: new posts with their retweets, retweets, quotes with theirs, replies; nothing else, and no gap."""
    root, _ = broken(network, tmp_path / "j")
    network.page_rows = 3
    missed = [retweet(network, root, str(n), stream=False) for n in range(20, 30)]
    other, quote, reply, stranger = (network.id() for _ in range(4))
    network.publish(
        post(other, COMPANY, "Again", URL), post(quote, "8", "look", quoted=root), post(stranger, "4", "cats"),
        post(reply, "9", "me", replied_to=root) | {"conversation_id": root}, stream=False,
    )  # fmt: skip
    missed += [retweet(network, other, "11", stream=False), retweet(network, quote, "12", stream=False)]
    missed += [f"x:{id}" for id in (other, quote, reply)]
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        until(lambda: has(shelf, *missed), "what it missed")
    assert shelf.ids() == {*missed}
    assert {event.source for event in shelf.events} == {"backfill"}


def test_a_limit_does_not_cost_the_stream(network: XNetwork, tmp_path: Path) -> None:
    """Limited while it fills in, it waits with that alone; and a fault on the way is asked again."""
    root, _ = broken(network, tmp_path / "j")
    missed = retweet(network, root, "7", stream=False)
    network.refuse(429, {"x-rate-limit-reset": str(int(time.time()) + 3)}, path="/retweets")
    network.refuse(503, path="/search/recent")
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf) as one:
        live = retweet(network, root, "8")
        until(lambda: has(shelf, live), "what is live")
        assert not has(shelf, missed)
        until(lambda: has(shelf, missed), "what it missed")
        assert (one.status.reconnects, one.status.rate_limits) == (0, 0)
    assert not of(shelf, Gap)


def test_accounts_without_moments_are_counts_and_a_gap(network: XNetwork, tmp_path: Path) -> None:
    """Where retweets are not given one by one, how many there are is told, never shares, and the window as a gap."""
    root, saved = broken(network, tmp_path / "j")
    network.page_rows = 2
    for number in range(5):
        retweet(network, root, str(20 + number), stream=False)
    network.refuse(403, path="/retweets")
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        until(lambda: bool(of(shelf, Gap)), "the gap")
    (counts,), (gap,) = of(shelf, Counts), of(shelf, Gap)
    assert (counts.target, counts.shares) == (f"x:{root}", 5)
    assert gap.from_ == int(saved.split()[1])
    assert not of(shelf, Share)


@pytest.mark.parametrize(("status", "times"), [(403, 1), (400, 1), (500, 3)])
def test_what_cannot_be_filled_in_is_a_gap(network: XNetwork, tmp_path: Path, status: int, times: int) -> None:
    """Where X does not answer for good, the window is told as a gap, and the rest is filled in."""
    root, _ = broken(network, tmp_path / "j")
    missed = retweet(network, root, "7", stream=False)
    for _ in range(times):
        network.refuse(status, path="/search/recent")
    shelf = Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        until(lambda: has(shelf, missed) and bool(of(shelf, Gap)), "what it missed, and the gap")
    assert str(status) in of(shelf, Gap)[0].why


def test_the_cursor_waits_for_what_is_filled_in(network: XNetwork, tmp_path: Path) -> None:
    """Stopped while it fills in, it begins there again, though newer lines were read and safe."""
    root, saved = broken(network, tmp_path / "j")
    missed = retweet(network, root, "7", stream=False)
    network.refuse(429, {"Retry-After": "600"}, path="/retweets")
    shelf, second = Shelf(), Shelf()
    with running(connector(network), tmp_path / "j", lambda: shelf):
        live = retweet(network, root, "8")
        until(lambda: has(shelf, live), "what is live")
    assert (cursor(tmp_path / "j") or "").split()[:2] == saved.split()[:2]
    with running(connector(network), tmp_path / "j", lambda: second):
        until(lambda: has(second, missed), "what it missed")


def test_what_vanished_is_deleted(network: XNetwork, tmp_path: Path) -> None:
    """Asked about again, what is gone, protected, suspended or withheld is deleted once, and totals are told."""
    shelf = Shelf()
    with running(connector(network, recheck_posts=86_400_000), tmp_path / "j", lambda: shelf):
        root = job(network)
        shares = [retweet(network, root, str(n)) for n in range(20, 25)]
        until(lambda: has(shelf, *shares), "the shares")
        del network.posts[shares[0][2:]]
        network.hidden[shares[1][2:]] = "not-authorized-for-resource"
        network.hidden[shares[2][2:]] = "resource-unavailable"
        network.posts[shares[3][2:]]["withheld"] = {"country_codes": ["DE"]}
        until(lambda: len(of(shelf, Delete)) == 4, "the deletions")
        asked = len(network.asked)
        until(lambda: sum("/2/tweets?" in call for call in network.asked[asked:]) > 3, "some more questions")
    assert sorted((event.target, event.actor) for event in of(shelf, Delete)) == [
        (id, f"x:{20 + n}") for n, id in enumerate(shares[:4])
    ]
    assert {(event.target, event.shares) for event in of(shelf, Counts)} == {(f"x:{root}", 5)}
    assert {event.source for event in of(shelf, Delete)} == {"poll"}


def test_so_many_posts_a_day_are_asked_about(network: XNetwork, tmp_path: Path) -> None:
    """Each hundred takes its time, over a new start too, and 0 asks about none."""
    for a_day in (1_000, 0):
        path = tmp_path / str(a_day)
        for _ in range(2):
            shelf = Shelf()
            with running(connector(network, recheck_posts=a_day), path, lambda shelf=shelf: shelf):  # type: ignore[misc]
                root = job(network)
                until(lambda shelf=shelf, root=root: has(shelf, f"x:{root}"), "the post")  # type: ignore[misc]
    assert not [call for call in network.asked if "/2/tweets?" in call]


def test_lists_of_followers_cost(network: XNetwork, tmp_path: Path) -> None:
    """None without a budget; with one, in pages, for a cent each; a list that is not shown is not told as empty."""
    network.lists = {"/2/users/7/followers": [str(n) for n in range(100, 250)], "/2/users/7/following": ["100"]}
    one = connector(network, lookup_calls=10, lookup_money=5.0)
    assert catalogue.options("x", {"contract": "c", "bearer_token": "t"}).number("lookup_calls") == 0
    lookups, shelf = Lookups(tmp_path / "lookups", 1_000_000), Shelf()
    lookups.saw(
        Share(v=1, id=f"x:{n}", network="x", at=n, actor=f"x:{n}", offer=OFFER, root="x:1", followers=100)
        for n in (7, 8)
    )
    finding = Finding(one.declared, one.finder(), lookups, Budget(10, 5.0), lambda: shelf, log=Notes(), wait_s=0.01)
    finding.start()
    until(lambda: not lookups.unlisted(now_ms()), "both asked about")
    assert finding.stop()
    lookups.close()
    told = of(shelf, Ties)
    assert {event.actor for event in told} == {"x:7"}
    assert {len(event.followed_by or event.follows or ()) for event in told} == {150, 1}
    assert all(event.complete for event in told)
    assert finding.findings.dollars == pytest.approx(1.51)


def test_an_account_that_is_gone_holds_nobody_up(network: XNetwork) -> None:
    """Neither one that X does not know, nor one whose lists are refused for now, is taken for one without followers."""
    network.refuse(404)
    finder = connector(network).finder()
    assert finder.listed("x:7", "follows", None) == ([], None)
    assert not finder.is_whole("x:7", "follows", 0)
    network.refuse(401)
    with pytest.raises(Refused):
        finder.listed("x:7", "followed_by", None)
    assert finder.is_whole("x:7", "followed_by", 0)
    finder.close()
    assert isinstance(finder, XFollowers)


def test_no_log_holds_the_token(network: XNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not at any level, of no library."""
    shelf = Shelf()
    with caplog.at_level(logging.DEBUG), running(connector(network), tmp_path / "j", lambda: shelf) as one:
        root = job(network)
        until(lambda: has(shelf, f"x:{root}"), "the post")
        network.cut()
        until(lambda: one.status.reconnects == 1, "the cut")
    assert caplog.records
    assert "geheim" not in caplog.text
