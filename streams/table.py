"""What a stage keeps its rows in, whatever engine drives it.

A row is a *group* and a suffix of twelve bytes: all that is stored of one key is one group, and is read at once.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Final

SUFFIX: Final = 12


def group_of(row: bytes) -> bytes:
    """The group that a row belongs to."""
    return row[:-SUFFIX]


class Table(MutableMapping[bytes, bytes]):
    """Rows as a mapping, that also knows its groups."""

    @abstractmethod
    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """The rows of a group."""

    def discard(self, row: bytes) -> None:
        """Delete a row, if there is one, without the price of looking for it where that is dear."""
        self.pop(row, None)


class MemoryTable(Table):
    """A table that does not last."""

    def __init__(self) -> None:
        # Most groups have one row: no dict for those.
        self._groups: dict[bytes, tuple[bytes, bytes] | dict[bytes, bytes]] = {}

    def __getitem__(self, key: bytes) -> bytes:
        return self.rows(group_of(key))[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        group = key[:-SUFFIX]
        rows = self._groups.get(group)
        if rows is None:
            self._groups[group] = key, value
        elif isinstance(rows, dict):
            rows[key] = value
        else:
            self._groups[group] = {rows[0]: rows[1], key: value}

    def __delitem__(self, key: bytes) -> None:
        group = group_of(key)
        rows = self._groups[group]
        if isinstance(rows, dict):
            del rows[key]
        elif rows[0] != key:
            raise KeyError(key)
        if not isinstance(rows, dict) or not rows:
            del self._groups[group]

    def __iter__(self) -> Iterator[bytes]:
        return (row for group in self._groups for row in self.rows(group))

    def __len__(self) -> int:
        return sum(len(self.rows(group)) for group in self._groups)

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """The rows of a group."""
        rows = self._groups.get(group)
        if rows is None:
            return {}
        return rows if isinstance(rows, dict) else {rows[0]: rows[1]}
