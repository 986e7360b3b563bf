"""Hashing: no name of a person passes, equal names stay equal, and the employer's stay readable."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given

from spread.events import AnyEvent, Delete, Post, Reply, Share, Ties, key
from spread.hashing import DROPPED, LISTS, NAMES, Hashing
from tests.drive import decoded, run
from tests.worlds import NOON, Event, worlds

KEY = b"of one installation"
CLEAR = {
    *("v", "network", "at", "source", "for_offer", "offer", "also", "followers", "role", "complete", "part", "of"),
    *("revision", "shares", "likes", "replies", "impressions", "clicks", "stage", "n", "from_", "to_", "why"),
}
"""Fields that name nobody."""


def share(id: str, actor: str, via: str | None = None) -> Share:
    """Make a share of the employer's post."""
    return Share(v=1, id=id, network="x", at=NOON, actor=actor, offer="backend", root="x:1", via=via)


def test_a_name_is_a_keyed_hash_behind_its_network() -> None:
    """`network:#` and 128 bits of HMAC-SHA-256 in lower-case base32: the same anywhere the key is the same."""
    digest = hmac.new(KEY, b"x:ana", hashlib.sha256).digest()[:16]
    assert Hashing(KEY).name("x:ana") == "x:#" + base64.b32encode(digest).decode().lower().rstrip("=")
    assert re.fullmatch(r"x:#[a-z2-7]{26}", Hashing(KEY).name("x:ana"))
    assert Hashing(KEY).name("x:ana") != Hashing(b"of another one").name("x:ana")


def test_what_is_hashed_passes_any_number_of_doors() -> None:
    """A hashed name, and an event that has gone through, are not changed again."""
    hashing = Hashing(KEY)
    for name in ("x:ana", "at://did:plc:abc/app.bsky.feed.post/1", "Jean Dupont", "", ":", "x:#ana"):
        once = hashing.name(name)
        assert once != name
        assert hashing.name(once) == once
    event = hashing.event(share("x:2", "x:ana", "x:1"))
    assert hashing.event(event) == event


def test_what_is_no_network_is_hashed_too() -> None:
    """A beginning that can't be a network's name goes with the rest."""
    assert re.fullmatch(r"#[a-z2-7]{26}", Hashing(KEY).name("Jean Dupont:1"))
    assert re.fullmatch(r"#[a-z2-7]{26}", Hashing(KEY).name("jean"))


def test_the_employers_accounts_and_posts_stay_in_clear() -> None:
    """What `own` contains is readable wherever it stands; another's share of it is not."""
    hashing = Hashing(KEY, own={"x:acme", "x:1"})
    post = Post(v=1, id="x:1", network="x", at=NOON, actor="x:acme", offer="backend", root="x:1")
    assert hashing.event(post) == post
    shared = hashing.event(share("x:2", "x:ana"))
    assert (shared.root, shared.offer) == ("x:1", "backend")
    assert "ana" not in shared.actor
    assert shared.id != "x:2"
    ties = hashing.event(Ties(v=1, id="t:1", network="x", at=NOON, actor="x:ana", follows=["x:acme", "x:bob"]))
    assert ties.follows is not None
    assert ties.follows[0] == "x:acme"
    assert ties.follows[1] == hashing.name("x:bob")


def test_a_post_becomes_the_same_name_whoever_names_it() -> None:
    """The id of a share, the `via` of the next and the target of its delete stay equal, so the tree stays whole."""
    hashing = Hashing(KEY, own={"x:acme"})
    first, second = hashing.event(share("x:2", "x:acme")), hashing.event(share("x:3", "x:bob", "x:2"))
    gone = hashing.event(Delete(v=1, id="d:1", network="x", at=NOON, actor="x:acme", target="x:2"))
    assert first.id == second.via == gone.target
    assert first.root == second.root
    assert first.actor == gone.actor == "x:acme"


def test_texts_are_dropped() -> None:
    """Words, links and tags of people don't pass."""
    hashing = Hashing(KEY)
    post = Post(
        v=1, id="x:1", network="x", at=NOON, actor="x:a", offer="o", root="x:1", text="t", urls=["u"], tags=["g"]
    )
    hashed = hashing.event(post)
    assert (hashed.text, hashed.urls, hashed.tags) == (None, None, None)
    reply = Reply(v=1, id="x:2", network="x", at=NOON, actor="x:a", offer="o", root="x:1", via="x:1", text="t")
    assert hashing.event(reply).text is None


@pytest.mark.parametrize("kind", get_args(AnyEvent), ids=lambda kind: kind.__name__)
def test_every_field_of_every_event_is_thought_of(kind: Any) -> None:
    """A field is a name, a list of names, words to drop, or known to name nobody; a new one has to be placed."""
    assert set(kind.__struct_fields__) <= NAMES | LISTS | DROPPED | CLEAR


@given(worlds())
def test_no_name_is_left_in_clear(world: list[Event]) -> None:
    """Whatever the events are, the names in them are gone and nothing else is."""
    hashing = Hashing(KEY)
    for event in decoded(world):
        hashed = json.loads(msgspec.json.encode(hashing.event(event)))
        for field, value in json.loads(msgspec.json.encode(event)).items():
            if field in NAMES:
                assert hashed[field] == hashing.name(value)
            elif field in LISTS:
                assert hashed[field] == [hashing.name(one) for one in value]
            elif field not in DROPPED:
                assert hashed[field] == value
        assert key(hashing.event(event)) in {hashing.name(key(event)), key(event)}


@given(worlds())
def test_the_answer_stays_the_same(world: list[Event]) -> None:
    """Where no two events share their time, which an id would have to order, a hashed world has the same trees."""
    hashing = Hashing(KEY)
    timed = [event | {"at": NOON + 1_000 * number} for number, event in enumerate(world)]
    hashed = [json.loads(msgspec.json.encode(hashing.event(event))) for event in decoded(timed)]
    lines, edges = run(timed).parsed()
    lines_hashed, edges_hashed = run(hashed).parsed()

    def renamed(line: dict[str, Any]) -> dict[str, Any]:
        return line | {name: hashing.name(line[name]) for name in ("root", "child", "parent") if name in line}

    def in_order(found: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(line, sort_keys=True) for line in found)

    assert in_order([renamed(line) for line in lines]) == in_order(lines_hashed)
    assert in_order([renamed(edge) for edge in edges]) == in_order(edges_hashed)


def test_a_key_is_needed() -> None:
    """An empty key would be everybody's."""
    with pytest.raises(ValueError, match="key"):
        Hashing(b"")
