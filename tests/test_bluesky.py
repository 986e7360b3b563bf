"""Bluesky: what its messages say, on lines that a real Jetstream and a real firehose sent, and its Jetstream's past."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import libipld
import pytest
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from connectors.appview import AppView
from connectors.bluesky import COLLECTIONS, Bluesky
from connectors.connector import Normal
from connectors.firehose import body_of, messages_of
from connectors.journal import Entry, Journal
from connectors.sightings import Authored, Followed, Removed, Shared, Withdrawn
from spread.events import Counts, Gap, Quote, Rejected, Share
from tests.connecting import Looking, Shelf, made, running
from tests.jetstream import FOLLOW, POST, REPOST, Jetstream, account, commit, offer_post, ref, uri
from tests.processes import until
from tests.real_cascades import needed
from tests.rehearsals import OFFER

NOW = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


def one(line: bytes) -> Normal:
    """Give the one thing that a message says."""
    (seen,) = Bluesky.normalise(line)
    return seen


def test_a_post_is_read_whole() -> None:
    """Text, links of facets and cards, tags, what it quotes and what it answers: all that matching needs."""
    record = {
        "text": "We hire",
        "facets": [
            {"features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://a.example/1"}], "index": {}},
            {"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "jobs"}], "index": {}},
            {"features": [{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:x"}], "index": {}},
        ],
        "tags": ["hiring"],
        "embed": {
            "$type": "app.bsky.embed.recordWithMedia",
            "record": {"$type": "app.bsky.embed.record", "record": ref(uri("did:plc:b", POST, "q"))},
            "media": {"$type": "app.bsky.embed.external", "external": {"uri": "https://a.example/2", "title": "t"}},
        },
        "reply": {"root": ref(uri("did:plc:c", POST, "r")), "parent": ref(uri("did:plc:d", POST, "p"))},
    }
    assert one(commit("did:plc:a", NOW, POST, record, "k")) == Authored(
        id="bluesky:at://did:plc:a/app.bsky.feed.post/k",
        actor="bluesky:did:plc:a",
        at=NOW // 1000,
        text="We hire",
        urls=("https://a.example/1", "https://a.example/2"),
        tags=("jobs", "hiring"),
        quotes="bluesky:at://did:plc:b/app.bsky.feed.post/q",
        replies_to="bluesky:at://did:plc:d/app.bsky.feed.post/p",
        thread="bluesky:at://did:plc:c/app.bsky.feed.post/r",
    )


def test_a_quote_without_media_names_what_it_quotes() -> None:
    """The plain form of a quote holds the record itself."""
    embed = {"$type": "app.bsky.embed.record", "record": ref(uri("did:plc:b", POST, "q"))}
    seen = one(commit("did:plc:a", NOW, POST, {"text": "", "embed": embed}, "k"))
    assert isinstance(seen, Authored)
    assert seen.quotes == "bluesky:at://did:plc:b/app.bsky.feed.post/q"


def test_a_repost_names_through_whom() -> None:
    """`via` is taken where it stands, and nothing is put in its place where it does not."""
    through = uri("did:plc:b", REPOST, "x")
    subject = {"subject": ref(uri("did:plc:c", POST, "p"))}
    with_via = one(commit("did:plc:a", NOW, REPOST, subject | {"via": ref(through)}, "k"))
    without = one(commit("did:plc:a", NOW, REPOST, subject, "k"))
    assert isinstance(with_via, Shared)
    assert isinstance(without, Shared)
    assert (with_via.via, without.via) == (f"bluesky:{through}", None)


def test_other_messages() -> None:
    """Follows, deletions and accounts that are gone are told; likes, identities and waking accounts are not."""
    follow = one(commit("did:plc:a", NOW, FOLLOW, {"subject": "did:plc:b"}, "k"))
    assert isinstance(follow, Followed)
    assert follow.whom == "bluesky:did:plc:b"
    assert isinstance(one(commit("did:plc:a", NOW, POST, None, "k")), Removed)
    gone, hidden = one(account("did:plc:a", NOW, "deleted")), one(account("did:plc:a", NOW, "takendown"))
    assert isinstance(gone, Withdrawn)
    assert isinstance(hidden, Withdrawn)
    assert (gone.for_good, hidden.for_good) == (True, False)
    for quiet in (
        account("did:plc:a", NOW, None),
        account("did:plc:a", NOW, "desynchronized"),
        commit("did:plc:a", NOW, "app.bsky.feed.like", {"subject": ref("at://x")}, "k"),
        json.dumps({"did": "did:plc:a", "time_us": NOW, "kind": "identity", "identity": {}}).encode(),
    ):
        assert Bluesky.normalise(quiet) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff",
        b"[]",
        b'{"did":7,"time_us":1}',
        commit("did:plc:a", NOW, REPOST, {"subject": "no"}, "k"),
        commit("did:plc:a", NOW, POST, {"text": 7}, "k"),
        commit("did:plc:" + "a" * 600, NOW, POST, None, "k"),
        b'{"did":"d","time_us":1,"commit":{"operation":"create","collection":"app.bsky.feed.post","rkey":"k"}}',
    ],
)
def test_what_is_no_message_is_rejected(bad: bytes) -> None:
    """Whatever anybody may write into a record: it is rejected in a word, never an exception."""
    assert isinstance(one(bad), Rejected)


def test_the_moment_is_that_of_the_commit() -> None:
    """An event is stamped by its account's server, so two sources say the same; a mad stamp is not believed."""
    seen = one(commit("did:plc:a", NOW, POST, {"text": ""}, "k", rev_us=NOW - 5_000_000))
    mad = one(commit("did:plc:a", NOW, POST, {"text": ""}, "k", rev_us=NOW + 48 * HOUR_US))
    assert isinstance(seen, Authored)
    assert isinstance(mad, Authored)
    assert (seen.at, mad.at) == ((NOW - 5_000_000) // 1000, NOW // 1000)


def real() -> Path:
    """Find the folder of real frames."""
    return needed() / "bluesky"


def test_real_lines() -> None:
    """152 lines of a real Jetstream: 15 reposts of which 6 say through whom, 4 deletions, nothing rejected."""
    lines = (real() / "expected_v1.jsonl").read_bytes().splitlines()
    assert len(lines) == 152
    seen = [one for line in lines for one in Bluesky.normalise(line)]
    assert not [one for one in seen if isinstance(one, Rejected)]
    shares = [one for one in seen if isinstance(one, Shared)]
    assert (len(shares), sum(one.via is not None for one in shares)) == (15, 6)
    operations = Counter(json.loads(line).get("commit", {}).get("operation") for line in lines)
    collections = [json.loads(line)["commit"] for line in lines if b'"operation":"delete"' in line]
    assert operations["delete"] == 4
    assert sum(isinstance(one, Removed) for one in seen) == sum(of["collection"] in COLLECTIONS for of in collections)


def test_a_firehose_says_what_a_jetstream_says() -> None:
    """The 150 frames that those lines were made of, read from the firehose, mean the same, moment for moment."""
    packed = (real() / "frames.bin.zst").read_bytes()
    frames = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read())
    firehose: list[Normal] = []
    while header := frames.read(4):
        body = body_of(frames.read(struct.unpack("<I", header)[0]))
        assert body is not None
        for line in messages_of(body, frozenset(COLLECTIONS), 1_783_175_888_000):
            firehose += Bluesky.normalise(line)
    jetstream = [
        one for line in (real() / "expected_v1.jsonl").read_bytes().splitlines() for one in Bluesky.normalise(line)
    ]
    key = repr
    assert sorted(firehose, key=key) == sorted(jetstream, key=key)


