"""The rows of one partition, as a worker has them.

A row goes to the changelog first and to the local store only once the broker has acknowledged it, together with the
offset up to which store and changelog agree. Were it the other way round, a crash between the two would leave facts
in the local store that no other worker could ever recover.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from streams.table import Table, group_of

Changes = Mapping[bytes, bytes | None]
"""Rows and their new values; None deletes."""


class Store(Protocol):
    """What lasts of a partition on this machine."""

    def get(self, row: bytes) -> bytes | None:
        """The value of a row."""
        ...

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """The rows of a group."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...

    def write(self, changes: Changes, offset: int) -> None:
        """Take changes in, all or none, with the changelog offset up to which they are whole."""
        ...


class PartitionRows(Table):
    """A table over a store. Writes are held until `take`, in flight until `keep`, and seen all the while."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held, self._in_flight = _Writes(), _Writes()

    def __getitem__(self, key: bytes) -> bytes:
        group = group_of(key)
        for writes in (self._held, self._in_flight):
            if key in (written := writes.get(group, _NOTHING)):
                value = written[key]
                break
        else:
            value = self._store.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._held.add(key, value)

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self._held.add(key, None)

    def discard(self, row: bytes) -> None:
        """Delete a row, known or not."""
        self._held.add(row, None)

    def __iter__(self) -> Iterator[bytes]:
        written = {**self._in_flight.changes(), **self._held.changes()}
        yield from (row for row in self._store if row not in written)
        yield from (row for row, value in written.items() if value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """The rows of a group."""
        stored = self._store.rows(group)
        if group not in self._held and group not in self._in_flight:
            return stored
        rows = {**stored, **self._in_flight.get(group, _NOTHING), **self._held.get(group, _NOTHING)}
        return {row: value for row, value in rows.items() if value is not None}

    @property
    def has_news(self) -> bool:
        """Whether there is anything to be taken."""
        return bool(self._held)

    def take(self) -> Changes:
        """What is to be sent to the changelog now."""
        assert not self._in_flight, "one flush at a time"
        self._in_flight, self._held = self._held, _Writes()
        return self._in_flight.changes()

    def keep(self, offset: int | None) -> None:
        """The broker has what was taken, up to this offset of the changelog; None where nothing was sent."""
        if offset is not None:
            self._store.write(self._in_flight.changes(), offset)
        self._in_flight = _Writes()


_NOTHING: Changes = {}


class _Writes(dict[bytes, dict[bytes, bytes | None]]):
    """Changed rows by group."""

    def add(self, row: bytes, value: bytes | None) -> None:
        self.setdefault(group_of(row), {})[row] = value

    def changes(self) -> Changes:
        return {row: value for rows in self.values() for row, value in rows.items()}
