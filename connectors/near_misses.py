"""The posts that nearly match an offer, waiting for a person; and what persons have decided of posts.

It stays on the machine of the connectors, since whoever decides has to find the post, and elsewhere ids are hashed. No
text and no account is kept. What waits is bounded in number and age: the oldest goes, undecided. Any process may write.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from spread.events import DAY_MS
from spread.matching import Guess

WAITING_MOST: Final = 1_000
WAITING_MS: Final = 30 * DAY_MS
DECIDED_MOST: Final = 10_000
_BUSY_S: Final = 30.0
_APPLICATION: Final = 0x52494E4D


class NearMissError(Exception):
    """The file can't be used. One line."""


class NearMiss(msgspec.Struct, frozen=True):
    """A post, when it was seen (ms), and the offers that it may belong to."""

    post: str
    seen: int
    guesses: tuple[Guess, ...]


class NearMisses:
    """The file, made if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._trouble():
            self._connection = sqlite3.connect(path, _BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> "NearMisses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, post: str, guesses: Sequence[Guess], now: int) -> None:
        """Have a post wait, unless it was decided; one that waits keeps its place, with what is known now."""
        with self._trouble():
            change = "ON CONFLICT (post) DO UPDATE SET guesses = excluded.guesses WHERE offer IS NULL"
            insert = f"INSERT INTO near VALUES (?, ?, ?, NULL) {change}"
            self._connection.execute(insert, (post, now, msgspec.json.encode(guesses)))
            self._connection.execute("DELETE FROM near WHERE offer IS NULL AND seen < ?", (now - WAITING_MS,))
            self._keep("offer IS NULL", WAITING_MOST)

    def drop(self, post: str) -> None:
        """Let go of a post that was deleted."""
        with self._trouble():
            if self._connection.execute("SELECT 1 FROM near WHERE post = ?", (post,)).fetchone() is not None:
                self._connection.execute("DELETE FROM near WHERE post = ?", (post,))

    def decide(self, post: str, offer: str, now: int) -> None:
        """Remember that a post belongs to an offer; it waits no more."""
        with self._trouble():
            self._connection.execute("INSERT OR REPLACE INTO near VALUES (?, ?, x'5b5d', ?)", (post, now, offer))
            self._keep("offer IS NOT NULL", DECIDED_MOST)

    def decision(self, post: str) -> str | None:
        """The offer that a person gave a post to."""
        with self._trouble():
            found = self._connection.execute("SELECT offer FROM near WHERE post = ?", (post,)).fetchone()
            return None if found is None or found[0] is None else str(found[0])

    def waiting(self, now: int) -> list[NearMiss]:
        """What waits, the newest first."""
        with self._trouble():
            query = "SELECT post, seen, guesses FROM near WHERE offer IS NULL AND seen >= ? ORDER BY seen DESC, post"
            return [
                NearMiss(post, seen, msgspec.json.decode(guesses, type=tuple[Guess, ...]))
                for post, seen, guesses in self._connection.execute(query, (now - WAITING_MS,))
            ]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _keep(self, which: str, most: int) -> None:
        beyond = f"SELECT post FROM near WHERE {which} ORDER BY seen DESC LIMIT -1 OFFSET {most}"
        self._connection.execute(f"DELETE FROM near WHERE post IN ({beyond})")

    def _prepare(self) -> None:
        names = ("application_id", "schema_version")
        application, written = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        if written and application != _APPLICATION:
            raise NearMissError(f"{self._path} is the database of another program")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS near"
            " (post TEXT PRIMARY KEY, seen INTEGER NOT NULL, guesses BLOB NOT NULL, offer TEXT) WITHOUT ROWID"
        )
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._connection.execute("COMMIT")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise NearMissError(f"{self._path}: {error}") from None
