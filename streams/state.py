"""The state file of the embedded engine: SQLite, one transaction a batch, one engine at a time.

Beside a running engine other processes may change the offers' registry and leave corrections; nothing else.
"""

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Final

from spread.facts import NewerEncoding
from streams.table import SUFFIX, Table

FORMAT: Final = 3
_OLDEST: Final = 2
"""The oldest format that is read: its list of who was erased had no key yet, see `streams.suppression.adopt`."""
_APPLICATION: Final = 0x5249434F  # what tells a state file from the database of another program


_BUSY_S: Final = 30.0
"""How long a write waits for another process's: the offers are written beside a running engine."""
_TABLES: Final = (
    "people (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "offers (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "positions (source TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID",
    "registry (id TEXT PRIMARY KEY, serial INTEGER NOT NULL, offer BLOB NOT NULL) WITHOUT ROWID",
    "corrections (number INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL)",
)
"""`registry` and `corrections` any process may write, through `streams.offer_file`; the rest is the engine's alone."""


class StateError(Exception):
    """The state can't be used, with the reason and what to do in one line."""


class StateInUse(StateError):
    """Another process has the state."""


class Rows(Table):
    """A table of the state file as a mapping. Writes are held back until the transaction ends."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._held: dict[bytes, bytes | None] = {}
        self._get = f"SELECT value FROM {name} WHERE key = ?"

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._held:
            held = self._held[key]
            if held is None:
                raise KeyError(key)
            return held
        row = self._connection.execute(self._get, (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        return value

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        """As in any mapping, without the price of an exception where most keys are new."""
        if key in self._held:
            held = self._held[key]
            return default if held is None else held
        row = self._connection.execute(self._get, (key,)).fetchone()
        return default if row is None else row[0]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._held[key] = value

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self._held[key] = None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        self.write()
        query = f"SELECT key FROM {self._name} WHERE key > ? ORDER BY key LIMIT 1000"
        last = b""
        while found := self._connection.execute(query, (last,)).fetchall():
            yield from (key for (key,) in found)
            last = found[-1][0]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        """The rows of a group."""
        self.write()
        query = f"SELECT key, value FROM {self._name} WHERE key BETWEEN ? AND ? AND length(key) = ?"
        ends = group + b"\0" * SUFFIX, group + b"\xff" * SUFFIX
        return dict(self._connection.execute(query, (*ends, len(group) + SUFFIX)))

    def write(self) -> None:
        """Hand held-back writes to the database; the transaction decides whether they last."""
        if not self._held:
            return
        begin(self._connection)
        puts = [(key, value) for key, value in self._held.items() if value is not None]
        drops = [(key,) for key, value in self._held.items() if value is None]
        upsert = f"INSERT INTO {self._name} VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._connection.executemany(upsert, puts)
        self._connection.executemany(f"DELETE FROM {self._name} WHERE key = ?", drops)
        self._held = {}


def begin(connection: sqlite3.Connection) -> None:
    """Start a transaction unless one is open."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")


class State:
    """An open state file. `throwaway` trades safety against a crash for speed."""

    def __init__(self, path: Path, *, throwaway: bool = False) -> None:
        self._path = path
        self._lock = None if throwaway else _lock(path)
        try:
            self._connection = connect(path, synchronous="OFF" if throwaway else "NORMAL")
        except BaseException:
            self.close()
            raise
        self.people = Rows(self._connection, "people")
        self.offers = Rows(self._connection, "offers")

    def position(self, source: str) -> str | None:
        """Where reading of a source has got to, as it was committed with the facts up to there."""
        row = self._connection.execute("SELECT position FROM positions WHERE source = ?", (source,)).fetchone()
        return None if row is None else str(row[0])

    def corrections(self) -> dict[int, bytes]:
        """What persons have corrected and was not taken in yet: encoded events by number."""
        query = "SELECT number, event FROM corrections ORDER BY number LIMIT 1000"
        return dict(self._connection.execute(query))

    def commit(self, positions: Mapping[str, str], corrected: Iterable[int] = ()) -> None:
        """Make all writes last, and with them how far each source was read, and which corrections were taken in."""
        with self.trouble():
            begin(self._connection)
            self._connection.executemany("DELETE FROM corrections WHERE number = ?", [(one,) for one in corrected])
            self.people.write()
            self.offers.write()
            upsert = (
                "INSERT INTO positions VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET position = excluded.position"
            )
            self._connection.executemany(upsert, positions.items())
            self._connection.execute("COMMIT")

    def settle(self) -> None:
        """Let what was overwritten go from the log beside the file too, unless another process is just reading it."""
        with self.trouble():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def nbytes(self) -> int:
        """Bytes of the database."""
        pages, size = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * size)

    def close(self) -> None:
        """Close the file; what was not committed is not kept."""
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def trouble(self) -> AbstractContextManager[None]:
        """Say in one line what the database can't do, or what stands in it can't be."""
        return trouble(self._path)


def connect(path: Path, *, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """Open a state file, made if there is none. Raises `StateError` for one of another program or version."""
    with trouble(path):
        connection = sqlite3.connect(path, _BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _refuse_others(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA cache_size = -131072")
            _make(connection)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def trouble(path: Path) -> Iterator[None]:
    """Say in one line what the database at `path` can't do, or what stands in it can't be."""
    try:
        yield
    except NewerEncoding as error:
        raise StateError(f"{path}: {error}") from None
    except ValueError as error:
        raise StateError(f"{path} is damaged ({error}); restore a backup or replay the events") from None
    except sqlite3.DatabaseError as error:
        said = str(error)
        if "full" in said:
            raise StateError(f"{path}: the disk is full; nothing is lost, make room and start again") from None
        if "malformed" in said or "not a database" in said:
            raise StateError(f"{path} is damaged ({said}); restore a backup or replay the events") from None
        raise StateError(f"{path}: {said}") from None


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    names = ("application_id", "user_version", "schema_version")
    application, format_, written = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    if written and application != _APPLICATION:
        raise StateError(f"{path} is the database of another program")
    if written and format_ > FORMAT:
        raise StateError(f"{path} has format {format_}, this version reads {FORMAT}: upgrade Ricochet")
    if written and format_ < _OLDEST:
        raise StateError(
            f"{path} has format {format_}, this version reads {_OLDEST} and {FORMAT}: move it away, make it anew with"
            " `ricochet replay` of the events, and forget again who was erased"
        )


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _lock(path: Path) -> IO[str]:
    if path.is_dir():
        raise StateError(f"{path} is a folder, not a state file")
    try:
        file = open(path.with_name(path.name + ".lock"), "w")  # noqa: SIM115  # held as long as the state is open
    except OSError as error:
        raise StateError(f"{path} can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StateInUse(f"{path} is in use by another process") from None
    return file
