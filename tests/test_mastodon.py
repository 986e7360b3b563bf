"""Mastodon: what its messages say, and what a connector has after an instance in small has misbehaved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import catalogue
from connectors.connector import Normal, Refused
from connectors.journal import Entry, Journal
from connectors.mastodon import MastodonConnector
from connectors.mastodon_followers import Followers
from connectors.mastodon_statuses import normalise
from connectors.mastodon_streams import events
from connectors.sightings import Authored, Followed, Removed, Shared
from spread.events import AnyEvent, Counts, Delete, Gap, Post, Quote, Rejected, Reply, Share, Ties
from tests.connecting import Looking, Notes, Shelf, made, running
from tests.mastodon_instance import (
    DOMAIN,
    ME,
    TOKEN,
    Instance,
    Json,
    account,
    boost,
    boost_id,
    id_of,
    notification,
    now_ms,
    offer,
    status,
)
from tests.processes import until

AT = 1_790_000_000_000
MINUTE_MS = 60_000


def message(event: str, told: Any, instance: str = DOMAIN) -> bytes:
    """Wrap what an instance tells as the connector does."""
    payload = told if isinstance(told, str) else json.dumps(told)
    return json.dumps({"instance": instance, "me": ME, "event": event, "payload": payload, "seen": AT + 9}).encode()


def seen(event: str, told: Any, instance: str = DOMAIN) -> list[Normal]:
    """Give all that a message says."""
    return [*normalise(message(event, told, instance))]


def test_a_status_is_read_whole() -> None:
    """Its text without HTML, its links but not its mentions and hashtags, its card, tags, and what it answers."""
    content = (
        '<p>We &lt;hire&gt;<br>now <a href="https://a.example/1?b=1&amp;c=2"><span class="invisible">https://</span>'
        '<span class="ellipsis">a.example/1</span><span class="invisible">?b=1&amp;c=2</span></a></p>'
        '<p><a href="https://social.example/@bob" class="u-url mention">@<span>bob</span></a> '
        '<a href="https://social.example/tags/jobs" class="mention hashtag" rel="tag">#<span>jobs</span></a></p>'
    )
    more: Json = {
        "tags": [{"name": "jobs", "url": "https://social.example/tags/jobs"}],
        "card": {"url": "https://a.example/2", "title": "t"},
        "spoiler_text": "work",
        "in_reply_to_id": "6",
    }
    assert seen("update", status(7, "Acme", content, AT, **more)) == [
        Authored(
            id=f"mastodon:https://{DOMAIN}/users/Acme/statuses/7",
            actor=f"mastodon:acme@{DOMAIN}",
            at=AT,
            text="work\nWe <hire>\nnow https://a.example/1?b=1&c=2\n@bob #jobs",
            urls=("https://a.example/1?b=1&c=2", "https://a.example/2"),
            tags=("jobs",),
            replies_to=f"mastodon:{DOMAIN}/6",
            followers=7,
            alias=f"mastodon:{DOMAIN}/7",
        )
    ]


def test_a_boost_is_one_however_it_is_told() -> None:
    """On the home timeline and as a notification it has one id, names the first status, and never through whom."""
    root = offer(7, at=AT)
    shown, told = seen("update", boost(9, "ann@else.example", root, AT + 5))
    shown_too, notified = seen("notification", notification(3, "reblog", "ann@else.example", root, AT + 6))
    assert isinstance(shown, Authored) and isinstance(told, Shared) and isinstance(notified, Shared)
    assert shown == shown_too
    assert shown.beside
    assert told.id == notified.id == boost_id("ann@else.example", root)
    assert (told.at, notified.at) == (AT + 5, AT + 6)
    assert (told.of, told.via, told.followers) == (shown.id, None, 7)
    assert (told.alias, notified.alias) == (f"mastodon:{DOMAIN}/9", None)


def test_one_post_on_two_instances_is_one() -> None:
    """Whoever sees it, and whatever number it has there, its id and its account are the same."""
    here, there = offer(7, at=AT), offer(7, at=AT)
    there |= {"id": "12345", "account": account(f"{ME.upper()}@{DOMAIN}")}
    (a,), (b,) = seen("update", here), seen("update", there, "else.example")
    assert isinstance(a, Authored) and isinstance(b, Authored)
    assert (a.id, a.actor) == (b.id, b.actor)
    assert (a.alias, b.alias) == (f"mastodon:{DOMAIN}/7", "mastodon:else.example/12345")


def test_a_quote_names_what_it_quotes_once_that_is_accepted() -> None:
    """With what is quoted beside it; of a quote in a quote the number; and nothing while it is not accepted."""
    inner = offer(7, at=AT) | {"quote": {"state": "accepted", "quoted_status_id": "5"}}
    shown, quote = seen("update", status(8, "eve", at=AT, quote={"state": "accepted", "quoted_status": inner}))
    assert isinstance(shown, Authored) and isinstance(quote, Authored)
    assert (shown.beside, shown.quotes) == (True, f"mastodon:{DOMAIN}/5")
    assert quote.quotes == shown.id
    (pending,) = seen("update", status(8, "eve", at=AT, quote={"state": "pending", "quoted_status": inner}))
    assert isinstance(pending, Authored)
    assert pending.quotes is None


@pytest.mark.parametrize("visibility", ["private", "direct", "", "new"])
def test_what_is_not_for_everybody_is_left_alone(visibility: str) -> None:
    """Followers-only and direct statuses, and boosts of them, are not read, even where the account may see them."""
    hidden = offer(7, at=AT, visibility=visibility)
    assert seen("update", hidden) == []
    assert seen("notification", notification(1, "mention", "bob", hidden)) == []
    assert seen("notification", notification(2, "reblog", "bob", hidden)) == []
    assert seen("update", boost(9, "bob", hidden)) == []
    shown = seen("update", status(8, "bob", at=AT, quote={"state": "accepted", "quoted_status": hidden}))
    assert [isinstance(one, Authored) and one.actor for one in shown] == [f"mastodon:bob@{DOMAIN}"]


def test_other_messages() -> None:
    """A deletion names a number, a follow its account; edits, mentions and quotes are statuses; all else is quiet."""
    assert seen("delete", "7") == [Removed(target=f"mastodon:{DOMAIN}/7", at=AT + 9)]
    (follow,) = seen("notification", notification(4, "follow", "bob", at=AT))
    assert isinstance(follow, Followed)
    assert (follow.actor, follow.whom, follow.at) == (f"mastodon:bob@{DOMAIN}", f"mastodon:acme@{DOMAIN}", AT)
    assert seen("status.update", offer(7, at=AT)) == seen("update", offer(7, at=AT))
    assert seen("notification", notification(5, "mention", "bob", offer(7, at=AT))) == seen("update", offer(7, at=AT))
    assert seen("notification", notification(5, "quote", "bob", offer(7, at=AT))) == seen("update", offer(7, at=AT))
    for event, told in (
        ("notification", notification(6, "favourite", "bob", offer(7))),
        ("notification", {"id": "6", "type": "severed_relationships", "created_at": "2026-01-01T00:00:00Z"}),
        ("filters_changed", "undefined"),
        ("of tomorrow", {"x": 1}),
    ):
        assert seen(event, told) == []


def test_a_field_of_tomorrow_changes_nothing() -> None:
    """Fields that are not known are passed over, wherever they stand."""
    told = offer(7, at=AT)
    later = told | {"rings": [1], "account": told["account"] | {"aura": {"x": 1}}}
    assert seen("update", later) == seen("update", told)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff",
        message("update", "{"),
        message("update", "[]"),
        message("update", {"id": 7}),
        message("update", offer(7) | {"created_at": "yesterday"}),
        message("update", offer(7) | {"uri": "https://" + "a" * 600}),
        message("update", offer(7) | {"account": None}),
        message("notification", {"id": "1", "type": "reblog", "created_at": "2026-01-01T00:00:00Z", "status": 3}),
        message("delete", "7" * 600),
    ],
)
def test_what_is_no_message_is_rejected(bad: bytes) -> None:
    """Whatever an instance may send, it is rejected in a word that quotes nothing of it, never an exception."""
    (one,) = normalise(bad)
    assert isinstance(one, Rejected)
    assert "yesterday" not in one.detail


@given(st.text(max_size=60) | st.from_regex(r"(<[!/]?[a-z\[]{0,3} ?(href=\"h)?|>|&#?x?\d*;?|\x00)*", fullmatch=True))
def test_no_markup_is_too_odd(content: str) -> None:
    """Whatever stands where HTML should, a status is read."""
    (one,) = seen("update", status(7, content=content, at=AT))
    assert isinstance(one, Authored)


@given(st.lists(st.tuples(st.sampled_from(["update", "delete"]), st.text("ab :{}ü", max_size=9))), st.data())
def test_a_stream_is_the_same_however_it_is_cut_into_pieces(said: list[tuple[str, str]], data: st.DataObject) -> None:
    """Signs of life and the borders of pieces change nothing; an event that was cut off is none."""
    sent = ":)\n" + "".join(f"event: {name}\n:thump\ndata: {payload}\n\n" for name, payload in said)
    raw = (sent + "event: update\ndata: {").encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [*events(pieces)] == said


@pytest.fixture
def server() -> Iterator[Instance]:
    """Give an instance."""
    with Instance() as started:
        yield started


def mastodon(server: Instance, **options: Any) -> MastodonConnector:
    """Make the connector of an instance."""
    given = {"instances": server.base, "token": TOKEN, "sweep_minutes": 0} | options
    connector = made("mastodon", given, Looking())
    assert isinstance(connector, MastodonConnector)
    return connector


def of(shelf: Shelf, kind: type[AnyEvent]) -> list[Any]:
    """Give the events of a kind, each id once."""
    return [*{event.id: event for event in shelf.events if isinstance(event, kind)}.values()]


def has(shelf: Shelf, *ids: str) -> bool:
    """Tell whether these came."""
    return shelf.ids() >= {*ids}


def root_of(server: Instance, **more: Any) -> Json:
    """Post the offer."""
    root = offer(server.number(), **more)
    server.say("home", "update", root)
    return root


def test_a_cascade_is_told_with_its_quotes_and_deletions(server: Instance, tmp_path: Path) -> None:
    """Boosts, a quote, a boost of the quote, replies; deletions that name a number are completed.

    root ── ann (boost, taken back)
     ├──── eve's quote ── bob (boost)
     └──── a reply
    """
    root, shelf = offer(server.number()), Shelf()
    quote = status(server.number(), "eve", quote={"state": "accepted", "quoted_status": root})
    reply = status(server.number(), "kim@else.example", in_reply_to_id=quote["id"])
    anns, bobs = boost(server.number(), "ann", root), boost(server.number(), "bob", quote)
    with running(mastodon(server), tmp_path / "j", lambda: shelf):
        for told in (root, anns, quote, bobs, reply):
            server.say("home", "update", told)
        server.stream("home", "delete", anns["id"])
        until(lambda: len(of(shelf, Delete)) == 1 and has(shelf, id_of(reply)), "all of it")
    assert [(e.id, e.role) for e in of(shelf, Post)] == [(id_of(root), None)]
    assert [(e.id, e.via) for e in of(shelf, Quote)] == [(id_of(quote), id_of(root))]
    assert {(e.id, e.root, e.via) for e in of(shelf, Share)} == {
        (id_of(anns), id_of(root), None),
        (id_of(bobs), id_of(root), id_of(quote)),
    }
    assert [(e.root, e.via) for e in of(shelf, Reply)] == [(id_of(root), id_of(quote))]
    assert [(e.target, e.actor) for e in of(shelf, Delete)] == [(id_of(anns), f"mastodon:ann@{DOMAIN}")]


def test_a_boost_shows_the_post_that_nobody_had_seen(server: Instance, tmp_path: Path) -> None:
    """A post that was published long ago is known from its first boost on."""
    root, shelf = offer(server.number(AT), at=AT), Shelf()
    with running(mastodon(server), tmp_path / "j", lambda: shelf):
        server.say("home", "notification", notification(1, "reblog", "ann", root))
        until(lambda: has(shelf, id_of(root), boost_id("ann", root)), "the post and the boost")
    assert [event.id for event in of(shelf, Post)] == [id_of(root)]
    assert [(event.root, event.via) for event in of(shelf, Share)] == [(id_of(root), None)]


def test_order_and_repetition_change_nothing(server: Instance, tmp_path: Path) -> None:
    """Deletions before what they delete, shares before their post, and everything twice: the same events."""
    root = offer(server.number(AT), at=AT)
    quote = status(server.number(), "eve", at=AT + 2, quote={"state": "accepted", "quoted_status": root})
    anns = boost(server.number(), "ann", root, AT + 1)
    told = [("update", root), ("update", quote), ("update", anns), ("delete", anns["id"]), ("delete", quote["id"])]
    found: list[set[tuple[str, str | None, str | None]]] = []
    for number, order in enumerate((told, told[::-1], told[::-1] + told, told[2:] + told[:2])):
        shelf = Shelf()
        with running(mastodon(server), tmp_path / str(number), partial(_same, shelf)):
            for event, one in order:
                server.stream("home", event, one if isinstance(one, str) else json.dumps(one))
            until(lambda shelf=shelf: len(of(shelf, Delete)) == 2 and len(shelf.ids()) == 5, "all of it")  # type: ignore[misc]
        found.append({(e.id, getattr(e, "root", None), getattr(e, "via", None)) for e in shelf.events})
    assert found[0] == found[1] == found[2] == found[3]


def _same(shelf: Shelf) -> Shelf:
    return shelf


def test_a_payload_that_is_no_json_ends_nothing(server: Instance, tmp_path: Path) -> None:
    """It is counted as rejected, its text is not told, and the stream goes on."""
    shelf, notes = Shelf(), Notes()
    with running(mastodon(server), tmp_path / "j", lambda: shelf, notes) as one:
        server.stream("home", "update", '{"content": "geheim')
        until(lambda: one.status.rejected.total() == 1, "the rejection")
        root = root_of(server)
        until(lambda: has(shelf, id_of(root)), "the post")
        assert (one.status.rejected.total(), one.status.reconnects) == (1, 0)
    assert [(rejected.reason, source) for rejected, source in shelf.rejected] == [("not JSON", "connector mastodon")]
    assert "geheim" not in repr(notes.lines)


def test_a_cut_line_is_no_message(server: Instance, tmp_path: Path) -> None:
    """Half an event is neither read nor rejected; after it the connector comes back."""
    shelf = Shelf()
    with running(mastodon(server), tmp_path / "j", lambda: shelf) as one:
        server.cut()
        until(lambda: one.status.reconnects == 1 and one.status.state == "reading", "the second connection")
        root = root_of(server)
        until(lambda: has(shelf, id_of(root)), "the post")
        assert one.status.rejected.total() == 0


def test_silence_is_found_out(server: Instance, tmp_path: Path) -> None:
    """A stream that gives no sign of life any more is given up, and what it did not tell is caught up with."""
    shelf = Shelf()
    with running(mastodon(server, silence_s=0.5), tmp_path / "j", lambda: shelf) as one:
        root = root_of(server)
        until(lambda: has(shelf, id_of(root)), "the post")
        server.is_mute = True
        server.say("home", "notification", notification(1, "reblog", "ann", root))
        until(lambda: one.status.reconnects >= 1, "the silence to be found out")
        server.is_mute = False
        until(lambda: has(shelf, boost_id("ann", root)), "the boost")


def test_signs_of_life_are_enough(server: Instance, tmp_path: Path) -> None:
    """A stream that has nothing to tell but signs of life is left as it is."""
    with running(mastodon(server, silence_s=2), tmp_path / "j", Shelf) as one:
        calls, past = len(server.asked), time.monotonic() + 5
        until(lambda: time.monotonic() > past, "more than twice as long as a silence may be")
        assert (one.status.reconnects, len(server.asked) - calls < 5) == (0, True)


def test_a_limit_that_names_no_moment_is_waited_out(server: Instance, tmp_path: Path) -> None:
    """Without any header a 429 is a pause like that after a limit, not a lost connection, and nothing is lost."""
    shelf = Shelf()
    server.refuse(429, times=2)
    root = root_of(server, at=now_ms())
    with running(mastodon(server), tmp_path / "j", lambda: shelf, waits=False) as one:
        until(lambda: one.status.rate_limits == 2 and one.status.state == "reading", "reading")
        server.say("home", "notification", notification(1, "reblog", "ann", root))
        until(lambda: has(shelf, boost_id("ann", root)), "the boost")
        assert one.status.reconnects == 0


def test_an_instance_that_is_away_is_waited_for(server: Instance, tmp_path: Path) -> None:
    """A 503 is a lost connection, and a Retry-After is kept to."""
    notes = Notes()
    server.refuse(503, {"Retry-After": "1"})
    began = time.monotonic()
    with running(mastodon(server), tmp_path / "j", Shelf, notes) as one:
        assert one.status.reconnects == 1
        assert time.monotonic() - began >= 1
    assert "HTTP 503" in str(notes.lines[0][1]["why"])


def test_a_token_that_expires_needs_a_person(server: Instance, tmp_path: Path) -> None:
    """Refused in the middle of its life, the connector stops and says so, without the token."""
    notes = Notes()
    with running(mastodon(server), tmp_path / "j", Shelf, notes) as one:
        server.token = "another"
        server.cut()
        until(lambda: one.status.state == "refused", "the refusal")
        assert one.status.why.endswith("HTTP 401")
    assert TOKEN not in repr(notes.lines)


def test_nothing_is_lost_between_the_past_and_the_stream(server: Instance, tmp_path: Path) -> None:
    """Boosts that happen at every moment of a reconnect, before and behind each call, are all there after it."""
    shelf, acts = Shelf(), list[str]()
    root = root_of(server)

    def boosted() -> None:
        number = next(server.ids)
        server.say("home", "notification", notification(number, "reblog", f"a{number}", root))
        acts.append(boost_id(f"a{number}", root))

    with running(mastodon(server), tmp_path / "j", lambda: shelf) as one:
        server.say("home", "notification", notification(next(server.ids), "reblog", "first", root))
        until(lambda: has(shelf, boost_id("first", root)), "the first boost")
        server._on_call = boosted
        for times in range(1, 4):
            server.cut()
            until(partial(_reconnected, one, times), "the next connection")
        until(lambda: has(shelf, *acts), "the boosts")
        server._on_call = lambda: None
        assert len(acts) > 20
        assert one.status.gaps == 0


def _reconnected(one: Any, times: int) -> bool:
    return bool(one.status.reconnects >= times and one.status.state == "reading")


def test_what_a_stream_misses_in_silence_is_read_later(
    server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timelines are read on while their streams stand: what these leave out comes, even where later things have."""
    monkeypatch.setattr("connectors.mastodon.AGAIN_S", 0.1)
    shelf = Shelf()
    with running(mastodon(server), tmp_path / "j", lambda: shelf) as one:
        root, heard = offer(server.number()), offer(server.number())
        server.stream("home", "update", json.dumps(heard))
        until(lambda: has(shelf, id_of(heard)), "the past to be over")
        server.say("home", "update", root, streamed=False)
        server.say("home", "notification", notification(1, "reblog", "ann", root), streamed=False)
        server.say("home", "notification", notification(2, "reblog", "bob", root))
        until(lambda: has(shelf, id_of(root), boost_id("ann", root), boost_id("bob", root)), "all of it")
        assert one.status.reconnects == 0


