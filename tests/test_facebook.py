"""Facebook: what its messages say, what is listed when totals change, and what it looks after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors import facebook_posts
from connectors.journal import Journal
from connectors.sightings import Authored, Removed
from spread.events import Counts, Delete, Post, Profile, Rejected, Reply, Share
from tests.connecting import Looking, Notes, Shelf, made, running
from tests.meta import PAGE, ROOT, Facebook, change, date, error, page_delivery, signature
from tests.processes import ended, good, until
from tests.receiving import Sender
from tests.rehearsals import URL
from tests.test_linkedin import first, kinds


@pytest.fixture
def facebook() -> Iterator[Facebook]:
    """Give Facebook, with a post of the offer."""
    with Facebook() as server:
        server.publish()
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a place for a journal."""
    return tmp_path / "journal"


def changed(value: dict[str, Any], time: int = 5) -> list[Any]:
    """Read what was pushed."""
    return [*facebook_posts.normalise({"change": value, "page": PAGE, "time": time})]


def test_a_post_is_read_with_its_link() -> None:
    """A post of a Page has its author, moment, text and the address that Facebook's own hides."""
    post = {"id": ROOT, "created_time": date(5), "message": "We hire", "new": 1}
    post |= {"attachments": {"data": [{"unshimmed_url": URL}, {"unshimmed_url": URL}, {}]}}
    (seen,) = facebook_posts.normalise({"post": post, "page": PAGE})
    assert seen == Authored(id=f"facebook:{ROOT}", actor=f"facebook:{PAGE}", at=5_000, text="We hire", urls=(URL,))


def test_a_link_that_the_page_shares_is_a_post() -> None:
    """What Facebook calls a share here is a post of the Page with a link, and nobody's share of its post."""
    (seen,) = changed(change("share", "add", PAGE, 9, link=URL, share_id=9, created_time=7))
    wanted = Authored(id=f"facebook:{PAGE}_9", actor=f"facebook:{PAGE}", at=7_000, text="Nice", urls=(URL,))
    assert seen == wanted


def test_comments_answer_what_they_stand_under() -> None:
    """A comment answers what it stands under, in the conversation of the post; an edited one is the same."""
    (seen,) = changed(change("comment", "add", "u1", 7, parent_id="1_6", created_time="1970-01-01T00:00:09+0000"))
    (edited,) = changed(change("comment", "edited", "u1", 7))
    assert isinstance(seen, Authored) and isinstance(edited, Authored)
    assert (seen.id, seen.actor, seen.at) == ("facebook:1_7", "facebook:u1", 9_000)
    assert (seen.replies_to, seen.thread) == ("facebook:1_6", f"facebook:{ROOT}")
    assert edited.id == seen.id


def test_removals_are_obeyed_whoever_made_them() -> None:
    """A comment or a post that is gone names itself, at the moment of the delivery, and no account."""
    assert changed(change("comment", "remove", PAGE, 7)) == [Removed(target="facebook:1_7", at=5_000)]
    assert changed(change("post", "remove", None, 9)) == [Removed(target=f"facebook:{PAGE}_9", at=5_000)]


@pytest.mark.parametrize(
    "value",
    [
        change("reaction", "add", "u1", 9, reaction_type="love"),
        change("share", "hide", PAGE, 9),
        change("post", "add", PAGE, 9, published=0),
        change("comment", "a new verb", "u1", 9),
        {"item": "comment", "verb": "add"},
        {"item": "page_like", "verb": "add", "from": {"id": "u1"}},
    ],
)
def test_what_is_no_news_is_dropped(value: dict[str, Any]) -> None:
    """Reactions, what is hidden or not published, and what nobody knows yet."""
    assert changed(value) == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"change": change("comment", "add", None, 7)}, "unnamed"),
        ({"comment": {"id": "1_7", "created_time": date(5)}, "post_id": ROOT}, "unnamed"),
        ({"share": {"id": "2_7", "created_time": date(5)}, "post_id": ROOT}, "unnamed"),
        ({"post": {"id": ROOT, "created_time": "soon"}}, "mistyped field"),
        ({"change": 7}, "mistyped field"),
        ({"post": {"id": "7" * 600, "created_time": 5}}, "too long"),
    ],
)
def test_what_can_not_be_told_is_rejected(raw: Any, reason: str) -> None:
    """What has no author, another shape or an endless id is rejected, with a reason that quotes nothing."""
    (rejected,) = facebook_posts.normalise(raw)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == reason
    assert "Nice" not in rejected.detail


