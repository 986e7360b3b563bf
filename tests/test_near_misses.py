"""The posts that wait for a person: they last, they are bounded, and what was decided is remembered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from connectors.near_misses import WAITING_MOST, WAITING_MS, NearMiss, NearMissError, NearMisses
from spread.matching import Guess, Rule

NOON = 1_700_000_000_000
GUESSES = (Guess("a", 0.4, Rule.TAG, "a hashtag"), Guess("b", 0.35, Rule.TITLE, "a title"))


def test_what_waits_lasts(tmp_path: Path) -> None:
    """The queue outlives its process, the newest first; another process sees it as it changes."""
    with NearMisses(tmp_path / "near") as near, NearMisses(tmp_path / "near") as other:
        near.add("x:1", GUESSES, NOON)
        near.add("x:2", GUESSES[:1], NOON + 1)
        assert [one.post for one in other.waiting(NOON)] == ["x:2", "x:1"]
    with NearMisses(tmp_path / "near") as near:
        assert near.waiting(NOON) == [NearMiss("x:2", NOON + 1, GUESSES[:1]), NearMiss("x:1", NOON, GUESSES)]


def test_a_post_waits_once_and_goes_when_it_is_deleted(tmp_path: Path) -> None:
    """A post seen again keeps its place with what is known now; one that was deleted waits no more."""
    with NearMisses(tmp_path / "near") as near:
        near.add("x:1", GUESSES, NOON)
        near.add("x:1", GUESSES[:1], NOON + 5)
        assert near.waiting(NOON) == [NearMiss("x:1", NOON, GUESSES[:1])]
        near.drop("x:1")
        assert near.waiting(NOON) == []


def test_what_was_decided_waits_no_more(tmp_path: Path) -> None:
    """A decision is remembered, the latest of a post; the post does not come back into the queue."""
    with NearMisses(tmp_path / "near") as near:
        near.add("x:1", GUESSES, NOON)
        assert near.decision("x:1") is None
        near.decide("x:1", "a", NOON)
        near.decide("x:1", "b", NOON + 1)
        near.add("x:1", GUESSES, NOON + 2)
        assert (near.decision("x:1"), near.waiting(NOON)) == ("b", [])
        assert near.decision("x:2") is None


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """The oldest goes when there are too many, and what has waited too long; decisions stay."""
    with NearMisses(tmp_path / "near") as near:
        near.decide("x:0", "a", NOON - 1)
        for n in range(WAITING_MOST + 2):
            near.add(f"x:n{n}", GUESSES, NOON + n)
        waiting = near.waiting(NOON)
        assert (len(waiting), waiting[-1].post) == (WAITING_MOST, "x:n2")
        late = NOON + WAITING_MS + 500
        assert len(near.waiting(late)) == WAITING_MOST + 2 - 500
        near.add("x:late", GUESSES, late)
    with closing(sqlite3.connect(tmp_path / "near")) as file:
        assert file.execute("SELECT count(*) FROM near WHERE offer IS NULL").fetchone() == (WAITING_MOST + 3 - 500,)
    with NearMisses(tmp_path / "near") as near:
        assert near.decision("x:0") == "a"


def test_no_other_file_is_touched(tmp_path: Path) -> None:
    """What is no file of near misses is refused in a line."""
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 20)
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE t (a)")
    for name in ("text", "other", "no/such/folder"):
        with pytest.raises(NearMissError) as caught:
            NearMisses(tmp_path / name)
        assert "\n" not in str(caught.value)
