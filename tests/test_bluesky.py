"""Bluesky: what its messages say, on lines that a real Jetstream and a real firehose sent, and its Jetstream's past."""

from __future__ import annotations

import io
import json
import struct
import time
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from connectors.bluesky import COLLECTIONS, Bluesky
from connectors.connector import Normal
from connectors.firehose import body_of, messages_of
from connectors.journal import Journal
from connectors.sightings import Authored, Followed, Removed, Shared, Withdrawn
from spread.events import Gap, Rejected
from tests.connecting import Shelf, made, running
from tests.jetstream import FOLLOW, POST, REPOST, Jetstream, account, commit, offer_post, ref, uri
from tests.processes import until
from tests.real_cascades import VARIABLE, folder

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
    data = folder()
    if data is None:
        pytest.skip(f"{VARIABLE} names no folder of real data")
    return data / "bluesky"


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
