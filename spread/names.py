"""Dense numbers for strings, in a fifth of the memory that a dict of strings takes.

An offer may have a million posts, and each is named again and again (as a root, as a parent, as a deleted target).
Here a name costs its own bytes and about 20 more: the texts stand end to end in one buffer, and an open-addressing
table holds for each a part of its hash and, right behind it, its number, so that as good as every comparison of texts
is a hit, and growing needs no look at the texts.

Most offers are small, though, and a dict is quicker: up to some thousand names are kept in one.
"""

from array import array
from collections.abc import Collection

import numpy as np

FEW = 1 << 12
_FEW_BYTES = 150
"""What a name of a few takes, about, beside its text."""
_EMPTY = -1
_MARK = (1 << 30) - 2
"""The part of a hash: even, since a slot is two places, and small enough for Python to be quick with it."""
_LARGE = 1 << 15
"""A table of more places than this grows by less."""


class Names:
    """An append-only set of strings; each has the number of its arrival, from 0."""

    __slots__ = ("_buffer", "_ends", "_few", "_mask", "_room", "_table", "_texts")

    def __init__(self) -> None:
        self._few: dict[str, int] | None = {}
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._few) if self._few is not None else len(self._ends) - 1

    def __contains__(self, name: str) -> bool:
        return self.find(name) >= 0

    def __getitem__(self, number: int) -> str:
        if self._few is not None:
            if number >= len(self._texts):
                self._texts = [*self._few]
            return self._texts[number]
        return self._buffer[self._ends[number] : self._ends[number + 1]].decode()

    def find(self, name: str) -> int:
        """The number of a name, or -1 if it has none."""
        if self._few is not None:
            return self._few.get(name, -1)
        table, ends, raw = self._table, self._ends, name.encode()
        mark = hash(name) & _MARK
        slot = mark & self._mask
        while (found := table[slot]) >= 0:
            number = table[slot + 1]
            if found == mark and self._buffer[ends[number] : ends[number + 1]] == raw:
                return number
            slot = slot + 2 & self._mask
        return -1

    def number(self, name: str) -> int:
        """The number of a name, given now if it has none yet."""
        few = self._few
        if few is not None:
            number = few.setdefault(name, len(few))
            if len(few) > FEW:
                self._compact()
            return number
        table, mask = self._table, self._mask
        mark = hash(name) & _MARK
        slot = mark & mask
        while (found := table[slot]) >= 0:
            if found == mark:
                number = table[slot + 1]
                ends = self._ends
                if self._buffer[ends[number] : ends[number + 1]] == name.encode():
                    return number
            slot = slot + 2 & mask
        ends, buffer = self._ends, self._buffer
        number = len(ends) - 1
        buffer += name.encode()
        ends.append(len(buffer))
        table[slot], table[slot + 1] = mark, number
        if number >= self._room:
            self._grow()
        return number

    def fetch(self, names: Collection[str]) -> None:
        """Bring what a look at these names touches into the processor's caches.

        In a large table each look waits for memory several times; here many wait at once.
        """
        if self._few is not None:
            return
        slots = np.fromiter(map(hash, names), np.int64, len(names)) & _MARK & self._mask
        numbers = np.asarray(self._table).take(slots + 1)
        starts = np.asarray(self._ends).take(numbers[numbers >= 0])
        np.frombuffer(self._buffer, np.uint8).take(starts)

    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        if self._few is not None:
            return (_FEW_BYTES + len(next(iter(self._few), ""))) * len(self._few)
        return len(self._buffer) + 8 * len(self._ends) + 4 * len(self._table)

    def _compact(self) -> None:
        """Let the dict go for the table."""
        names, self._few, self._texts = [*(self._few or ())], None, []
        self._buffer, self._ends = bytearray(), array("q", (0,))
        self._lay_out(4 * FEW)
        for name in names:
            self.number(name)

    def _lay_out(self, places: int) -> None:
        self._table = array("i", (_EMPTY,)) * places
        self._mask, self._room = places - 1, places // 3

    def _grow(self) -> None:
        old = self._table
        self._lay_out((4 if len(old) < _LARGE else 2) * len(old))
        table, mask = self._table, self._mask
        for mark, number in zip(old[::2], old[1::2], strict=True):
            if mark >= 0:
                slot = mark & mask
                while table[slot] >= 0:
                    slot = slot + 2 & mask
                table[slot], table[slot + 1] = mark, number
