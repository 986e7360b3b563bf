"""The journal of one connector: its cursor, and the index of what it has seen of offers, in one SQLite file.

- The index says of a post's id its root, offer, account and kind, and of a follow's whom: what a deletion or a share
  of a quote leaves out.
- What a page adds is seen by the pages behind it at once, and lasts once `save` is called: cursor and index change in
  one transaction, after the events are safe. Until then a crash, or `rewind`, takes both back to the last save.
- The index holds names in clear, since networks name in clear; `forget` erases an account. Another process may do so
  while the connector runs.
- One thread at a time uses a journal, but any may ask whether a name is the employer's `own`.
"""

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connectors.connector import Root
from connectors.database import Database
from connectors.naming import hash_roots

Kind = Literal["post", "share", "quote", "reply", "follow", "alias", "outcome"]

GONE_MS: Final = 3_600_000
"""How long a deletion is kept whose target has not come."""
_SCHEMA: Final = """
CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT, heard INTEGER);
CREATE TABLE entry (id TEXT PRIMARY KEY, kind TEXT, account TEXT, at INTEGER, root TEXT, offer TEXT) WITHOUT ROWID;
CREATE INDEX by_account ON entry (account);
CREATE INDEX by_age ON entry (at);
CREATE INDEX by_followed ON entry (root) WHERE kind = 'follow';
CREATE TABLE gone (id TEXT PRIMARY KEY, at INTEGER, actor TEXT) WITHOUT ROWID;
"""
_VERSION: Final = 1


class JournalError(Exception):
    """The journal can't be used. One line."""


class Entry(NamedTuple):
    """What is known of a post or a share.

    Of a follow, `root` is the account that is followed, of an alias the id that it stands for, and `offer` is empty; an
    outcome has an `offer` and no names.
    """

    id: str
    kind: Kind
    account: str
    at: int
    root: str
    offer: str = ""


class Gone(NamedTuple):
    """A deletion whose target has not come."""

    id: str
    at: int
    actor: str | None


@dataclass
class _Page:
    """What one page changes, and the cursor behind it."""

    cursor: str | None = None
    heard: int | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)


