"""The posts that nearly match an offer, waiting for a person; and what persons have decided of posts.

It stays on the machine of the connectors, since whoever decides has to find the post, and elsewhere ids are hashed. No
text and no account is kept. What waits is bounded in number and age: the oldest goes, undecided. Any
process may write, and any thread.
"""

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from connectors.database import Database
from connectors.naming import naming
from spread.events import DAY_MS
from spread.matching import Guess

WAITING_MOST: Final = 1_000
WAITING_MS: Final = 30 * DAY_MS
DECIDED_MOST: Final = 10_000
_APPLICATION: Final = 0x52494E4D
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS near"
    " (post TEXT PRIMARY KEY, seen INTEGER NOT NULL, guesses BLOB NOT NULL, offer TEXT) WITHOUT ROWID"
)
_guesses: Final = msgspec.json.Decoder(tuple[Guess, ...]).decode


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
        self._file = Database(path, NearMissError, _APPLICATION)
        with self._file.use() as db:
            db.execute(_SCHEMA)

    def __enter__(self) -> "NearMisses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, post: str, guesses: Sequence[Guess], now: int) -> None:
        """Have a post wait, unless it was decided; one that waits keeps its place, with what is known now."""
        with self._file.transaction() as db:
            change = "ON CONFLICT (post) DO UPDATE SET guesses = excluded.guesses WHERE offer IS NULL"
            insert = f"INSERT INTO near VALUES (?, ?, ?, NULL) {change}"
            db.execute(insert, (post, now, msgspec.json.encode(guesses)))
            db.execute("DELETE FROM near WHERE offer IS NULL AND seen < ?", (now - WAITING_MS,))
            _keep(db, "offer IS NULL", WAITING_MOST)

    def drop(self, post: str) -> None:
        """Let go of a post that was deleted."""
        with self._file.use() as db:
            if db.execute("SELECT 1 FROM near WHERE post = ?", (post,)).fetchone() is not None:
                db.execute("DELETE FROM near WHERE post = ?", (post,))

    def forget(self, account: str) -> int:
        """Let go of posts whose ids name an account, as those of some networks do, decided or not. How many went."""
        names_it, in_reason = naming(account), re.compile(rf"(?<![\w.-]){re.escape(account)}(?![\w-])")
        with self._file.transaction() as db:
            gone = [
                post
                for post, guesses in db.execute("SELECT post, guesses FROM near").fetchall()
                if names_it(post) or in_reason.search(guesses.decode())
            ]
            db.executemany("DELETE FROM near WHERE post = ?", [(post,) for post in gone])
        self._file.settle()
        return len(gone)

    def decide(self, post: str, offer: str, now: int) -> None:
        """Remember that a post belongs to an offer; it waits no more."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO near VALUES (?, ?, x'5b5d', ?)", (post, now, offer))
            _keep(db, "offer IS NOT NULL", DECIDED_MOST)

    def decision(self, post: str) -> str | None:
        """The offer that a person gave a post to."""
        with self._file.use() as db:
            found = db.execute("SELECT offer FROM near WHERE post = ?", (post,)).fetchone()
            return None if found is None or found[0] is None else str(found[0])

    def waiting(self, now: int) -> list[NearMiss]:
        """What waits, the newest first."""
        query = "SELECT post, seen, guesses FROM near WHERE offer IS NULL AND seen >= ? ORDER BY seen DESC, post"
        with self._file.use() as db:
            rows = db.execute(query, (now - WAITING_MS,)).fetchall()
        try:
            return [NearMiss(post, seen, _guesses(guesses)) for post, seen, guesses in rows]
        except msgspec.DecodeError as error:
            raise NearMissError(f"{self._path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _keep(db: sqlite3.Connection, which: str, most: int) -> None:
    beyond = f"SELECT post FROM near WHERE {which} ORDER BY seen DESC LIMIT -1 OFFSET {most}"
    db.execute(f"DELETE FROM near WHERE post IN ({beyond})")