def test_order_does_not_matter(facebook: Facebook, journal: Path) -> None:
    """A deletion before its comment takes it back all the same, twice delivered is once, other Pages are nobody's."""
    one, shelf = made("facebook", facebook.options(), Looking()), Shelf()
    with running(one, journal, lambda: shelf):
        until(lambda: first(shelf, Post) is not None, "the post")
        body = page_delivery(change("comment", "remove", "u1", 7), change("comment", "add", "u1", 7))
        other = page_delivery(change("comment", "add", "u1", 8), page="2000")
        assert [Sender(one).post(each, signature(each)) for each in (body, body, other)] == [200, 200, 200]
    assert [kind for kind, _ in kinds(shelf)] == ["post", "reply", "delete"]
    assert first(shelf, Delete).target == "facebook:1_7"


def test_an_unknown_field_does_no_harm(facebook: Facebook, journal: Path) -> None:
    """Fields that nobody knows yet, in posts, totals, comments, shares, deliveries and around them, are passed over."""
    new = {"a_new_field": {"deep": [1, None, {"id": 7}]}, "ids": "x", "shared_by": [{}]}
    facebook.posts[ROOT] |= new | {"attachments": {"data": [new | {"unshimmed_url": URL}], **new}}
    facebook.totals[ROOT] = new | {"shares": {"count": 1, **new}, "reactions": {"summary": {"total_count": 2, **new}}}
    who = {"id": "u1", "name": "Ann", **new}
    facebook.edges[f"{ROOT}/comments"] = [{"id": "1_7", "created_time": date(5), "from": who, "message": "Nice", **new}]
    facebook.edges[f"{ROOT}/sharedposts"] = [{"id": "u3_1", "created_time": date(7), "from": who, **new}]
    one, shelf = made("facebook", facebook.options() | {"count_every_s": "0"}, Looking()), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        until(lambda: {f"facebook:{ROOT}", "facebook:1_7", "facebook:u3_1"} <= shelf.ids(), "what is asked for")
        told = json.loads(page_delivery(change("comment", "add", "u2", 8) | new))
        body = json.dumps(told | new | {"entry": [told["entry"][0] | new, new | {"id": PAGE, "time": 1}]}).encode()
        assert Sender(one).post(body, signature(body)) == 200
        until(lambda: "facebook:1_8" in shelf.ids(), "what is pushed")
        assert not runner.status.rejected
        assert (runner.status.reconnects, runner.status.gaps) == (0, 0)
    assert (first(shelf, Counts).shares, first(shelf, Counts).likes) == (1, 2)


def test_totals_lead_to_what_may_be_seen(facebook: Facebook, journal: Path) -> None:
    """Totals come as counts; only when they change, comments and visible shares are listed; a missing post is gone."""
    facebook.totals[ROOT] = {
        "shares": {"count": 3},
        "reactions": {"data": [], "summary": {"total_count": 4}},
        "comments": {"data": [], "summary": {"total_count": 1}},
    }
    comment = {"id": "1_7", "created_time": date(5), "from": {"id": "u1"}, "message": "Nice"}
    facebook.edges[f"{ROOT}/comments"] = [comment, {"id": "1_8", "created_time": date(6), "from": {"id": "u2"}}]
    facebook.edges[f"{ROOT}/sharedposts"] = [
        {"id": "u3_1", "created_time": date(7), "from": {"id": "u3", "name": "Bob"}}
    ]
    shelf = Shelf()
    with running(made("facebook", facebook.options() | {"count_every_s": "0"}, Looking()), journal, lambda: shelf):
        until(lambda: sum(isinstance(event, Counts) for event in shelf.events) >= 2, "totals, twice")
        until(lambda: first(shelf, Share) is not None and first(shelf, Profile) is not None, "the share")
        assert facebook.asked(f"{ROOT}/sharedposts") == 1
        facebook.totals[ROOT]["shares"]["count"] = 4
        until(lambda: facebook.asked(f"{ROOT}/sharedposts") == 2, "another look")
        del facebook.posts[ROOT]
        until(lambda: first(shelf, Delete) is not None, "the deletion")
    counts = first(shelf, Counts)
    assert (counts.target, counts.shares, counts.likes, counts.replies) == (f"facebook:{ROOT}", 3, 4, 1)
    assert counts.id == f"facebook:{ROOT}#totals-{counts.at}"
    share = first(shelf, Share)
    assert (share.id, share.actor, share.root, share.via) == ("facebook:u3_1", "facebook:u3", f"facebook:{ROOT}", None)
    assert {event.id for event in shelf.events if isinstance(event, Reply)} == {"facebook:1_7", "facebook:1_8"}
    assert (first(shelf, Profile).actor, first(shelf, Profile).followers) == (f"facebook:{PAGE}", 900)
    assert first(shelf, Delete).target == f"facebook:{ROOT}"


