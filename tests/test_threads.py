"""Threads: what its messages say, what is listed when totals change, and how deletions come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sightings import Authored, Removed, Shared
from connectors.threads import Threads as Connector
from spread.events import Counts, Delete, Post, Profile, Rejected, Reply
from tests.connecting import Looking, Shelf, made, running
from tests.meta import COMPANY, Threads, date, error, media, reply, signature, threads_delivery
from tests.processes import good, until
from tests.receiving import Sender
from tests.rehearsals import URL
from tests.test_linkedin import first, kinds


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Give Threads, with a post of the offer."""
    with Threads() as server:
        server.publish()
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a place for a journal."""
    return tmp_path / "journal"


def test_a_post_is_read_with_its_link() -> None:
    """A post has its author, moment, text, link and topic; what it quotes is named; unknown fields are passed over."""
    post = media("2", at=5, link_attachment_url=URL, topic_tag="jobs", quoted_post={"id": "1"}, new=1)
    (seen,) = Connector.normalise({"media": post})
    assert seen == Authored(
        id="threads:2",
        actor=f"threads:{COMPANY}",
        at=5_000,
        text="Nice",
        urls=(URL,),
        tags=("jobs",),
        quotes="threads:1",
    )


def test_a_repost_of_the_account_is_a_share() -> None:
    """What the account reposted stands among its posts, as a share of the other's."""
    (seen,) = Connector.normalise({"media": media("2", at=5, media_type="REPOST_FACADE", reposted_post={"id": "8"})})
    assert seen == Shared(id="threads:2", actor=f"threads:{COMPANY}", at=5_000, of="threads:8")


def test_a_reply_names_what_it_answers() -> None:
    """A reply answers a post or another reply, in the conversation of the post at its top."""
    (seen,) = Connector.normalise({"media": reply("8", "ann", at=5) | {"replied_to": {"id": "7"}}})
    assert isinstance(seen, Authored)
    assert (seen.actor, seen.replies_to, seen.thread) == ("threads:ann", "threads:7", "threads:1")


def test_a_deletion_names_the_post() -> None:
    """A deletion has the moment that the network gives it."""
    (seen,) = Connector.normalise({"deleted": {"id": "8", "owner": {"owner_id": "9"}, "deleted_at": date(5)}})
    assert seen == Removed(target="threads:8", at=5_000)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"media": {"id": "1", "timestamp": date(5)}}, "mistyped field"),
        ({"media": media("1") | {"timestamp": "soon"}}, "mistyped field"),
        ({"media": media("7" * 600)}, "too long"),
        ({"deleted": 7}, "mistyped field"),
    ],
)
def test_what_can_not_be_told_is_rejected(raw: Any, reason: str) -> None:
    """What has no author, another shape or an endless id is rejected."""
    (rejected,) = Connector.normalise(raw)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == reason


def test_order_does_not_matter(threads: Threads, journal: Path) -> None:
    """A deletion before its reply takes it back all the same; what is pushed of other kinds is nothing."""
    one, shelf = made("threads", threads.options(), Looking()), Shelf()
    gone = {"id": "8", "deleted_at": date(time.time()), "owner": {"owner_id": "9"}}
    with running(one, journal, lambda: shelf):
        until(lambda: first(shelf, Post) is not None, "the post")
        for field, value in (("delete", gone), ("a new field", gone), ("replies", reply("8", "ann")), ("delete", gone)):
            body = threads_delivery(field, value)
            assert Sender(one).post(body, signature(body)) == 200
    assert [kind for kind, _ in kinds(shelf)] == ["post", "reply", "delete"]
    assert first(shelf, Delete).target == "threads:8"


def test_what_the_account_publishes_comes_at_once(threads: Threads, journal: Path) -> None:
    """A publication that is pushed is the post that the pull has later: once."""
    one, shelf = made("threads", threads.options(), Looking()), Shelf()
    with running(one, journal, lambda: shelf):
        threads.publish("2")
        body = threads_delivery("publish", threads.posts["2"])
        assert Sender(one).post(body, signature(body)) == 200
        before = threads.asked("me/threads")
        until(lambda: threads.asked("me/threads") > before + 1, "another pull")
    assert sum(event.id == "threads:2" for event in shelf.events) == 1


def test_totals_lead_to_the_conversation(threads: Threads, journal: Path) -> None:
    """Reposts and quotes together are the shares; when totals change, replies are listed; a missing post is gone."""
    threads.insights["1"] = {"views": 600, "likes": 4, "replies": 1, "reposts": 3, "quotes": 2}
    threads.edges["1/conversation"] = [reply("8", "ann"), reply("81", "bob") | {"replied_to": {"id": "8"}}]
    shelf = Shelf()
    with running(made("threads", threads.options() | {"count_every_s": "0"}, Looking()), journal, lambda: shelf):
        until(lambda: sum(isinstance(event, Counts) for event in shelf.events) >= 2, "totals, twice")
        until(lambda: first(shelf, Profile) is not None, "the followers")
        assert threads.asked("1/conversation") == 1
        threads.insights["1"]["replies"] = 2
        until(lambda: threads.asked("1/conversation") == 2, "another look")
        del threads.posts["1"]
        until(lambda: first(shelf, Delete) is not None, "the deletion")
    counts = first(shelf, Counts)
    assert (counts.target, counts.shares, counts.likes, counts.replies) == ("threads:1", 5, 4, 1)
    assert (counts.impressions, counts.id) == (600, f"threads:1#totals-{counts.at}")
    replies = {event.id: event.via for event in shelf.events if isinstance(event, Reply)}
    assert replies == {"threads:8": "threads:1", "threads:81": "threads:8"}
    assert (first(shelf, Profile).actor, first(shelf, Profile).followers) == (f"threads:{COMPANY}", 900)


def test_check_says_what_will_be_seen(threads: Threads, tmp_path: Path) -> None:
    """`--check` tells what this token shows, and what is missing without a permission or a secret."""
    options = threads.options() | {"app_id": "an-app"}
    threads.token["scopes"] = ["threads_basic", "threads_manage_insights", "threads_read_replies"]
    env = {f"RICOCHET_CONNECTORS__THREADS__{name.upper()}": value for name, value in options.items()}
    well = good("connect", "threads", "--check", cwd=tmp_path, env=env).out
    assert f"sees    posts and replies of {COMPANY}" in well
    assert "sees    totals, and how many follow" in well
    assert "misses  mentions: the token has no threads_manage_mentions" in well
    threads.faults["me/threads_insights"] = error(10, status=403)
    env |= {"RICOCHET_CONNECTORS__THREADS__APP_SECRET": ""}
    half = good("connect", "threads", "--check", cwd=tmp_path, env=env).out
    assert "misses  totals, and how many follow: followers: error 10, a permission is missing" in half
    assert "misses  anything at once: without the application's secret no webhook is taken" in half
