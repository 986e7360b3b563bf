"""The job offers in the state file of the embedded engine, for any process and beside a running engine."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from spread.events import AnyEvent
from spread.registry import JobOffer
from streams.state import begin, connect, trouble


class OfferFile:
    """The registry of a state file, which is made if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        self._serial = 0

    def __enter__(self) -> "OfferFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self) -> dict[str, JobOffer | None]:
        """By id what was written since this was last asked, at first all; None for what is gone. Never waits."""
        with trouble(self._path):
            query = "SELECT id, serial, offer FROM registry WHERE serial > ? ORDER BY serial"
            found = self._connection.execute(query, (self._serial,)).fetchall()
            self._serial = max((serial for _, serial, _ in found), default=self._serial)
            return {id: msgspec.json.decode(offer, type=JobOffer) for id, _, offer in found}

    def write(self, offers: Iterable[JobOffer]) -> None:
        """Write offers in place of what was known of them, all or none."""
        with trouble(self._path):
            begin(self._connection)
            last = self._connection.execute("SELECT coalesce(max(serial), 0) FROM registry").fetchone()[0]
            self._connection.executemany(
                "INSERT OR REPLACE INTO registry VALUES (?, ?, ?)",
                [(offer.id, last + 1, msgspec.json.encode(offer)) for offer in offers],
            )
            self._connection.execute("COMMIT")

    def correct(self, event: AnyEvent) -> None:
        """Leave a person's correction for the engine, which takes it in when it next runs, or soon if it does."""
        with trouble(self._path):
            insert = "INSERT INTO corrections (event) VALUES (?)"
            self._connection.execute(insert, (msgspec.json.encode(event),))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
