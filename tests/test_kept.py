"""Objects of a table that do not all fit into memory."""

from __future__ import annotations

from collections import Counter

from streams.stage import Kept
from streams.table import MemoryTable, Table

SIZE = 100


class Thing:
    """An object that is always as large."""

    def __init__(self, news: bytes = b"") -> None:
        self.news = news

    def nbytes(self) -> int:
        """Give its size."""
        return SIZE


class Counted(Kept[Thing]):
    """Counts how often it went through its objects to let go of some."""

    def __init__(self, fit: int) -> None:
        super().__init__(lambda _, stored: Thing(), lambda thing: [thing.news], b"".join, fit * SIZE)
        self.passes = 0

    def flush(self, table: Table) -> None:
        """Flush."""
        self.passes += self.is_full
        super().flush(table)


def test_a_sweep_goes_through_memory_seldom() -> None:
    """Every object is seen once, no more than fit are in memory, and many are let go of at a time."""
    fit, n = 160, 1_600
    kept, table = Counted(fit), MemoryTable()
    for number in range(n):
        kept.get(str(number), table).news = b"some"
        kept.touch(str(number))
        if number % 20 == 0:
            kept.flush(table)
    kept.passes, seen, most = 0, Counter[str](), 0
    for key, _ in kept.sweep(table):
        seen[key] += 1
        most = max(most, len(list(kept.loaded())))
    assert seen == Counter(map(str, range(n)))
    assert most <= fit + 1
    assert 0 < kept.passes <= n / (fit / 8)


def test_what_comes_amid_a_sweep_is_stored() -> None:
    """An object that gets news between two steps of a sweep loses none of it when its own row is rewritten."""
    kept, table = Counted(100), MemoryTable()
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
    kept, table = Counted(100), MemoryTable()
    thing = kept.get("a", table)
    thing.news = b"some"
    kept.touch("a")
    kept.release("a")
    assert kept.get("a", table) is thing
    kept.flush(table)
    kept.release("a")
    assert not [*kept.loaded()]
