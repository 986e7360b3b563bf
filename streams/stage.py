"""What both stages share: objects by key, kept in memory while they are busy, stored as segments."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from streams.segments import Segments, Table, key_of

SOCIAL_EVENTS: Final = "social-events"
OFFER_EVENTS: Final = "offer-events"
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


class Kept(Generic[K]):
    """The objects of one partition of a table.

    `load` makes an object of its stored segments, `news` gives what is to be stored of it now (and then no more),
    `whole` everything. Up to about `memory` bytes of them stay in memory.
    """

    def __init__(
        self,
        load: Callable[[str, list[bytes]], K],
        news: Callable[[K], list[bytes]],
        whole: Callable[[K], list[bytes]],
        merged: Callable[[list[bytes]], bytes],
        memory: int,
    ) -> None:
        self._load, self._news, self._whole, self._merged = load, news, whole, merged
        self._memory = memory
        self._objects: OrderedDict[str, tuple[K, Segments]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._all_here: bool | None = None
        """Whether nothing is stored that is not in memory, so that a new key need not be looked up."""
        self._touched: dict[str, bool] = {}
        """Keys to be stored; whether anew as a whole."""

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str, table: Table) -> K:
        """The object of a key, new if there is none."""
        found = self._objects.get(key)
        if found is None:
            segments = Segments(key)
            if self._all_here is None:
                self._all_here = next(iter(table), None) is None
            found = self._load(key, [] if self._all_here else segments.load(table)), segments
            self._objects[key] = found
            self._weigh(key, found[0])
        else:
            self._objects.move_to_end(key)
        return found[0]

    def has(self, key: str, table: Table) -> bool:
        """Whether anything is stored of a key, or about to be."""
        return key in self._touched or bool(Segments(key).load(table))

    def loaded(self) -> Iterator[K]:
        """The objects in memory."""
        return (one for one, _ in self._objects.values())

    def touch(self, key: str, *, anew: bool = False) -> None:
        """Have the object stored with the next flush; `anew` also takes away what was stored."""
        self._touched[key] = anew or self._touched.get(key, False)

    def flush(self, table: Table) -> None:
        """Write what is new, and let go of what has not been asked for the longest."""
        for key, anew in self._touched.items():
            one, segments = self._objects[key]
            if anew:
                self._news(one)
                segments.replace(table, self._whole(one))
            else:
                for stored in self._news(one):
                    segments.append(table, stored, self._merged)
            self._weigh(key, one)
        self._touched = {}
        while self._total > self._memory and self._objects:
            self._all_here = False
            key, _ = self._objects.popitem(last=False)
            self._total -= self._sizes.pop(key)

    def keys(self, table: Table) -> list[str]:
        """All keys, stored ones and new ones."""
        self.flush(table)
        return _keys(table)

    def sweep(self, table: Table) -> Iterator[tuple[str, K]]:
        """Every object, a few at a time in memory; what is touched on the way is stored."""
        for key in self.keys(table):
            yield key, self.get(key, table)
            if self._total > self._memory:
                self.flush(table)
        self.flush(table)

    def drop(self) -> None:
        """Forget what is in memory, stored or not."""
        self._objects.clear()
        self._touched, self._sizes, self._total, self._all_here = {}, {}, 0, None

    def _weigh(self, key: str, one: K) -> None:
        size = one.nbytes()
        self._total += size - self._sizes.get(key, 0)
        self._sizes[key] = size


def _keys(table: Table) -> list[str]:
    """All keys with stored segments, without the rows that a stage keeps for itself."""
    return list(dict.fromkeys(key_of(row) for row in list(table) if not row.startswith(b"\0")))