def test_a_late_status_is_found_behind_the_cursor(server: Instance, tmp_path: Path) -> None:
    """A post that arrives late is filed at its own moment; the next catch-up looks there too."""
    shelf = Shelf()
    root = root_of(server)
    with running(mastodon(server), tmp_path / "j", Shelf):
        until(lambda: root["id"] in cursor_of(tmp_path / "j"), "a cursor")
    late = now_ms() - 5 * MINUTE_MS
    other = offer(server.number(late), "bob@else.example", late)
    server.say("home", "update", other)
    with running(mastodon(server), tmp_path / "j", lambda: shelf):
        until(lambda: has(shelf, id_of(other)), "the late post")
    assert not of(shelf, Gap)


def cursor_of(path: Path) -> str:
    """Read the cursor that is saved."""
    with Journal(path) as kept:
        return kept.cursor or ""


@pytest.mark.parametrize("timeline", ["home", "notifications"])
def test_where_the_past_does_not_reach_there_is_a_gap(server: Instance, tmp_path: Path, timeline: str) -> None:
    """An instance that has dropped all that is as old as the cursor hides something: from the cursor to the oldest."""
    began, kept_from = now_ms() - 300 * MINUTE_MS, now_ms() - 100 * MINUTE_MS
    root, shelf = offer(server.number(kept_from), at=kept_from), Shelf()
    server.say("home", "update", root)
    server.say("home", "notification", notification(900, "reblog", "ann", root, kept_from))
    reaches = {"home": str(server.number(kept_from - MINUTE_MS)), "notifications": "899"}
    old = {"home": str(began << 16), "notifications": "5"}[timeline]
    places = {name: [id, began] for name, id in (reaches | {timeline: old}).items()}
    other = "notifications" if timeline == "home" else "home"
    server.rows[other].insert(0, _before(server, other, int(reaches[other])))
    with Journal(tmp_path / "j") as kept:
        kept.save(kept.turn(f"mastodon {json.dumps({server.base.removeprefix('http://'): places})}", began))
    with running(mastodon(server), tmp_path / "j", lambda: shelf) as one:
        until(lambda: has(shelf, id_of(root), boost_id("ann", root)), "the rest")
        assert one.status.gaps == 1
    (gap,) = of(shelf, Gap)
    assert (gap.from_, gap.to_) == (began, kept_from)
    assert timeline in gap.why