def test_shares_that_may_not_be_seen_are_not_asked_for_again(facebook: Facebook, journal: Path) -> None:
    """Without the permission for shares totals go on coming, and it is not tried at every change."""
    facebook.faults[f"{ROOT}/sharedposts"] = error(10, status=403)
    shelf = Shelf()
    with running(made("facebook", facebook.options() | {"count_every_s": "0"}, Looking()), journal, lambda: shelf):
        for n in range(3):
            facebook.totals[ROOT] = {"shares": {"count": n}}
            until(partial(_has, shelf, n), "the totals")
    assert facebook.asked(f"{ROOT}/sharedposts") == 1


def _has(shelf: Shelf, shares: int) -> bool:
    return shares in {event.shares for event in shelf.events if isinstance(event, Counts)}


def test_a_limit_among_totals_does_not_begin_them_anew(facebook: Facebook, journal: Path) -> None:
    """Where a limit comes between the posts that are counted, it goes on with those that are left."""
    for n in (2, 3):
        facebook.publish(f"{PAGE}_{n}")
    shelf, roots = Shelf(), {f"facebook:{PAGE}_{n}" for n in (1, 2, 3)}
    with running(made("facebook", facebook.options(), Looking()), journal, lambda: shelf):
        until(lambda: roots <= shelf.ids(), "the posts")
    with Journal(journal) as kept:
        never_counted = f"{str(kept.cursor).rpartition(' ')[0]} 0"
        kept.save(kept.turn(never_counted, None))
    facebook.limited_at = 2
    with running(made("facebook", facebook.options(), Looking()), journal, lambda: shelf) as runner:
        until(lambda: {event.target for event in shelf.events if isinstance(event, Counts)} == roots, "all totals")
        assert runner.status.rate_limits == 1
    assert sorted(facebook.counted) == sorted([*(f"{PAGE}_{n}" for n in (1, 2, 3)), facebook.counted[1]])


def test_a_revoked_webhook_is_told_and_filled_in(facebook: Facebook, journal: Path) -> None:
    """Without a subscription a line says so, and what happens still comes, by pull."""
    facebook.subscribed = False
    shelf, notes = Shelf(), Notes()
    with running(
        made("facebook", facebook.options() | {"count_every_s": "0"}, Looking()), journal, lambda: shelf, notes
    ) as runner:
        until(lambda: runner.status.warns is not None, "the warning")
        facebook.publish(f"{PAGE}_2")
        until(lambda: f"facebook:{PAGE}_2" in shelf.ids(), "the post")
        facebook.subscribed = True
        until(lambda: runner.status.warns is None, "the warning to end")
    (told,) = [more["why"] for line, more in notes.lines if line == "needs attention"]
    assert told == "Facebook has no webhook for 1 of 1 Pages: what happens comes by pull alone"


def test_a_page_is_asked_with_its_own_token(facebook: Facebook, journal: Path) -> None:
    """The token of a system user stands for those of its Pages, and only these see what happens there."""
    with running(made("facebook", facebook.options()), journal, Shelf) as runner:
        until(lambda: runner.status.heard_ms is not None, "a pull")
    tokens = [headers["Authorization"] for headers in facebook.http.headers]
    assert tokens[0] == "Bearer a-token"
    assert {*tokens[1:]} == {"Bearer a-page-token"}


def test_check_says_what_will_be_seen(facebook: Facebook, tmp_path: Path) -> None:
    """`--check` tells what this token shows, and what is missing without a permission or a subscription."""
    options = facebook.options() | {"app_id": "an-app"}
    env = {f"RICOCHET_CONNECTORS__FACEBOOK__{name.upper()}": value for name, value in options.items()}
    facebook.token["scopes"] = ["pages_read_engagement", "pages_manage_metadata"]
    well = good("connect", "facebook", "--check", cwd=tmp_path, env=env).out
    assert f"sees    posts, comments and totals of Page {PAGE}" in well
    assert "sees    what happens, at once, by webhook" in well
    assert "misses  who comments: the token has no pages_read_user_content" in well
    facebook.subscribed = False
    half = good("connect", "facebook", "--check", cwd=tmp_path, env=env).out
    assert "misses  anything at once: Facebook has no webhook for 1 of 1 Pages" in half
    facebook.token["is_valid"] = False
    done = ended("connect", "facebook", "--check", cwd=tmp_path, env=env)
    assert (done.code, done.out) == (1, "facebook: the token does not hold any more\n")
