"""Dense numbers for strings, in a fifth of the memory that a dict of strings takes.

An offer may have a million posts, and each is named again and again (as a root, as a parent, as a deleted target).
Here a name costs its own bytes and about 20 more: the texts stand end to end in one buffer, and an open-addressing
table holds for each 31 bits of its hash beside its number, so that as good as every comparison of texts is a hit, and
growing needs no look at the texts.
"""

from array import array

_EMPTY = -1
_SHIFT = 32
_NUMBER = (1 << _SHIFT) - 1
_FINGERPRINT = (1 << 31) - 1
_LARGE = 1 << 14


class Names:
    """An append-only set of strings; each has the number of its arrival, from 0."""

    __slots__ = ("_buffer", "_ends", "_mask", "_room", "_slots")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = array("q", (0,))
        self._lay_out(16)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __contains__(self, name: str) -> bool:
        return self.find(name) >= 0

    def __getitem__(self, number: int) -> str:
        return self._buffer[self._ends[number] : self._ends[number + 1]].decode()

    def find(self, name: str) -> int:
        """The number of a name, or -1 if it has none."""
        raw = name.encode()
        slots, ends, buffer, mask = self._slots, self._ends, self._buffer, self._mask
        slot = hash(name) & mask
        while (entry := slots[slot]) >= 0:
            number = entry & _NUMBER
            if buffer[ends[number] : ends[number + 1]] == raw:
                return number
            slot = slot + 1 & mask
        return -1

    def number(self, name: str) -> int:
        """The number of a name, given now if it has none yet."""
        raw = name.encode()
        slots, ends, buffer, mask = self._slots, self._ends, self._buffer, self._mask
        mark = hash(name) & _FINGERPRINT
        slot = mark & mask
        while (entry := slots[slot]) >= 0:
            if entry >> _SHIFT == mark:
                number = entry & _NUMBER
                if buffer[ends[number] : ends[number + 1]] == raw:
                    return number
            slot = slot + 1 & mask
        number = len(ends) - 1
        buffer += raw
        ends.append(len(buffer))
        slots[slot] = mark << _SHIFT | number
        if number >= self._room:
            self._grow()
        return number

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return len(self._buffer) + 8 * (len(self._ends) + len(self._slots))

    def _lay_out(self, size: int) -> None:
        self._slots, self._mask, self._room = array("q", (_EMPTY,)) * size, size - 1, 2 * size // 3

    def _grow(self) -> None:
        entries = self._slots
        self._lay_out((4 if len(entries) < _LARGE else 2) * len(entries))
        slots, mask = self._slots, self._mask
        for entry in entries:
            if entry >= 0:
                slot = entry >> _SHIFT & mask
                while slots[slot] >= 0:
                    slot = slot + 1 & mask
                slots[slot] = entry
