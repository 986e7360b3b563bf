"""The pipeline as tests drive it: social events as dicts in, report lines out, over tables that can crash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from spread import report
from spread.events import AnyEvent, Rejected, decode
from spread.offer import Offer
from streams.health import Health
from streams.keeping import Keeping
from streams.pipeline import Pipeline
from streams.stage import MEMORY
from streams.table import MemoryTable, Table, group_of
from tests.oracle import NAMING_AN_OFFER, answer
from tests.worlds import NOON, Event

LATER = NOON + 3_600_000
YEAR = 365 * 86_400_000
"""A moment after everything that happens in a world."""

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """What is said of some offers: the lines of cascades and offers, and the edges, as bytes, each sorted."""

    lines: list[bytes]
    edges: list[bytes]

    def parsed(self) -> tuple[Lines, Lines]:
        """Give both as values, to be compared whatever the order of their fields."""
        return ordered(map(json.loads, self.lines)), ordered(map(json.loads, self.edges))


def ordered(lines: Iterable[dict[str, Any]]) -> Lines:
    """Sort lines by what they are about."""
    return sorted(lines, key=lambda line: json.dumps(line, sort_keys=True))


def expected(events: Sequence[Event]) -> tuple[Lines, Lines]:
    """Give what the oracle says of all offers that the events name, as `Report.parsed` does."""
    found = answer(events)
    return ordered([*found.cascades, *found.offers]), ordered(found.edges)


def offers_named(events: Iterable[Event]) -> list[str]:
    """List the offers that events name."""
    return sorted({event["offer"] for event in events if event["kind"] in NAMING_AN_OFFER})


def decoded(events: Iterable[Event]) -> list[AnyEvent]:
    """Decode valid events from the JSON they would come as."""
    good = []
    for event in events:
        (result,) = decode(json.dumps(event).encode())
        assert not isinstance(result, Rejected), result
        good.append(result)
    return good


def report_of(offer: Offer) -> Report:
    """Ask one offer for its report."""
    return Report(sorted(offer.report_lines()), sorted(map(report.encode, offer.edges())))


def question(offer: Offer) -> None:
    """Ask one offer everything that can be asked."""
    report_of(offer)
    offer.bases(), offer.joints(), offer.totals(), offer.funnel(), offer.reach_by_generation()
    offer.velocity(LATER), offer.curve(), offer.shares_after(NOON), offer.nodes(), offer.nbytes()


class Drive:
    """One life of a pipeline over two tables, new ones unless they are given."""

    def __init__(
        self,
        people: Table | None = None,
        offers: Table | None = None,
        *,
        retention_ms: int | None = None,
        keeping: Keeping | None = None,
        memory: int = MEMORY,
    ) -> None:
        self.people: Table = MemoryTable() if people is None else people
        self.offers: Table = MemoryTable() if offers is None else offers
        self._memory = memory
        self._keeping = keeping or Keeping(retention_ms, logs_ms=YEAR, suppression_key=b"a key of sixteen")
        self.health = Health()
        self.pipeline = Pipeline(self.people, self.offers, self.health, keeping=self._keeping, memory=memory)

    def feed(self, events: Iterable[Event], now: int = LATER) -> None:
        """Take events in as one batch."""
        self.pipeline.feed(decoded(events), now)

    def flush(self) -> None:
        """Write what is new to the tables."""
        self.pipeline.flush()

    def offer(self, id: str) -> Offer:
        """Find an offer, to ask it."""
        return self.pipeline.offers.offer(id, self.offers)

    def report(self, offers: Iterable[str]) -> Report:
        """Give the report of some offers."""
        found = [report_of(self.offer(id)) for id in offers]
        lines = [line for one in found for line in one.lines]
        return Report(sorted(lines), sorted(edge for one in found for edge in one.edges))

    def again(self) -> Drive:
        """Start over on the same tables; what was not flushed is lost."""
        return Drive(self.people, self.offers, keeping=self._keeping, memory=self._memory)


def run(events: Sequence[Event]) -> Report:
    """Feed events as one batch and give the report of the offers that they name."""
    drive = Drive()
    drive.feed(events)
    return drive.report(offers_named(events))


class Recorded(Table):
    """A table that keeps the log of its writes since it was last safe, so that a part of them can be lost."""

    def __init__(self) -> None:
        self._safe: dict[bytes, bytes] = {}
        self._rows: dict[bytes, bytes] = {}
        self._log: list[tuple[bytes, bytes | None]] = []

    def __getitem__(self, key: bytes) -> bytes:
        return self._rows[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._rows[key] = value
        self._log.append((key, value))

    def __delitem__(self, key: bytes) -> None:
        del self._rows[key]
        self._log.append((key, None))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """Look for the rows of a group."""
        return {row: value for row, value in self._rows.items() if group_of(row) == group}

    @property
    def unsafe(self) -> int:
        """How many writes a crash may lose."""
        return len(self._log)

    def save(self) -> None:
        """Make all writes safe."""
        self._safe, self._log = dict(self._rows), []

    def crash(self, kept: int) -> None:
        """Lose the writes whose bit in `kept` is 0; the others are made on what was safe, in their order."""
        rows = dict(self._safe)
        for place, (key, value) in enumerate(self._log):
            if kept >> place & 1:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        self._rows = rows
        self.save()


def torn(table: Recorded) -> SearchStrategy[int]:
    """Draw which of a table's unsafe writes a crash keeps: the first ones, or any."""
    writes = table.unsafe
    return st.integers(0, writes).map(lambda first: 2**first - 1) | st.integers(0, 2**writes - 1)


class Crash:
    """A pipeline that is killed now and then, and the tables that outlive it.

    A crash loses the memory and what was sent between the stages; of the writes since the last flush that ended, each
    table keeps a part of its own. The events from some point before the first unsafe one on have to be fed again.
    """

    def __init__(self, *, retention_ms: int | None = None, memory: int = MEMORY) -> None:
        self.people, self.offers = Recorded(), Recorded()
        self.drive = Drive(self.people, self.offers, retention_ms=retention_ms, memory=memory)

    def flush(self) -> None:
        """Flush to the end: everything so far is safe."""
        self.drive.flush()
        self.people.save()
        self.offers.save()

    def crash(self, people: int, offers: int) -> None:
        """Die and start over, with the writes of each table kept that a bit mask names."""
        self.people.crash(people)
        self.offers.crash(offers)
        self.drive = self.drive.again()
