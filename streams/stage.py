"""What both stages share: objects by key, kept in memory while they are busy, stored as segments."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from streams.segments import Segments, is_segment, key_of
from streams.table import Table

MEMORY: Final = 384 * 2**20
"""Bytes of objects that a stage keeps at hand, about."""


class Emit(Protocol):
    """Takes what a stage sends. A key of None means every partition of the topic."""

    def __call__(self, topic: str, key: str | None, item: Any, /) -> None: ...


class Sized(Protocol):
    """Something that knows about how much memory it holds."""

    def nbytes(self) -> int:
        """Bytes of memory, about."""
        ...


K = TypeVar("K", bound=Sized)


class _Held(Segments, Generic[K]):
    """An object in memory, where it is stored, its size when it last was, and whether anything is new since."""

    __slots__ = ("one", "size", "touched")

    one: K
    size: int
    touched: bool


class Kept(Generic[K]):
    """The objects of one partition of a table.

    `load` makes an object of its stored segments, `news` gives what is to be stored of it now (and then no more).
    Up to about `memory` bytes of them stay in memory.
    """

    def __init__(
        self,
        load: Callable[[str, list[bytes]], K],
        news: Callable[[K], list[bytes]],
        merged: Callable[[list[bytes]], bytes],
        memory: int,
    ) -> None:
        self._load, self._news, self._merged = load, news, merged
        self._memory = memory
        self._objects: dict[str, _Held[K]] = {}
        """Once they take half the memory, what was asked for last is at the end."""
        self._total = 0
        self._all_here: bool | None = None
        """Whether nothing is stored that is not in memory, so that a new key need not be looked up."""
        self._touched: list[_Held[K]] = []
        self.is_rewritten = True
        """Whether rows may have been overwritten or deleted that are to leave the disk: for one who sees to it."""

    @property
    def is_full(self) -> bool:
        """Whether the next flush will let go of something."""
        return self._total > self._memory

    def get(self, key: str, table: Table) -> K:
        """The object of a key, new if there is none."""
        held = self._objects.get(key)
        if held is None:
            held = self._bring(key, table)
        elif self._total > self._memory // 2:
            self._objects[key] = self._objects.pop(key)
        return held.one

    def at_hand(self, key: str) -> K:
        """The object of a key that is in memory."""
        return self._objects[key].one

    def has(self, key: str, table: Table) -> bool:
        """Whether anything is stored of a key, or about to be."""
        held = self._objects.get(key)
        return (held is not None and held.touched) or bool(Segments(key).load(table))

    def loaded(self) -> Iterator[K]:
        """The objects in memory."""
        return (held.one for held in self._objects.values())

    def touch(self, key: str) -> None:
        """Have what is new of the object stored with the next flush."""
        held = self._objects[key]
        if not held.touched:
            held.touched = True
            self._touched.append(held)

    def flush(self, table: Table) -> None:
        """Write what is new, and let go of what has not been asked for the longest."""
        for held in self._touched:
            held.append(table, self._news(held.one), self._merged)
            held.touched = False
            size = held.one.nbytes()
            self._total += size - held.size
            held.size = size
        self._touched = []
        if self.is_full:
            # More than it must, so that not every flush goes through all keys.
            for key in list(self._objects):
                self._let_go(key)
                if self._total <= self._memory * 7 // 8:
                    break

    def keys(self, table: Table) -> list[str]:
        """All keys, stored ones and new ones."""
        self.flush(table)
        return _keys(table)

    def sweep(self, table: Table) -> Iterator[tuple[str, K]]:
        """Every object; what is touched on the way is stored, and what was at hand stays so, in place of the rest.

        Whatever else happens between two of them is stored before the next.
        """
        for key in self.keys(table):
            if self._touched or self.is_full:
                self.flush(table)
            held = self._objects.get(key)
            yield key, (held or self._bring(key, table)).one
            if held is None:
                self.release(key)
        self.flush(table)

    def release(self, key: str) -> None:
        """Let go of an object, if it is at hand and nothing is new of it."""
        held = self._objects.get(key)
        if held is not None and not held.touched:
            self._let_go(key)

    def erase(self, table: Table, traces: tuple[bytes, ...], change: Callable[[str, bytes], bytes | None]) -> set[str]:
        """Change every row with one of these byte strings in it, superseded ones and a crash's leftovers included.

        `change` is told the key and the segment, and gives what is to stand there, or None if the row must go. The
        keys of those rows.
        """
        self.flush(table)
        erased = set()
        for row in [row for row in _rows(table) if any(trace in row or trace in table[row] for trace in traces)]:
            key = key_of(row)
            erased.add(key)
            stored = change(key, table[row])
            if stored is None:
                del table[row]
            else:
                table[row] = stored
            self._let_go(key)
            self.is_rewritten = True
        return erased

    def rewrite(self, key: str, table: Table, change: Callable[[bytes], bytes | None]) -> None:
        """Change what is stored of a key, segment by segment; the object is made of it again when it is asked for."""
        Segments(key).rewrite(table, change)
        self._let_go(key)
        self.is_rewritten = True

    def stored(self, key: str, table: Table) -> list[bytes]:
        """The segments of a key."""
        return Segments(key).load(table)

    def reload(self, key: str, table: Table) -> None:
        """Store what is new of a key, and make its object anew when it is asked for."""
        self.flush(table)
        self._let_go(key)

    def drop(self) -> None:
        """Forget what is in memory, stored or not."""
        self._objects.clear()
        self._touched, self._total, self._all_here = [], 0, None

    def _bring(self, key: str, table: Table) -> _Held[K]:
        """Make the object of a key, of what is stored of it."""
        if self._all_here is None:
            self._all_here = next(iter(table), None) is None
        held: _Held[K] = _Held(key)
        stored = [] if self._all_here else held.load(table)
        held.one = self._load(key, stored)
        held.touched = False
        held.size = held.one.nbytes() if stored else 0
        self._total += held.size
        self._objects[key] = held
        return held

    def _let_go(self, key: str) -> None:
        held = self._objects.pop(key, None)
        if held is not None:
            self._total -= held.size
            self._all_here = False


def _keys(table: Table) -> list[str]:
    """All keys with stored segments, without the rows that a stage keeps for itself."""
    return list(dict.fromkeys(map(key_of, _rows(table))))


def _rows(table: Table) -> list[bytes]:
    return [row for row in table if is_segment(row)]
