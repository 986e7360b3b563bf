"""One SQLite file of the connectors, for any thread: how it is opened, and what goes wrong with it, in a line.

What is deleted is overwritten, since it names people.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_BUSY_S: Final = 30.0
"""So long another process may write."""


class Database:
    """The file at `path`, made if there is none. What goes wrong with it is an `error`, in one line that names it.

    `application` marks the file as this program's; then that of another is refused, and left as it is.
    """

    def __init__(self, path: Path, error: type[Exception], application: int | None = None) -> None:
        self._path, self._error = path, error
        self._lock = threading.RLock()
        with self._told():
            self._connection = sqlite3.connect(path, _BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                if application is not None:
                    self._mark(application)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA secure_delete = ON")
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; each statement lasts at once."""
        with self._lock, self._told():
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, for changes of which all last or none."""
        with self.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def settle(self) -> None:
        """Let what was overwritten go from the log beside the file too, unless another process is just reading it."""
        with self.use() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def copy_to(self, path: Path) -> None:
        """Write a copy, whatever other processes do meanwhile, to where no file is."""
        with self.use() as connection:
            connection.execute("VACUUM INTO ?", [str(path)])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _mark(self, application: int) -> None:
        names = ("application_id", "schema_version")
        found, written = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        if written and found != application:
            raise self._error(f"{self._path} is the database of another program")
        self._connection.execute(f"PRAGMA application_id = {application}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._error(f"{self._path}: {error}") from None
