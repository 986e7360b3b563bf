"""How the facts of one key lie in a table: as a few immutable segments.

A flush writes one small segment with what is new into a free *recent* slot; when all of those are taken, they are
merged into the first, or, once they are large, into the next *full* slot, which is never written again. The merged
slots are deleted with the next flush, when the merger itself is safe: since facts merge as sets, any subset of these
writes may be lost or done twice and the same facts are read back.

The first recent slot is never deleted while its key has any facts, so one look tells that there are none.
"""

from collections.abc import Callable, MutableMapping
from typing import Final

Table = MutableMapping[bytes, bytes]

RECENT: Final = 8
FULL_BYTES: Final = 256 * 1024


_RECENT_ENDS: Final = [b"\0" + slot.to_bytes(4, "big") for slot in range(RECENT)]


def _row(key: str, slot: int) -> bytes:
    # The first byte sets it apart from the rows that a stage keeps for itself, whatever the key is.
    end = _RECENT_ENDS[slot] if slot < RECENT else b"\0" + slot.to_bytes(4, "big")
    return b"=" + key.encode() + end


def is_segment(row: bytes) -> bool:
    """Whether a row is a segment of some key."""
    return row.startswith(b"=")


def key_of(row: bytes) -> str:
    """The key that a row belongs to."""
    return row[1:-5].decode()


class Segments:
    """Where the facts of one key lie."""

    __slots__ = ("_full", "_key", "_obsolete", "_taken")

    def __init__(self, key: str) -> None:
        self._key = key
        self._taken = 0
        self._full = 0
        self._obsolete: tuple[int, ...] = ()

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

    def append(self, table: Table, news: list[bytes], merged: Callable[[list[bytes]], bytes]) -> None:
        """Add the segments of one flush; `merged` makes one of several."""
        if self._obsolete:
            for slot in self._obsolete:
                table.pop(_row(self._key, slot), None)
            self._obsolete = ()
        small = []
        for stored in news:
            if len(stored) >= FULL_BYTES and (self._taken or self._full):
                self._add_full(table, stored)
            else:
                small.append(stored)
        if self._taken + len(small) <= RECENT:
            for stored in small:
                table[_row(self._key, self._taken)] = stored
                self._taken += 1
            return
        recent = [table[row] for slot in range(RECENT) if (row := _row(self._key, slot)) in table]
        whole = merged([*recent, *small])
        self._obsolete = tuple(range(1, RECENT))
        if len(whole) >= FULL_BYTES and recent:
            self._add_full(table, whole)
            self._taken = 0
        else:
            table[_row(self._key, 0)] = whole
            self._taken = 1

    def rewrite(self, table: Table, change: Callable[[bytes], bytes | None], empty: bytes) -> None:
        """Put something else in the place of each segment, None where nothing is left of it.

        No fact leaves its row for another, so that here too any subset of the writes may be lost. While anything is
        left, `empty` takes the place of the rows by which others are found.
        """
        needed = {_row(self._key, slot) for slot in (0, *range(RECENT, RECENT + self._full))}
        rows = needed | {_row(self._key, slot) for slot in range(RECENT)}
        changed = {row: change(table[row]) for row in sorted(rows) if row in table}
        anything_left = any(stored is not None for stored in changed.values())
        for row, stored in changed.items():
            if stored is not None:
                table[row] = stored
            elif anything_left and row in needed:
                table[row] = empty
            else:
                del table[row]

    def _add_full(self, table: Table, stored: bytes) -> None:
        table[_row(self._key, RECENT + self._full)] = stored
        self._full += 1
