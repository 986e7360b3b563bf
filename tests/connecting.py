"""Connectors in the hands of a test: a runner in this process, a shelf to put events on, and a process that dies.

Run as a program it brings a connector's events to Kafka and dies at a point that it is told, as a power cut would have
it: `python -m tests.connecting CONNECTOR OPTIONS JOURNAL KAFKA TOPIC WHERE`. A line of input is answered with how much
it has read, and how much of that waits for Kafka.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from connectors import catalogue
from connectors.completion import Completion
from connectors.connector import Connector, Known, KnowsNothing, Root
from connectors.door import Door
from connectors.journal import Journal
from connectors.lasting import Log, Sink
from connectors.runner import Runner
from spread.events import AnyEvent, Rejected
from spread.hashing import Hashing
from spread.registry import JobOffer
from tests.processes import until
from tests.rehearsals import OFFER, URL, match

KEY = b"0123456789abcdef"


class Notes:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def _add(self, event: str, **more: object) -> None:
        self.lines.append((event, more))

    info = warning = error = _add


class Shelf:
    """A sink in memory. While `holds` is set nothing becomes safe."""

    def __init__(self, holds: bool = False) -> None:
        self.events: list[AnyEvent] = []
        self.holds = holds
        self._waiting: list[Callable[[], None]] = []
        self.rejected: list[tuple[Rejected, str]] = []

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        """Put events on the shelf."""
        self.events += events
        if on_safe is not None:
            self._waiting.append(on_safe)
        if not self.holds:
            self.release()

    def reject(self, rejected: Sequence[Rejected], source: str) -> None:
        """Put what could not be read beside them."""
        self.rejected += [(one, source) for one in rejected]

    def release(self) -> None:
        """Say that all is safe."""
        self.holds = False
        while self._waiting:
            self._waiting.pop(0)()

    def flush(self, timeout_s: float | None = None) -> None:
        """Say nothing more."""

    def close(self) -> None:
        """Nothing to close."""

    def ids(self) -> set[str]:
        """Give the ids of what came."""
        return {event.id for event in self.events}


def made(name: str, options: dict[str, Any], known: Known | None = None) -> Connector:
    """Make a connector."""
    return catalogue.connector(name)(catalogue.options(name, options), known or KnowsNothing())


class Looking(Known):
    """What a connector may know, from the journal that its runner opens, and the one offer there is."""

    def __init__(self) -> None:
        self.journal: Journal | None = None

    def roots(self, since_ms: int) -> list[Root]:
        """Those of the journal."""
        assert self.journal is not None
        return self.journal.roots(since_ms)

    def quotes(self, since_ms: int) -> list[Root]:
        """Those of the journal."""
        assert self.journal is not None
        return self.journal.quotes(since_ms)

    def ids(self, since_ms: int, after: str, most: int) -> list[str]:
        """Those of the journal."""
        assert self.journal is not None
        return self.journal.ids(since_ms, after, most)

    def takes_part(self, account: str) -> bool:
        """As the journal says."""
        assert self.journal is not None
        return self.journal.takes_part(account)

    def has(self, id: str) -> bool:
        """As the journal says."""
        assert self.journal is not None
        return self.journal.has(id)

    def offers(self) -> list[JobOffer]:
        """The one there is."""
        return [JobOffer(id=OFFER, urls=(URL,))]


def runner(
    connector: Connector, journal: Journal, open_sink: Callable[[], Sink], log: Log | None = None, wait_s: float = 0.02
) -> Runner:
    """Make a runner with short waits."""
    declared = connector.declared
    completion = Completion(journal, match, declared.network, in_order=declared.in_order)
    return Runner(connector, journal, completion, open_sink, log or Notes(), wait_s=wait_s)


@contextmanager
def running(
    connector: Connector,
    path: Path,
    open_sink: Callable[[], Sink],
    log: Log | None = None,
    *,
    own: Iterable[str] = (),
    waits: bool = True,
) -> Iterator[Runner]:
    """Run a connector with its journal as long as the block; with `waits` from when it reads."""
    with Journal(path, own) as journal:
        if isinstance(connector.known, Looking):
            connector.known.journal = journal
        one = runner(connector, journal, open_sink, log)
        one.start()
        try:
            if waits:
                until(lambda: one.status.state == "reading", f"reading: {one.status}")
            yield one
        finally:
            assert one.stop(), one.status


class _Deadly(Journal):
    """Dies when what is safe is to be saved."""

    def save(self, number: int) -> None:
        if number > self._first and any(page.entries for page in self._waiting):
            os.kill(os.getpid(), signal.SIGKILL)


class _Half:
    """A door that dies when half of a page's events are safe."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.flush, self.close, self.reject = door.flush, door.close, door.reject

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        given = list(events)
        if len(given) > 1:
            self._door.publish(islice(given, len(given) // 2))
            self._door.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self._door.publish(given, on_safe)


HELD = 64 * 1024
"""Bytes of events that wait for Kafka in such a process, and elsewhere where that is to be seen."""


def main(name: str, options: str, journal: str, servers: str, topic: str, where: str) -> None:
    """Bring a connector's events to Kafka, until death or the end of standard input."""
    hashing = Hashing(KEY)
    doors: list[Door] = []
    with (_Deadly if where == "before the cursor" else Journal)(Path(journal)) as kept:

        def door() -> Sink:
            doors.append(Door(servers, topic, hashing=hashing, held_bytes=HELD))
            return _Half(doors[-1]) if where == "in a page" else doors[-1]

        known = Looking()
        known.journal = kept
        one = runner(made(name, json.loads(options), known), kept, door)
        one.start()
        until(lambda: one.status.state != "starting", "a first answer")
        print(one.status.state, flush=True)
        for _ in sys.stdin:
            print(one.status.messages, doors[-1].held, flush=True)
        assert one.stop(), one.status


if __name__ == "__main__":
    main(*sys.argv[1:])
