"""Objects of a table that do not all fit into memory."""

from __future__ import annotations

from collections import Counter

from streams.stage import Kept
from streams.table import MemoryTable

SIZE = 100


class Thing:
    """An object that is always as large."""

    def __init__(self, news: bytes = b"") -> None:
        self.news = news

    def nbytes(self) -> int:
        """Give its size."""
        return SIZE


def kept_things(fit: int) -> Kept[Thing]:
    """Give a table's objects, of which so many fit into memory."""
    return Kept(lambda _, stored: Thing(), lambda thing: [thing.news], b"".join, fit * SIZE)


def test_a_sweep_leaves_at_hand_what_is_in_use() -> None:
    """Every object is seen once, and in memory are afterwards the same ones as before, not those that came last."""
    n = 1_600
    kept, table = kept_things(160), MemoryTable()
    for number in range(n):
        kept.get(str(number), table).news = b"some"
        kept.touch(str(number))
        kept.flush(table)
    in_use = [str(number) for number in range(100)]
    for key in in_use:
        kept.get(key, table)
    kept.flush(table)
    before, seen = [*kept.loaded()], Counter[str]()
    for key, _ in kept.sweep(table):
        seen[key] += 1
        assert len([*kept.loaded()]) <= len(before) + 1
    assert seen == Counter(map(str, range(n)))
    assert [*kept.loaded()] == before
    assert {kept.at_hand(key) for key in in_use} <= {*before}


def test_what_comes_amid_a_sweep_is_stored() -> None:
    """An object that gets news between two steps of a sweep loses none of it when its own row is rewritten."""
    kept, table = kept_things(100), MemoryTable()
    keys = [str(number) for number in range(10)]
    for key in keys:
        kept.get(key, table).news = b"early "
        kept.touch(key)
    last = keys[-1]
    for key, _ in kept.sweep(table):
        if key == keys[0]:
            kept.get(last, table).news = b"late"
            kept.touch(last)
        kept.rewrite(key, table, lambda stored: stored)
    assert sorted(kept.stored(last, table)) == [b"early ", b"late"]


def test_only_what_has_no_news_is_released() -> None:
    """An object without news goes when it is released, one with news stays until that is stored."""
    kept, table = kept_things(100), MemoryTable()
    thing = kept.get("a", table)
    thing.news = b"some"
    kept.touch("a")
    kept.release("a")
    assert kept.get("a", table) is thing
    kept.flush(table)
    kept.release("a")
    assert not [*kept.loaded()]