def heard(journal: Path, cursor: str, at_us: int) -> None:
    """Leave a journal as if the connector had stopped there."""
    with Journal(journal) as kept:
        kept.save(kept.turn(cursor, at_us // 1000))


def test_a_clamped_jetstream_is_found_out(tmp_path: Path) -> None:
    """Where a Jetstream keeps less than it says and begins later without a word, the hole is told as a gap."""
    now = time.time_ns() // 1000
    with Jetstream(keeps_us=HOUR_US) as server:
        server.say(offer_post(now - 1_000_000))
        heard(tmp_path / "j", f"jetstream {server.host} {now - 10 * HOUR_US}", now - 10 * HOUR_US)
        shelf = Shelf()
        with running(made("bluesky", {"jetstream": server.url}), tmp_path / "j", lambda: shelf):
            until(lambda: len(shelf.events) == 2, "a gap and the post")
    gap = shelf.events[0]
    assert isinstance(gap, Gap)
    assert (gap.from_, gap.to_) == ((now - 10 * HOUR_US) // 1000, (now - 1_000_000) // 1000)


def test_a_jetstream_that_goes_on_tells_no_gap(tmp_path: Path) -> None:
    """Where the message at the cursor comes again, nothing is missing, however long nothing came after it."""
    now = time.time_ns() // 1000
    with Jetstream() as server:
        server.say(offer_post(now - 10 * HOUR_US))
        heard(tmp_path / "j", f"jetstream {server.host} {now - 10 * HOUR_US}", now - 10 * HOUR_US)
        shelf = Shelf()
        with running(made("bluesky", {"jetstream": server.url}), tmp_path / "j", lambda: shelf):
            server.say(commit("did:plc:a", now, REPOST, {"subject": ref(uri("did:plc:company", POST, "job"))}, "k"))
            until(lambda: len(shelf.events) == 2, "the post and the repost")
    assert not [event for event in shelf.events if isinstance(event, Gap)]


def test_too_old_a_cursor_reads_what_there_still_is(tmp_path: Path) -> None:
    """Beyond 36 h the gap ends where the Jetstream's past begins, and from there on all is read."""
    now = time.time_ns() // 1000
    with Jetstream() as server:
        server.say(offer_post(now - 30 * HOUR_US))
        heard(tmp_path / "j", f"jetstream {server.host} {now - 50 * HOUR_US}", now - 50 * HOUR_US)
        shelf = Shelf()
        with running(made("bluesky", {"jetstream": server.url}), tmp_path / "j", lambda: shelf):
            until(lambda: len(shelf.events) == 2, "a gap and the post")
    gap = shelf.events[0]
    assert isinstance(gap, Gap)
    assert gap.from_ == (now - 50 * HOUR_US) // 1000
    assert 0 <= gap.to_ - (now - 36 * HOUR_US) // 1000 < 120_000


class _AppView(BaseHTTPRequestHandler):
    """Tells what it was given, by method and account; `asked` keeps the questions."""

    told: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []
    refused: ClassVar[set[str]] = set()
    by_post: ClassVar[bool] = False
    """Whether questions about a post are told apart by which it is."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        method, query = url.path.removeprefix("/xrpc/"), parse_qs(url.query)
        about = query.get("uri", ()) if self.by_post else ()
        key = " ".join([method, *query.get("actor", ()), *about, *query.get("cursor", ())])
        self.asked.append(key)
        body = json.dumps(self.told.get(key, {})).encode()
        self.send_response(403 if key in self.refused else 200 if key in self.told else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def appview() -> Iterator[tuple[str, type[_AppView]]]:
    """Give an AppView that can be told what to tell."""
    kind = type("Told", (_AppView,), {"told": {}, "asked": [], "refused": set(), "by_post": False})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()
        thread.join()


def test_followers_come_in_pages(appview: tuple[str, type[_AppView]]) -> None:
    """Lists and counts as the AppView tells them; a cursor that leads nowhere ends the list."""
    url, kind = appview
    row = {"handle": "a.test", "labels": []}
    kind.told |= {
        "app.bsky.graph.getFollowers did:plc:a": {"followers": [row | {"did": "did:plc:b"}], "cursor": "2"},
        "app.bsky.graph.getFollowers did:plc:a 2": {"followers": [], "cursor": "3"},
        "app.bsky.graph.getFollows did:plc:a": {"follows": [row | {"did": "did:plc:c"}, {"odd": 1}]},
        "app.bsky.actor.getProfiles": {"profiles": [{"did": "did:plc:a", "followersCount": 7}, {"did": "did:plc:b"}]},
    }
    view = AppView(url)
    assert view.listed("bluesky:did:plc:a", "followed_by", None) == (["bluesky:did:plc:b"], "2")
    assert view.listed("bluesky:did:plc:a", "followed_by", "2") == ([], None)
    assert view.listed("bluesky:did:plc:a", "follows", None) == (["bluesky:did:plc:c"], None)
    assert view.counts(["bluesky:did:plc:a", "bluesky:did:plc:b"]) == {"bluesky:did:plc:a": 7}
    view.close()


def test_after_a_gap_the_appview_is_asked(appview: tuple[str, type[_AppView]], tmp_path: Path) -> None:
    """Quotes, reposts and totals of the offers' posts are filled in, each once; who is known is not asked about."""
    url, kind = appview
    root, at = uri("did:plc:company", POST, "job"), "2026-01-01T00:00:00.000Z"
    quoted = {"text": "look", "embed": {"$type": "app.bsky.embed.record", "record": ref(root)}}
    reason = {"by": {}, "uri": uri("did:plc:new", REPOST, "r"), "indexedAt": at}
    kind.told |= {
        "app.bsky.feed.getPosts": {"posts": [{"uri": root, "repostCount": 2, "quoteCount": 1, "likeCount": 4}]},
        "app.bsky.feed.getQuotes": {
            "posts": [{"uri": uri("did:plc:q", POST, "q"), "indexedAt": at, "record": quoted}, {"odd": 1}],
            "cursor": "2",
        },
        "app.bsky.feed.getQuotes 2": {"posts": []},
        "app.bsky.feed.getRepostedBy": {"repostedBy": [{"did": "did:plc:known"}, {"did": "did:plc:new"}]},
        "app.bsky.feed.getAuthorFeed did:plc:new": {
            "feed": [{"post": {"uri": "at://other"}}, {"post": {"uri": root, "cid": "c"}, "reason": reason}]
        },
    }
    shelf, first = Shelf(), Shelf()
    with Jetstream() as server:
        with running(made("bluesky", {"jetstream": server.url}), tmp_path / "j", lambda: first):
            now = time.time_ns() // 1000  # a cold start is behind what was before it
            server.say(offer_post(now))
            server.say(commit("did:plc:known", now, REPOST, {"subject": ref(root)}, "k"))
            until(lambda: len(first.events) == 2, "the post and a repost")
        heard(tmp_path / "j", f"jetstream {server.host} {now - 50 * HOUR_US}", now - 50 * HOUR_US)
        connector = made("bluesky", {"jetstream": server.url, "appview": url}, Looking())
        with running(connector, tmp_path / "j", lambda: shelf):
            until(lambda: len([e for e in shelf.events if e.source == "backfill"]) == 3, f"the rest: {kind.asked}")
    filled = {type(event): event for event in shelf.events if event.source == "backfill"}
    share, quote, counts = filled[Share], filled[Quote], filled[Counts]
    assert isinstance(share, Share) and isinstance(quote, Quote) and isinstance(counts, Counts)
    assert (share.id, share.root, share.via) == (f"bluesky:{reason['uri']}", f"bluesky:{root}", None)
    assert (quote.actor, quote.via) == ("bluesky:did:plc:q", f"bluesky:{root}")
    assert (counts.shares, counts.likes, counts.replies) == (3, 4, 0)
    assert "app.bsky.feed.getAuthorFeed did:plc:known" not in kind.asked


def test_a_quote_is_asked_about_after_a_gap(appview: tuple[str, type[_AppView]], tmp_path: Path) -> None:
    """Reposts and quotes of a quote are filled in, even where its root is known from it alone, and of quotes of it.

    What is known stays as it came; whoever acted before is asked about all the same.
    """
    url, kind = appview
    at = "2026-01-01T00:00:00.000Z"
    root, quote, late = (uri(f"did:plc:{who}", POST, who) for who in ("company", "ed", "late"))
    again = {"embed": {"$type": "app.bsky.embed.record", "record": ref(quote)}}

    def reposted(who: str, of: str) -> dict[str, Any]:
        """Give one entry of an account's feed."""
        return {"post": {"uri": of, "cid": "c"}, "reason": {"uri": uri(f"did:plc:{who}", REPOST, who), "indexedAt": at}}

    kind.told |= {
        f"app.bsky.feed.getQuotes {quote}": {"posts": [{"uri": late, "indexedAt": at, "record": again}]},
        f"app.bsky.feed.getRepostedBy {quote}": {"repostedBy": [{"did": f"did:plc:{who}"} for who in ("ed", "known")]},
        f"app.bsky.feed.getRepostedBy {late}": {"repostedBy": [{"did": "did:plc:new"}]},
        "app.bsky.feed.getAuthorFeed did:plc:ed": {"feed": [reposted("ed", quote)]},
        "app.bsky.feed.getAuthorFeed did:plc:known": {"feed": [reposted("known", quote)]},
        "app.bsky.feed.getAuthorFeed did:plc:new": {"feed": [reposted("new", late)]},
    }
    kind.by_post = True
    now = time.time_ns() // 1000_000
    shares = {who: f"bluesky:{uri(f'did:plc:{who}', REPOST, who)}" for who in ("ed", "known", "new")}
    shelf = Shelf()
    with Jetstream() as server:
        with Journal(tmp_path / "j") as kept:
            kept.note(Entry(f"bluesky:{quote}", "quote", "bluesky:did:plc:ed", now, f"bluesky:{root}", OFFER))
            kept.note(Entry(shares["known"], "share", "bluesky:did:plc:known", now, f"bluesky:{root}", OFFER))
            kept.save(kept.turn(f"jetstream {server.host} {now * 1000 - 50 * HOUR_US}", now - 50 * HOUR_US // 1000))
        connector = made("bluesky", {"jetstream": server.url, "appview": url}, Looking())
        with running(connector, tmp_path / "j", lambda: shelf):
            until(lambda: shares["new"] in shelf.ids(), f"the repost of the quote of the quote: {kind.asked}")
    found = {event.id: event for event in shelf.events if isinstance(event, Share | Quote)}
    assert found.keys() == {shares["ed"], shares["new"], f"bluesky:{late}"}
    assert {event.root for event in found.values()} == {f"bluesky:{root}"}
    assert [found[id].via for id in (shares["ed"], f"bluesky:{late}", shares["new"])] == [
        f"bluesky:{quote}", f"bluesky:{quote}", f"bluesky:{late}",
    ]  # fmt: skip


def test_a_question_that_the_appview_refuses_stops_nothing(appview: tuple[str, type[_AppView]], tmp_path: Path) -> None:
    """A 403 or a 400 to one question after a gap finds nothing there: the rest is asked, what is live goes on."""
    url, kind = appview
    root, at = uri("did:plc:company", POST, "job"), "2026-01-01T00:00:00.000Z"
    reason = {"by": {}, "uri": uri("did:plc:new", REPOST, "r"), "indexedAt": at}
    kind.refused.add("app.bsky.feed.getPosts")  # and getQuotes gets a 400
    kind.told |= {
        "app.bsky.feed.getRepostedBy": {"repostedBy": [{"did": "did:plc:new"}]},
        "app.bsky.feed.getAuthorFeed did:plc:new": {"feed": [{"post": {"uri": root, "cid": "c"}, "reason": reason}]},
    }
    first, shelf = Shelf(), Shelf()
    with Jetstream() as server:
        with running(made("bluesky", {"jetstream": server.url}), tmp_path / "j", lambda: first):
            now = time.time_ns() // 1000  # a cold start is behind what was before it
            server.say(offer_post(now))
            until(lambda: len(first.events) == 1, "the post")
        heard(tmp_path / "j", f"jetstream {server.host} {now - 50 * HOUR_US}", now - 50 * HOUR_US)
        connector = made("bluesky", {"jetstream": server.url, "appview": url}, Looking())
        with running(connector, tmp_path / "j", lambda: shelf) as runner:
            until(lambda: f"bluesky:{reason['uri']}" in shelf.ids(), f"the repost: {runner.status} {kind.asked}")
            server.say(commit("did:plc:late", time.time_ns() // 1000, REPOST, {"subject": ref(root)}, "l"))
            until(lambda: f"bluesky:{uri('did:plc:late', REPOST, 'l')}" in shelf.ids(), f"live: {runner.status}")
            assert runner.status.reconnects == 0
            assert "403" in (runner.status.warns or "")
    assert kind.asked.count("app.bsky.feed.getQuotes") == 1


def frame(kind: str, **body: Any) -> bytes:
    """Write a frame of a firehose."""
    return bytes(libipld.encode_dag_cbor({"op": 1, "t": kind}) + libipld.encode_dag_cbor(body))


def unposted(seq: int, time: str, **more: Any) -> bytes:
    """Write a frame that says that a post is gone."""
    op = {"action": "delete", "path": f"{POST}/{seq}", "cid": None}
    return frame("#commit", **{"seq": seq, "time": time, "repo": "did:plc:a", "rev": "", "ops": [op]} | more)


@contextmanager
def firehose(*frames: bytes) -> Iterator[str]:
    """Give the address of a host that says the same to everybody."""

    def attend(connection: ServerConnection) -> None:
        for one in frames:
            connection.send(one)
        with suppress(ConnectionClosed):
            connection.recv()

    with serve(attend, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_what_a_firehose_keeps_no_longer_is_a_gap_since_the_last_process(tmp_path: Path) -> None:
    """After a restart the gap goes from what was last heard to the oldest frame that there is, and is told once."""
    shelf = Shelf()
    oldest = "2026-01-02T00:00:00.000Z"
    with firehose(
        frame("#info", name="OutdatedCursor"), frame("#identity", seq=50, time=oldest, did="did:plc:a")
    ) as host:
        heard(tmp_path / "j", f"firehose {host} 7", 1_767_225_600_000_000)
        with running(
            made("bluesky", {"source": "firehose", "firehose": f"ws://{host}"}), tmp_path / "j", lambda: shelf
        ):
            until(lambda: bool(shelf.events), "the gap")
    gap = shelf.events[0]
    assert isinstance(gap, Gap)
    assert (gap.from_, gap.to_) == (1_767_225_600_000, 1_767_312_000_000)
    with Journal(tmp_path / "j") as kept:
        assert kept.cursor in (f"firehose {host} 49", f"firehose {host} 50")


def test_a_frame_that_cannot_be_read_is_rejected_and_passed(tmp_path: Path) -> None:
    """Whatever is broken in a frame, it goes to the dead letters, and the cursor goes on behind it."""
    time = "2026-01-02T00:00:00.000Z"
    broken = [
        b"",
        b"\xff\x00",
        libipld.encode_dag_cbor({"op": 1, "t": "#commit"}) + libipld.encode_dag_cbor(7),
        unposted(2, time, ops=None),
        unposted(3, time, ops=[{"action": "create", "path": f"{POST}/3", "cid": b"x"}], blocks=b"junk"),
    ]
    shelf = Shelf()
    with firehose(b"junk", unposted(1, time), *broken, unposted(4, time)) as host:
        connector = made("bluesky", {"source": "firehose", "firehose": f"ws://{host}"})
        with running(connector, tmp_path / "j", lambda: shelf) as runner:
            status = runner.status
            until(lambda: status.messages - status.rejected.total() == 2, f"both that can be read: {status}")
            assert status.reconnects == 0
    assert len(shelf.rejected) in (
        5,
        6,
    )  # what comes alone before the first number belongs to no time that was promised
    with Journal(tmp_path / "j") as kept:
        assert kept.cursor == f"firehose {host} 4"
