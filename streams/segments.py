"""How the facts of one key lie in a table: as a few immutable segments, each a row of the key's group.

A flush writes one small segment with what is new. When there are too many small ones, they are merged into another,
and deleted with the next flush, when the merger itself is safe: since facts merge as sets, any subset of these writes
may be lost or done twice and the same facts are read back.

No two processes ever write a row of the same name. So one that was thought dead, and writes on for a while what is
another's by now, adds facts that are known already and overwrites none.
"""

import secrets
from collections.abc import Callable
from itertools import count
from typing import Final

from streams.table import SUFFIX, Table, group_of

RECENT: Final = 8
FULL_BYTES: Final = 256 * 1024
"""A segment as large as this is not merged any more."""

_SUFFIXES: Final = count(int.from_bytes(secrets.token_bytes(5)) << 8 * (SUFFIX - 5))
"""Five bytes that are this process's, then a count."""


def group(key: str) -> bytes:
    """The group of a key's rows."""
    # The first byte sets it apart from the rows that a stage keeps for itself, whatever the key is.
    return b"=" + key.encode()


def is_segment(row: bytes) -> bool:
    """Whether a row is a segment of some key."""
    return row.startswith(b"=")


def key_of(row: bytes) -> str:
    """The key that a row belongs to."""
    return group_of(row)[1:].decode()


class Segments:
    """Where the facts of one key lie."""

    __slots__ = ("_key", "_obsolete", "_small")

    def __init__(self, key: str) -> None:
        self._key = key
        self._small: tuple[bytes, ...] = ()
        self._obsolete: tuple[bytes, ...] = ()

    def load(self, table: Table) -> list[bytes]:
        """Read all segments."""
        rows = table.rows(group(self._key))
        self._small = tuple(row for row, stored in rows.items() if len(stored) < FULL_BYTES)
        return list(rows.values())

    def append(self, table: Table, news: list[bytes], merged: Callable[[list[bytes]], bytes]) -> None:
        """Add the segments of one flush; `merged` makes one of several."""
        for row in self._obsolete:
            table.discard(row)
        self._obsolete = ()
        if len(self._small) + len(news) > RECENT:
            small = [stored for stored in news if len(stored) < FULL_BYTES]
            large = [stored for stored in news if len(stored) >= FULL_BYTES]
            if len(self._small) + len(small) > RECENT:
                small = [merged([*(table[row] for row in self._small if row in table), *small])]
                self._obsolete, self._small = self._small, ()
            news = large + small
        for stored in news:
            row = b"=" + self._key.encode() + next(_SUFFIXES).to_bytes(SUFFIX)
            table[row] = stored
            if len(stored) < FULL_BYTES:
                self._small += (row,)

    def rewrite(self, table: Table, change: Callable[[bytes], bytes | None]) -> None:
        """Put something else in the place of each segment, None where nothing is left of it.

        No fact leaves its row for another, so that here too any subset of the writes may be lost.
        """
        for row, stored in [*table.rows(group(self._key)).items()]:
            changed = change(stored)
            if changed is None:
                table.discard(row)
            else:
                table[row] = changed
