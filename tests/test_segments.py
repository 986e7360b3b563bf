"""Segments: what was safe is read back after any crash, and what was erased is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.segments import FULL_BYTES, RECENT, Segments, key_of
from streams.table import MemoryTable, Table
from tests.drive import Recorded, torn

EACH = FULL_BYTES // (RECENT + 1) + 8
"""Bytes of one fact, such that a merger of all recent slots is just full."""
KEYS = ("a", "a\0", "a\0\0\0\0\0", "é")


def stored(facts: Iterable[int]) -> bytes:
    """Encode a set of numbers as one segment."""
    return b"".join(fact.to_bytes(8, "big").ljust(EACH, b".") for fact in sorted(facts))


def facts_in(segments: Iterable[bytes]) -> set[int]:
    """Decode the numbers of some segments."""
    return {int.from_bytes(one[at : at + 8], "big") for one in segments for at in range(0, len(one), EACH)}


def merged(segments: list[bytes]) -> bytes:
    """Make one segment of several."""
    return stored(facts_in(segments))


def read(table: Table, key: str) -> set[int]:
    """Read all facts of a key, as after a start."""
    return facts_in(Segments(key).load(table))


@given(st.data())
def test_what_was_safe_survives_any_crash(data: st.DataObject) -> None:
    """A crash keeps any part of the writes since the last flush, and still all facts from before it are read."""
    table, segments, count, safe = Recorded(), Segments("key"), 0, set[int]()
    assert segments.load(table) == []
    for _ in range(data.draw(st.integers(1, 6), label="lives")):
        known = set(safe)
        for _ in range(data.draw(st.integers(0, 12), label="flushes")):
            news = range(count, count + data.draw(st.sampled_from([1, 1, 1, 2, 3, 10]), label="segments"))
            large = data.draw(st.booleans())
            segments.append(table, [stored(news) * RECENT] if large else [stored([fact]) for fact in news], merged)
            known |= set(news)
            count = news.stop
            table.save()
            safe = set(known)
        if data.draw(st.booleans(), label="amid a flush"):
            segments.append(table, [stored([count])], merged)
            known.add(count)
            count += 1
        assert read(table, "key") == known
        table.crash(data.draw(torn(table), label="kept"))
        segments = Segments("key")
        found = facts_in(segments.load(table))
        assert safe <= found <= known
        safe = found


def without(gone: set[int]) -> Callable[[bytes], bytes | None]:
    """A change that takes some facts out of a segment."""
    return lambda segment: stored(facts_in([segment]) - gone) or None


@given(st.data())
def test_what_is_taken_out_is_gone(data: st.DataObject) -> None:
    """Once facts were taken out, rows hold the others alone, and more facts can be added."""
    table = MemoryTable()
    segments, facts = Segments("key"), set[int]()
    segments.load(table)
    for fact in range(data.draw(st.integers(0, 40), label="before")):
        segments.append(table, [stored([fact])], merged)
        facts.add(fact)
    for _ in range(data.draw(st.integers(1, 2), label="times")):
        gone = data.draw(st.sets(st.sampled_from(sorted(facts)))) if facts else set[int]()
        again = Segments("key")
        again.load(table)
        again.rewrite(table, without(gone))
        facts -= gone
        assert read(table, "key") == facts
        assert facts_in(table.values()) == facts
    segments = Segments("key")
    segments.load(table)
    for fact in range(100, 100 + data.draw(st.integers(0, 20), label="after")):
        segments.append(table, [stored([fact])], merged)
        facts.add(fact)
    assert read(table, "key") == facts


@given(st.data())
def test_a_crash_amid_a_rewriting_loses_nothing_that_stays(data: st.DataObject) -> None:
    """A crash amid a rewriting keeps any part of its writes, and still every fact that was to stay is read."""
    table, segments = Recorded(), Segments("key")
    segments.load(table)
    facts = set(range(data.draw(st.sampled_from([1, 5, 8, 9, 10, 18, 30]), label="before")))
    for fact in facts:
        segments.append(table, [stored([fact])], merged)
        table.save()
    gone = data.draw(st.just(facts) | st.sets(st.sampled_from(sorted(facts))))
    segments.rewrite(table, without(gone))
    table.crash(data.draw(torn(table), label="kept"))
    again = Segments("key")
    assert facts - gone <= facts_in(again.load(table)) <= facts
    again.rewrite(table, without(gone))
    assert read(table, "key") == facts - gone


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_writers_that_do_not_know_of_each_other_lose_nothing(turns: list[int]) -> None:
    """One that was thought dead and writes on, beside those that took its place, overwrites no fact of theirs."""
    table = MemoryTable()
    writers = [Segments("key") for _ in range(3)]
    for writer in writers:
        writer.load(table)
    for fact, turn in enumerate(turns):
        writers[turn].append(table, [stored([fact])], merged)
    assert read(table, "key") == set(range(len(turns)))


@given(st.lists(st.sampled_from(KEYS), max_size=40))
def test_keys_do_not_mix(turns: list[str]) -> None:
    """Keys that begin alike keep their facts apart, and every row tells its key."""
    table = MemoryTable()
    segments = {key: Segments(key) for key in KEYS}
    facts: dict[str, set[int]] = {key: set() for key in KEYS}
    for fact, key in enumerate(turns):
        segments[key].append(table, [stored([fact])], merged)
        facts[key].add(fact)
    assert {key: read(table, key) for key in KEYS} == facts
    assert {key_of(row) for row in table} == set(turns)


@pytest.mark.parametrize("flushes", [10, 100, 1_000])
def test_rows_stay_few_and_writes_small(flushes: int) -> None:
    """Over many flushes each fact is written about twice, and read from a fraction of as many rows."""
    table, segments = Recorded(), Segments("key")
    for fact in range(flushes):
        segments.append(table, [stored([fact])], merged)
    assert len(table) <= RECENT + 1 + flushes // RECENT
    assert read(table, "key") == set(range(flushes))
