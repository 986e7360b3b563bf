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