def _before(server: Instance, timeline: str, number: int) -> Json:
    """Make something that nobody cares about, as old as a place in a timeline."""
    at = now_ms() - 200 * MINUTE_MS
    return status(number, at=at) if timeline == "home" else notification(number, "favourite", "bob", at=at)


def test_hashtags_bring_the_posts_of_others(server: Instance, tmp_path: Path) -> None:
    """Public posts with a hashtag are read live, and caught up with after a stop."""
    shelf, after = Shelf(), Shelf()
    bobs, kims = (offer(server.number(), f"{name}@else.example") for name in ("bob", "kim"))
    with running(mastodon(server, hashtags="#Jobs"), tmp_path / "j", lambda: shelf):
        server.say("tag/jobs", "update", bobs)
        until(lambda: has(shelf, id_of(bobs)), "a post")
        until(lambda: "tag/jobs" in cursor_of(tmp_path / "j"), "a cursor")
    server.say("tag/jobs", "update", kims)
    with running(mastodon(server, hashtags="jobs"), tmp_path / "j", lambda: after):
        until(lambda: has(after, id_of(kims)), "another post")
    assert [event.actor for event in of(after, Post) if event.id == id_of(kims)] == ["mastodon:kim@else.example"]


def test_two_instances_tell_one_post_once(tmp_path: Path) -> None:
    """Read on both, a post is one, and a deletion on either takes it back."""
    shelf = Shelf()
    with Instance() as here, Instance(domain="else.example") as there:
        options = {
            "instances": f"{here.base},{there.base}",
            "token": f"{here.base}={TOKEN}, {there.base}={TOKEN}",
            "sweep_minutes": 0,
        }
        connector = made("mastodon", options, Looking())
        root = offer(here.number(), at=AT)
        copy = root | {"id": "77", "account": account(f"{ME}@{DOMAIN}")}
        with running(connector, tmp_path / "j", lambda: shelf):
            here.say("home", "update", root)
            until(lambda: has(shelf, id_of(root)), "the post")
            there.say("home", "notification", notification(1, "reblog", "ann", copy))
            until(lambda: has(shelf, boost_id("ann", root, "else.example")), "a boost there")
            there.stream("home", "delete", "77")
            until(lambda: bool(of(shelf, Delete)), "the deletion")
    assert [event.id for event in of(shelf, Post)] == [id_of(root)]
    assert [event.target for event in of(shelf, Delete)] == [id_of(root)]


