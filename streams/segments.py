"""How the facts of one key lie in a table: as a few immutable segments.

A flush writes one small segment with what is new into a free *recent* slot; when all of those are taken, they are
merged into the first, or, once they are large, into the next *full* slot, which is never written again. The merged
slots are deleted with the next flush, when the merger itself is safe: since facts merge as sets, any subset of these
writes may be lost or done twice and the same facts are read back.

The first recent slot is never deleted while its key has any facts, so one look tells that there are none.
"""

from collections.abc import Callable, Iterable, MutableMapping
from itertools import chain, count
from typing import Final

Table = MutableMapping[bytes, bytes]

RECENT: Final = 8
FULL_BYTES: Final = 256 * 1024


def _row(key: str, slot: int) -> bytes:
    return key.encode() + b"\0" + slot.to_bytes(4, "big")


def key_of(row: bytes) -> str:
    """The key that a row belongs to."""
    return row[:-5].decode()


class Segments:
    """Where the facts of one key lie."""

    __slots__ = ("_full", "_key", "_obsolete", "_taken")

    def __init__(self, key: str) -> None:
        self._key = key
        self._taken = 0
        self._full = 0
        self._obsolete: list[int] = []

    def load(self, table: Table) -> list[bytes]:
        """Read all segments."""
        first = table.get(_row(self._key, 0))
        if first is None:
            return []
        found = [first]
        self._taken = 1
        for slot in range(1, RECENT):
            # All are asked for: a crash can have left a hole.
            if (stored := table.get(_row(self._key, slot))) is not None:
                found.append(stored)
                self._taken = slot + 1
        while (stored := table.get(_row(self._key, RECENT + self._full))) is not None:
            found.append(stored)
            self._full += 1
        return found

    def append(self, table: Table, stored: bytes, merged: Callable[[list[bytes]], bytes]) -> None:
        """Add a segment; `merged` makes one of several."""
        for slot in self._obsolete:
            table.pop(_row(self._key, slot), None)
        self._obsolete = []
        if self._taken == RECENT:
            recent = [table[row] for slot in range(RECENT) if (row := _row(self._key, slot)) in table]
            stored = merged([*recent, stored])
            self._obsolete = list(range(1, RECENT))
            self._taken = 0
        if len(stored) >= FULL_BYTES and _row(self._key, 0) in table:
            table[_row(self._key, RECENT + self._full)] = stored
            self._full += 1
        else:
            table[_row(self._key, self._taken)] = stored
            self._taken += 1

    def replace(self, table: Table, segments: Iterable[bytes]) -> None:
        """Put these segments in the place of all there are; none: the key is gone."""
        rows = [_row(self._key, slot) for slot in range(RECENT)]
        full = RECENT
        while (row := _row(self._key, full)) in table:
            rows.append(row)
            full += 1
        slots = chain((0,), count(RECENT))
        self._taken = self._full = 0
        self._obsolete = []
        written = set()
        for stored, slot in zip(segments, slots, strict=False):
            row = _row(self._key, slot)
            table[row] = stored
            written.add(row)
            self._taken = 1
            self._full = max(0, slot - RECENT + 1)
        for row in rows:
            if row not in written:
                table.pop(row, None)
