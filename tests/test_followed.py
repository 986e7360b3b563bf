"""The offers as connectors follow them: links are resolved where something hints at an offer, decisions come first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.near_misses import NearMisses
from connectors.short_links import ShortLinks
from connectors.sightings import Authored
from ricochet.followed import Followed
from spread.registry import JobOffer
from streams.clock import wall_clock
from streams.offer_file import OfferFile
from tests.replay import Answer, Replay, replay

OFFER = JobOffer(
    id="data-42",
    title="Data Engineer",
    company="Acme",
    urls=("https://acme.example/jobs/1",),
    tags=("acme",),
    accounts=("x:100",),
)


@pytest.fixture
def shortener() -> Iterator[Replay]:
    """Give a shortener whose only link leads to the offer."""
    with replay() as server:
        server.says("/1", Answer(status=301, headers={"Location": "https://acme.example/jobs/1?utm_source=short"}))
        yield server


@pytest.fixture
def followed(shortener: Replay, tmp_path: Path) -> Iterator[Followed]:
    """Give a process that follows the offer, with near misses."""
    links = ShortLinks({"bit.ly"}, standing_in={"bit.ly": (shortener.host, shortener.port)})
    made = Followed(tmp_path / "near", links)
    made.registry.put(OFFER)
    yield made
    made.close()


def post(text: str = "", account: str = "x:1", id: str = "x:9", **more: tuple[str, ...]) -> Authored:
    """Give a post."""
    return Authored(id=id, actor=account, at=0, text=text, **more)  # type: ignore[arg-type]  # links and tags alone


@pytest.mark.parametrize(
    "hinting",
    [
        post("Come to us http://bit.ly/1", account="x:100"),
        post("A job", urls=("http://bit.ly/1",), tags=("acme",)),
        post("Data Engineer wanted: http://bit.ly/1"),
    ],
)
def test_a_short_link_is_resolved_where_something_hints(
    followed: Followed, shortener: Replay, hinting: Authored
) -> None:
    """From an account of the offer, under its hashtag or beside its title a short link is followed to the job."""
    assert followed.match(hinting) == "data-42"
    assert len(shortener.asked) == 1


def test_other_short_links_are_left_alone(followed: Followed, shortener: Replay) -> None:
    """What the rest of a network shortens is not asked for, nor what is matched by a long link already."""
    assert followed.match(post("Look http://bit.ly/1")) is None
    assert followed.match(post("http://bit.ly/1 https://acme.example/jobs/1", account="x:100")) == "data-42"
    assert shortener.asked == []


def test_strangers_cannot_make_it_ask_without_end(shortener: Replay) -> None:
    """A flood of posts that hint, each with new short links, is asked about for some seconds a minute, all in all.

    Meanwhile an offer's own account is heard, what is remembered is known, and after a while strangers are asked about.
    """
    clock = [0.0]
    links = ShortLinks({"bit.ly"}, standing_in={"bit.ly": (shortener.host, shortener.port)}, clock=lambda: clock[0])
    followed = Followed(short_links=links)
    followed.registry.put(OFFER)
    first = post("a job", urls=("http://bit.ly/1",), tags=("acme",))
    assert followed.match(first) == "data-42"
    (leads,) = shortener.answers["/1"]
    shortener.respond = lambda *_: leads

    def flood(posts: range) -> int:
        """Have posts of as many accounts, and give how many links were asked about."""
        before = len(shortener.asked)
        for n in posts:
            urls = tuple(f"http://bit.ly/{n}-{m}" for m in range(5))
            followed.match(post("a job", account=f"x:{n}", id=f"x:p{n}", urls=urls, tags=("acme",)))
        return len(shortener.asked) - before

    assert flood(range(1_000, 1_100)) <= 60
    assert flood(range(1_100, 1_200)) == 0
    assert followed.match(first) == "data-42"
    assert followed.match(post("http://bit.ly/own", account="x:100", id="x:own")) == "data-42"
    clock[0] += 30
    assert 0 < flood(range(1_200, 1_300)) <= 30

    def slowly(method: str, path: str, body: bytes) -> Answer:
        """Take four seconds for each."""
        clock[0] += 4
        return leads

    clock[0] += 60
    shortener.respond = slowly
    assert 0 < flood(range(1_300, 1_400)) <= 3


def test_what_a_person_decided_comes_first(followed: Followed, tmp_path: Path) -> None:
    """A near miss waits, if it is worth a look; a decision counts at once, whatever the post says."""
    assert followed.match(post("we hire", tags=("acme",), id="x:1")) is None
    assert followed.match(post("I am a data engineer", id="x:2")) is None
    with NearMisses(tmp_path / "near") as near:
        assert [one.post for one in near.waiting(wall_clock())] == ["x:1"]
        near.decide("x:1", "other", wall_clock())
    assert followed.match(post("we hire", tags=("acme",), id="x:1")) == "other"


def test_offers_that_are_closed_are_not_looked_for(followed: Followed) -> None:
    """Connectors are told the offers that are open, and a closed one still has the posts that belong to it."""
    assert followed.offers() == [OFFER]
    followed.registry.put(JobOffer(id="data-42", urls=OFFER.urls, closed=1))
    assert followed.offers() == []
    assert followed.match(post("https://acme.example/jobs/1")) == "data-42"


def test_a_decision_outranks_what_the_network_named(followed: Followed, tmp_path: Path) -> None:
    """The offer that the network names is the post's, until a person gives the post to another."""
    named = Authored(id="x:9", actor="x:1", at=0, text="https://acme.example/jobs/1", named="cook-7")
    assert followed.match(named) == "cook-7"
    with NearMisses(tmp_path / "near") as near:
        near.decide("x:9", "data-42", wall_clock())
    assert followed.match(named) == "data-42"


def test_a_post_that_is_only_referred_to_is_found_by_its_id(followed: Followed, tmp_path: Path) -> None:
    """A decision, else what the network named, else the offer that lists it; nothing waits for anybody."""
    store = OfferFile(tmp_path / "state")
    store.write([JobOffer(id="cook-7", posts=("x:7", "x:8"))])
    with NearMisses(tmp_path / "near") as near:
        near.decide("x:8", "data-42", wall_clock())
        near.decide("x:9", "data-42", wall_clock())
        followed.read(store)
        store.close()
        found = [followed.unseen(post, named) for post in ("x:6", "x:7", "x:8", "x:9") for named in (None, "named")]
        assert found == [None, "named", "cook-7", "named", "data-42", "data-42", "data-42", "data-42"]
        assert near.waiting(wall_clock()) == []