def test_a_follow_of_the_account_is_a_tie(server: Instance, tmp_path: Path) -> None:
    """Who begins to follow an account that takes part is told as a tie."""
    shelf = Shelf()
    with running(mastodon(server), tmp_path / "j", lambda: shelf):
        root = root_of(server)
        until(lambda: has(shelf, id_of(root)), "the post")
        server.say("home", "notification", notification(1, "follow", "bob@else.example"))
        until(lambda: bool(of(shelf, Ties)), "the tie")
    (ties,) = of(shelf, Ties)
    assert (ties.actor, ties.followed_by) == (f"mastodon:acme@{DOMAIN}", ["mastodon:bob@else.example"])


def test_a_sweep_finds_what_nobody_is_notified_of(
    server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boosts of an employee's post get the time that their account's statuses tell; without one they stay a number."""
    monkeypatch.setattr("connectors.mastodon_sweep.PAUSE_S", 0.0)
    root = offer(server.number(), "bob@else.example")
    known, found, lost = (f"{name}@else.example" for name in ("known", "found", "lost"))
    anns = boost(server.number(), found, root, now_ms() - MINUTE_MS)
    quote = status(server.number(), "eve", quote={"state": "accepted", "quoted_status": root})
    now = root | {"reblogs_count": 3, "quotes_count": 1, "favourites_count": 5, "replies_count": 2}
    number = {name: account(name)["id"] for name in (known, found, lost)}
    by = f"/api/v1/statuses/{root['id']}/reblogged_by"

    def reblogged_by(query: dict[str, str]) -> tuple[list[Json], dict[str, str]]:
        if "max_id" in query:
            return [account(lost)], {}
        return [account(known), account(found)], {"Link": f'<{server.base}{by}?max_id=9>; rel="next"'}

    answers = {
        "/api/v2/search": {"statuses": [now], "accounts": [], "hashtags": []},
        by: reblogged_by,
        f"/api/v1/statuses/{root['id']}/quotes": [quote],
        f"/api/v1/accounts/{number[found]}/statuses": [status(1, found), anns],
        f"/api/v1/accounts/{number[lost]}/statuses": [status(2, lost)],
    }
    shelf = Shelf()
    with running(mastodon(server, sweep_minutes=0.005, hashtags="jobs"), tmp_path / "j", lambda: shelf):
        server.say("tag/jobs", "update", root)
        server.say("home", "update", boost(server.number(), known, root))
        until(lambda: has(shelf, boost_id(known, root)), "a boost that is told")
        server.answers = answers
        until(lambda: has(shelf, id_of(anns), id_of(quote)) and bool(of(shelf, Counts)), "the rest")
        until(lambda: any(f"{number[lost]}/statuses" in path for path in server.asked), "the last question")
    assert [(e.at, e.source) for e in of(shelf, Share) if e.id == id_of(anns)] == [(now_ms_of(anns), "backfill")]
    assert {e.id for e in of(shelf, Share)} == {boost_id(known, root), boost_id(found, root)}
    counts = of(shelf, Counts)[0]
    assert (counts.target, counts.shares, counts.likes, counts.replies) == (id_of(root), 4, 5, 2)
    assert not [path for path in server.asked if f"{number[known]}/statuses" in path]


def test_a_sweep_asks_about_quotes_too(server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A boost of a quote is found even where the root is known from the quote alone."""
    monkeypatch.setattr("connectors.mastodon_sweep.PAUSE_S", 0.0)
    booster, root = "ann@else.example", "mastodon:https://gone.example/users/acme/statuses/1"
    quote = status(server.number(), "bob@else.example", reblogs_count=1)
    boosted = boost(server.number(), booster, quote)
    server.answers = {
        "/api/v2/search": {"statuses": [quote], "accounts": [], "hashtags": []},
        f"/api/v1/statuses/{quote['id']}/reblogged_by": [account(booster)],
        f"/api/v1/accounts/{account(booster)['id']}/statuses": [boosted],
    }
    with Journal(tmp_path / "j") as kept:
        kept.note(Entry(id_of(quote), "quote", "mastodon:bob@else.example", now_ms(), root, "offer-42"))
        kept.save(kept.turn(None, now_ms()))
    shelf = Shelf()
    with running(mastodon(server, sweep_minutes=0.005), tmp_path / "j", lambda: shelf):
        until(lambda: has(shelf, boost_id(booster, quote)), "the boost of the quote")
    share = of(shelf, Share)[0]
    assert (share.root, share.via, share.source) == (root, id_of(quote), "backfill")


@pytest.mark.parametrize(("code", "warns"), [(403, True), (422, False)])
def test_a_question_of_a_sweep_that_is_refused_stops_nothing(
    server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, warns: bool
) -> None:
    """Where the instance does not search, it finds nothing; what is told live goes on, and a person hears of it."""
    monkeypatch.setattr("connectors.mastodon_sweep.PAUSE_S", 0.0)
    root, shelf = offer(server.number(), "bob@else.example"), Shelf()
    server.refuses["/api/v2/search"] = code
    connector = mastodon(server, sweep_minutes=0.005, hashtags="jobs")
    with running(connector, tmp_path / "j", lambda: shelf) as runner:
        server.say("tag/jobs", "update", root)
        until(lambda: sum("/api/v2/search" in path for path in server.asked) > 2, "some sweeps")
        server.say("home", "update", boost(server.number(), "ann@else.example", root))
        until(lambda: has(shelf, boost_id("ann@else.example", root)), f"a boost after that: {runner.status}")
        assert (runner.status.reconnects, runner.status.warns is not None) == (0, warns)


def now_ms_of(told: Json) -> int:
    """Give the moment of a status."""
    (one,) = [seen for seen in normalise(message("update", told)) if isinstance(seen, Shared)]
    return one.at


def test_a_sweep_finds_a_post_that_is_gone(server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that came while nobody listened is found out by asking for the instance's own post."""
    monkeypatch.setattr("connectors.mastodon_sweep.PAUSE_S", 0.0)
    shelf = Shelf()
    with running(mastodon(server, sweep_minutes=0.005), tmp_path / "j", lambda: shelf):
        root = root_of(server)
        until(lambda: bool(of(shelf, Delete)), "the deletion")
    assert [event.target for event in of(shelf, Delete)] == [id_of(root)]


def test_lists_of_followers_are_whole_or_a_part(server: Instance) -> None:
    """Read in pages; whole where all are there that the account is said to have; hidden ones and the gone give none."""
    found = account("ann") | {"followers_count": 2, "following_count": 9, "hide_collections": None}
    at = f"/api/v1/accounts/{found['id']}"

    def followers(query: dict[str, str]) -> tuple[list[Json], dict[str, str]]:
        if query.get("max_id") == "5":
            return [account("kim@else.example")], {}
        return [account("Bob")], {"Link": f'<{server.base}{at}/followers?max_id=5>; rel="next"'}

    def lookup(query: dict[str, str]) -> tuple[Json | None, dict[str, str]]:
        hidden = account("shy") | {"hide_collections": True}
        return {f"ann@{DOMAIN}": found, f"shy@{DOMAIN}": hidden}.get(query["acct"]), {}

    server.answers = {
        "/api/v1/accounts/lookup": lookup, f"{at}/followers": followers, f"{at}/following": [account("eve")],
    }  # fmt: skip
    book = mastodon(server).finder()
    assert isinstance(book, Followers)
    ann = f"mastodon:ann@{DOMAIN}"

    def whole(side: str) -> tuple[list[str], bool]:
        rows, onwards = book.listed(ann, side, None)
        again = mastodon(server).finder()  # as after a new start: what is needed stands in the page
        while onwards is not None:
            some, onwards = again.listed(ann, side, onwards)
            rows += some
        is_whole = again.is_whole(ann, side, len(rows))
        again.close()
        return rows, is_whole

    assert whole("followed_by") == ([f"mastodon:bob@{DOMAIN}", "mastodon:kim@else.example"], True)
    assert whole("follows") == ([f"mastodon:eve@{DOMAIN}"], False)
    for name in ("shy", "gone"):
        assert book.listed(f"mastodon:{name}@{DOMAIN}", "follows", None) == ([], None)
        assert not book.is_whole(f"mastodon:{name}@{DOMAIN}", "follows", 0)
    book.close()


def test_check_says_what_will_be_seen(server: Instance) -> None:
    """Whose timeline it is, its hashtags, and what the account's own filters hold back; a refusal is told as one."""
    server.answers = {"/api/v2/notifications/policy": {"for_not_following": "filter", "for_bots": "accept"}}
    connector = mastodon(server, hashtags="jobs")
    found = connector.check()
    assert any(f"shown to {ME}" in line for line in found.sees)
    assert any("#jobs" in line for line in found.sees)
    assert [line for line in found.misses if line.endswith("filters: not following")]
    assert any("deletions by" in line for line in found.misses)
    until(lambda: server.streams() == 0, "the stream to be left")
    server.token = "another"
    with pytest.raises(Refused, match="HTTP 401"):
        connector.check()


@pytest.mark.parametrize(
    "options",
    [
        {"instances": "http://social.example", "token": "geheim"},
        {"instances": "https://", "token": "geheim"},
        {"instances": "a.example,b.example", "token": "geheim"},
        {"instances": "a.example,b.example", "token": "a.example=geheim"},
        {"instances": "a.example", "token": "b.example=x, a.example=geheim"},
    ],
)
def test_no_token_goes_where_it_does_not_belong(options: dict[str, str]) -> None:
    """Each listed instance has one token of its own, which travels encrypted; anything else is refused in a line."""
    with pytest.raises(Refused) as caught:
        made("mastodon", options)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_instance_is_asked_by_default() -> None:
    """Without a list there is no connector: whoever lists an instance has read its terms."""
    with pytest.raises(catalogue.OptionError, match="instances"):
        catalogue.options("mastodon", {"token": "x"})