class Journal:
    """The journal at `path`, made if it is not there. `own` are the employer's accounts and posts."""

    def __init__(self, path: Path, own: Iterable[str] = ()) -> None:
        self._file = open_file(path)
        with self._file.use() as db:
            _open_schema(db, path)
            row = db.execute("SELECT cursor, heard FROM cursor").fetchone()
        self._saved: tuple[str | None, int | None] = row or (None, None)
        self._position = self._saved
        self._open = _Page()
        self._waiting = deque([self._open])
        """Pages that are turned and not saved, then the open one."""
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, Gone] = {}
        self._accounts: Counter[str] = Counter()
        self._forgotten: set[str] = set()
        """What those pages add and erase."""
        self._turned = self._first = 0
        self.own: Final = set(own)
        """What stays in clear at the door: grows by the posts of the employer's accounts."""
        self._own_accounts = tuple(self.own)
        self._load_own()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cursor(self) -> str | None:
        """The cursor behind the last page, saved or not."""
        return self._position[0]

    @property
    def heard(self) -> int | None:
        """When the newest message of the last page happened (ms), saved or not."""
        return self._position[1]

    @property
    def saved_heard(self) -> int | None:
        """When the newest message of the last saved page happened (ms)."""
        return self._saved[1]

    @property
    def unsaved(self) -> int:
        """Pages that are not saved yet."""
        return len(self._waiting) - 1

    def entry(self, id: str) -> Entry | None:
        """What is known of a post, a share or a follow, by its id or an alias."""
        found = self._entry(id)
        return found if found is None or found.kind != "alias" else self._entry(found.root)

    def _entry(self, id: str) -> Entry | None:
        if (found := self._entries.get(id)) is not None:
            return None if found.account in self._forgotten else found
        row = self._one("SELECT id, kind, account, at, root, offer FROM entry WHERE id = ?", id)
        return None if row is None or row[2] in self._forgotten else Entry(*row)

    def has(self, id: str) -> bool:
        """Whether a post, a share or a follow is known by this id or alias."""
        return self.entry(id) is not None

    def gone(self, id: str) -> Gone | None:
        """A deletion that came before its target."""
        if (found := self._gone.get(id)) is not None:
            return found
        row = self._one("SELECT id, at, actor FROM gone WHERE id = ?", id)
        return None if row is None else Gone(*row)

    def takes_part(self, account: str) -> bool:
        """Whether an account has posted, shared, quoted or replied."""
        if account in self._forgotten:
            return False
        if account in self._accounts:
            return True
        return self._one("SELECT 1 FROM entry WHERE account = ? AND kind != 'follow' LIMIT 1", account) is not None

    def knows(self, account: str) -> bool:
        """Whether an account stands anywhere in the index."""
        if account in self._forgotten:
            return False
        if account in self._accounts or any(account in (one.account, one.root) for one in self._entries.values()):
            return True
        by = "SELECT 1 FROM entry WHERE account = ?1 UNION SELECT 1 FROM entry WHERE root = ?1 AND kind = 'follow'"
        return self._one(f"{by} LIMIT 1", account) is not None

    def of(self, account: str) -> list[Entry]:
        """All posts, shares, quotes and replies of an account, by id."""
        if account in self._forgotten:
            return []
        with self._file.use() as db:
            rows = db.execute("SELECT id, kind, account, at, root, offer FROM entry WHERE account = ?", [account])
            found = {entry.id: entry for entry in map(Entry._make, rows)}
        found |= {entry.id: entry for entry in self._entries.values() if entry.account == account}
        return [found[id] for id in sorted(found) if found[id].kind not in ("follow", "alias")]

    def roots(self, since_ms: int) -> list[Root]:
        """The posts of offers that are not older, the newest first."""
        return self._newest("post", since_ms)

    def quotes(self, since_ms: int) -> list[Root]:
        """The quotes of offers that are not older, the newest first."""
        return self._newest("quote", since_ms)

    def ids(self, since_ms: int, after: str, most: int) -> list[str]:
        """The saved ids of posts, shares, quotes and replies that are not older, in their order behind `after`."""
        query = "SELECT id FROM entry WHERE id > ? AND at >= ? AND kind NOT IN ('follow', 'alias') ORDER BY id LIMIT ?"
        with self._file.use() as db:
            return [row[0] for row in db.execute(query, [after, since_ms, most])]

    def note(self, entry: Entry) -> None:
        """Add to the index, with the open page."""
        before = self._open.entries.get(entry.id)
        if before is not None:
            self._count(before, -1)
        self._count(entry, 1)
        self._open.entries[entry.id] = self._entries[entry.id] = entry
        if entry.kind in ("post", "quote", "reply") and entry.account in self.own:
            self.own.add(entry.id)

    def note_alias(self, alias: str, of: Entry) -> None:
        """Let an alias stand for what is known, with the open page."""
        self.note(Entry(alias, "alias", of.account, of.at, of.id))

    def note_gone(self, gone: Gone) -> None:
        """Keep a deletion whose target may come yet, with the open page."""
        self._open.gone[gone.id] = self._gone[gone.id] = gone

    def note_forgotten(self, account: str) -> None:
        """Erase an account, with the open page."""
        self._open.forgotten.append(account)
        self._forgotten.add(account)

    def turn(self, cursor: str | None, heard: int | None) -> int:
        """Close the open page: `cursor` is behind it. Its number is what `save` takes."""
        self._open.cursor, self._open.heard = cursor, heard if heard is not None else self.heard
        self._position = self._open.cursor, self._open.heard
        self._open = _Page()
        self._waiting.append(self._open)
        self._turned += 1
        return self._turned

    def save(self, number: int) -> None:
        """Make the pages up to this one last, in one transaction: their events are safe."""
        pages = [self._waiting[place] for place in range(number - self._first)]
        if not pages:
            return
        with self._file.transaction() as db:
            for page in pages:
                db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)", _rows(page))
                db.executemany("INSERT OR REPLACE INTO gone VALUES (?, ?, ?)", page.gone.values())
                for account in page.forgotten:
                    _erase(db, account)
            last = pages[-1]
            if last.heard is not None:
                db.execute("DELETE FROM gone WHERE at < ?", [last.heard - GONE_MS])
            db.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?)", [last.cursor, last.heard])
        if any(page.forgotten for page in pages):
            self._file.settle()
        self._saved = last.cursor, last.heard
        for page in pages:
            self._waiting.popleft()
            for entry in page.entries.values():
                if self._entries.get(entry.id) is entry:
                    del self._entries[entry.id]
                self._count(entry, -1)
            for gone in page.gone.values():
                if self._gone.get(gone.id) is gone:
                    del self._gone[gone.id]
        self._first = number
        self._forgotten = {account for page in self._waiting for account in page.forgotten}

    def _count(self, entry: Entry, by: int) -> None:
        if entry.kind != "follow":
            self._accounts[entry.account] += by
            if not self._accounts[entry.account]:
                del self._accounts[entry.account]

    def rewind(self) -> None:
        """Take back what is not saved: its events are not safe, and it is read again."""
        self._open = _Page()
        self._waiting = deque([self._open])
        self._first = self._turned
        self._position = self._saved
        self._entries, self._gone, self._accounts, self._forgotten = {}, {}, Counter(), set()

    def prune(self, before_ms: int) -> None:
        """Drop what is older, but not the employer's own posts: their names stay readable for good."""
        own = ", ".join("?" * len(self._own_accounts))
        with self._file.transaction() as db:
            db.execute(f"DELETE FROM entry WHERE at < ? AND account NOT IN ({own})", [before_ms, *self._own_accounts])
        self._file.settle()

    def accounts(self) -> set[str]:
        """All accounts that were saved, those too that are followed or named by a deletion."""
        query = (
            "SELECT account FROM entry UNION SELECT root FROM entry WHERE kind = 'follow' UNION SELECT actor FROM gone"
        )
        with self._file.use() as db:
            return {row[0] for row in db.execute(query) if row[0]}

    def forget(self, account: str, hashed: Callable[[str], str] | None = None) -> int:
        """Erase an account at once: what it wrote, its follows and those of it. How many entries went.

        What others shared of its posts keeps these as its roots, by their `hashed` names where they name the account.
        """
        with self._file.transaction() as db:
            erased = _erase(db, account)
            if hashed is not None:
                hash_roots(db, "entry", account, hashed)
        self._file.settle()
        return erased

    def close(self) -> None:
        """Close the file. What is not saved is taken back."""
        self._file.close()

    def _newest(self, kind: Kind, since_ms: int) -> list[Root]:
        query = "SELECT id, offer, account, at FROM entry WHERE at >= ? AND kind = ?"
        with self._file.use() as db:
            found = {row[0]: Root(*row) for row in db.execute(query, [since_ms, kind])}
        for entry in self._entries.values():
            if entry.kind == kind and entry.at >= since_ms:
                found[entry.id] = Root(entry.id, entry.offer, entry.account, entry.at)
        living = (root for root in found.values() if root.account not in self._forgotten)
        return sorted(living, key=lambda root: (root.at, root.id), reverse=True)

    def _load_own(self) -> None:
        marks = ", ".join("?" * len(self._own_accounts))
        query = f"SELECT id FROM entry WHERE account IN ({marks}) AND kind IN ('post', 'quote', 'reply')"
        with self._file.use() as db:
            self.own.update(row[0] for row in db.execute(query, self._own_accounts))

    def _one(self, query: str, *values: str) -> tuple | None:  # type: ignore[type-arg]  # a row of any shape
        with self._file.use() as db:
            row: tuple | None = db.execute(query, values).fetchone()  # type: ignore[type-arg]
            return row


def open_file(path: Path) -> Database:
    """Open a file in the folder of the journals, which is made if it is not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{path}: {error}") from None
    return Database(path, JournalError)


def _open_schema(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise JournalError(f"{path}: written by a newer version of Ricochet")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last save back, never half of one
    if version == 0:
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _rows(page: _Page) -> Iterable[Entry]:
    return (entry for entry in page.entries.values() if entry.account not in page.forgotten)


def _erase(db: sqlite3.Connection, account: str) -> int:
    return sum(
        db.execute(delete, [account]).rowcount
        for delete in (
            "DELETE FROM entry WHERE account = ?",
            "DELETE FROM entry WHERE root = ? AND kind = 'follow'",
            "DELETE FROM gone WHERE actor = ?",
        )
    )
