"""Which accounts are worth looking up, and what that may cost: decisions without any clock, and a small store.

Who follows whom is dear: some networks take a cent for each follower. So accounts that shared are ranked by what their
lists would tell, each is asked about once until the answer expires, and the budget of the day is never passed: what it
does not reach is counted as not known.

A list is kept page by page, with where it goes on, until it is whole and told: no row is paid for twice before the
answer expires, whatever interrupts it. One that a budget cut goes on behind all that nobody has asked about yet.

The worth of a look-up is `(2 without a known parent, else 1) x log10(10 + followers) / log2(2 + rank)`, where the rank
is how many had shared in the cascade before: an early, well-followed sharer whose parent nobody knows comes first. Whom
it follows may tell its parent; who follows it, the parents of later ones and the reach.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connectors.connector import Prices
from connectors.journal import open_file
from connectors.naming import hash_roots
from spread.events import DAY_MS, AnyEvent, Forget, Post, Quote, Share

Side = Literal["follows", "followed_by"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS candidate (
  account TEXT PRIMARY KEY, root TEXT, rank INTEGER, has_parent INTEGER, followers INTEGER,
  counted INTEGER, listed INTEGER, seen INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_root ON candidate (root);
CREATE TABLE IF NOT EXISTS spent (day INTEGER PRIMARY KEY, calls INTEGER, money REAL);
CREATE TABLE IF NOT EXISTS open_list (
  account TEXT, side TEXT, begun INTEGER, page TEXT, whole INTEGER, PRIMARY KEY (account, side)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_row (
  account TEXT, side TEXT, member TEXT, place INTEGER, PRIMARY KEY (account, side, member)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_member ON open_row (member);
"""


class Candidate(NamedTuple):
    """An account that shared: the cascade it did so in first, and what is known of it."""

    account: str
    root: str
    rank: int
    has_parent: bool
    followers: int | None = None


class OpenList(NamedTuple):
    """A list of an account as far as it was had.

    `begun` (ms) is when its first page was asked for, `page` the next one, empty for the first and None behind the
    last; `whole` whether it names everybody.
    """

    account: str
    side: Side
    begun: int
    page: str | None = ""
    whole: bool = False
    members: int = 0


@dataclass(frozen=True)
class Budget:
    """What may still be spent: calls, and US dollars."""

    calls: int
    money: float

    def covers(self, prices: Prices, rows: int) -> bool:
        """Whether one call that may give so many rows is within it."""
        return self.calls >= 1 and self.money + 1e-9 >= cost(prices, rows)


def cost(prices: Prices, rows: int) -> float:
    """What one call that gives so many rows costs."""
    return prices.call + rows * prices.row


def worth(one: Candidate) -> float:
    """What looking an account up would tell; see above."""
    return (1 if one.has_parent else 2) * math.log10(10 + (one.followers or 0)) / math.log2(2 + one.rank)


def sides(one: Candidate) -> tuple[Side, ...]:
    """Which of its lists would tell something."""
    return ("followed_by",) if one.has_parent else ("follows", "followed_by")


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates, the one that would tell most first."""
    return sorted(candidates, key=lambda one: (-worth(one), one.account))


class Lookups:
    """The store of one connector, at `path`: who shared, what was asked, what was spent. Any thread may call.

    An answer holds for `expiry_ms`; who has not shared for `retention_ms` is forgotten. Whoever asks gives the time.
    """

    def __init__(self, path: Path, expiry_ms: int, retention_ms: int | None = None) -> None:
        self._file, self._expiry_ms, self._retention_ms = open_file(path), expiry_ms, retention_ms
        with self._file.use() as db:
            db.executescript(_SCHEMA)

    def saw(self, events: Iterable[AnyEvent]) -> None:
        """Take note of who shared, and of who is to be forgotten."""
        told = [event for event in events if isinstance(event, Post | Share | Quote | Forget)]
        if not told:
            return
        with self._file.transaction() as db:
            for event in told:
                if isinstance(event, Forget):
                    _forget(db, event.actor)
                else:
                    _add(db, event)
            if self._retention_ms is not None:
                horizon = max(event.at for event in told) - self._retention_ms
                db.execute("DELETE FROM candidate WHERE seen < ?", [horizon])
        if any(isinstance(event, Forget) for event in told):
            self._file.settle()

    def uncounted(self, now: int, most: int) -> list[str]:
        """Accounts whose follower count is not known, or has expired."""
        query = "SELECT account FROM candidate WHERE counted IS NULL OR counted < ? ORDER BY rank, account LIMIT ?"
        with self._file.use() as db:
            return [row[0] for row in db.execute(query, [now - self._expiry_ms, most])]

    def counted(self, counts: dict[str, int], asked: Iterable[str], now: int) -> None:
        """Keep the follower counts of those that were asked for; some may be gone."""
        with self._file.transaction() as db:
            for account in asked:
                db.execute(
                    "UPDATE candidate SET counted = ?, followers = coalesce(?, followers) WHERE account = ?",
                    [now, counts.get(account), account],
                )

    def unlisted(self, now: int) -> list[Candidate]:
        """Accounts whose lists are not known, or have expired, in the order in which they are worth asking for.

        Behind them those whose lists a budget has cut.
        """
        query = "SELECT account, root, rank, has_parent, followers FROM candidate WHERE"
        due, cut = "listed IS NULL OR listed < ?", "listed >= ? AND account IN (SELECT account FROM open_list)"
        with self._file.use() as db:
            found = [db.execute(f"{query} {which}", [now - self._expiry_ms]).fetchall() for which in (due, cut)]
        return [
            one
            for rows in found
            for one in in_order(Candidate(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows)
        ]

    def listed(self, account: str, now: int) -> None:
        """Note that the lists of an account were had, and told."""
        with self._file.transaction() as db:
            db.execute("UPDATE candidate SET listed = ? WHERE account = ?", [now, account])
            _close_lists(db, account)

    def cut(self, account: str, now: int) -> None:
        """Note that the budget ended in the lists of an account."""
        with self._file.use() as db:
            db.execute("UPDATE candidate SET listed = ? WHERE account = ?", [now, account])

    def open_list(self, account: str, side: Side, now: int) -> OpenList:
        """Where a list stands; at its beginning where nothing was had, or what was had has expired."""
        with self._file.transaction() as db:
            query = "SELECT begun, page, whole FROM open_list WHERE account = ? AND side = ? AND begun >= ?"
            row = db.execute(query, [account, side, now - self._expiry_ms]).fetchone()
            if row is None:
                _close_lists(db, account, side)
                return OpenList(account, side, now)
            members = db.execute("SELECT count(*) FROM open_row WHERE account = ? AND side = ?", [account, side])
            return OpenList(account, side, row[0], row[1], bool(row[2]), members.fetchone()[0])

    def add_page(self, one: OpenList, members: Iterable[str], now: int, back: float) -> OpenList:
        """Keep a page of members, with where the list stands behind it, and take `back` what it did not cost."""
        with self._file.transaction() as db:
            row = [one.account, one.side, one.begun, one.page, one.whole]
            db.execute("INSERT OR REPLACE INTO open_list VALUES (?, ?, ?, ?, ?)", row)
            rows = ((one.account, one.side, member, one.members + place) for place, member in enumerate(members))
            added = db.executemany("INSERT OR IGNORE INTO open_row VALUES (?, ?, ?, ?)", rows).rowcount
            _repay(db, now, back)
        return one._replace(members=one.members + max(0, added))

    def members(self, one: OpenList) -> list[str]:
        """The accounts of a list as far as it was had, in the network's order."""
        query = "SELECT member FROM open_row WHERE account = ? AND side = ? ORDER BY place"
        with self._file.use() as db:
            return [row[0] for row in db.execute(query, [one.account, one.side])]

    def spend(self, now: int, money: float) -> None:
        """Note a call before it is made: what fails on the way is paid for all the same."""
        with self._file.use() as db:
            db.execute(
                "INSERT INTO spent VALUES (?, 1, ?) ON CONFLICT DO UPDATE SET calls = calls + 1, money = money + ?",
                [now // DAY_MS, money, money],
            )

    def repay(self, now: int, money: float) -> None:
        """Take back what a call did not cost in the end."""
        with self._file.use() as db:
            _repay(db, now, money)

    def left(self, now: int, daily: Budget) -> Budget:
        """What is left of the day's budget."""
        with self._file.use() as db:
            row = db.execute("SELECT calls, money FROM spent WHERE day = ?", [now // DAY_MS]).fetchone()
        calls, money = row or (0, 0.0)
        return Budget(daily.calls - calls, daily.money - money)

    def accounts(self) -> set[str]:
        """All accounts that shared, or stand in a list that is not told yet."""
        with self._file.use() as db:
            return {row[0] for row in db.execute("SELECT account FROM candidate UNION SELECT member FROM open_row")}

    def forget(self, account: str, hashed: Callable[[str], str] | None = None) -> int:
        """Erase an account; roots that name it stay by their `hashed` names. How many entries went."""
        with self._file.transaction() as db:
            erased = _forget(db, account)
            if hashed is not None:
                hash_roots(db, "candidate", account, hashed)
        self._file.settle()
        return erased

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _add(db: sqlite3.Connection, act: Post | Share | Quote) -> None:
    rank = db.execute("SELECT count(*) FROM candidate WHERE root = ?", [act.root]).fetchone()[0]
    has_parent = isinstance(act, Post) or act.via is not None
    db.execute(
        "INSERT INTO candidate (account, root, rank, has_parent, followers, seen) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET followers = coalesce(excluded.followers, followers), "
        " seen = max(coalesce(seen, 0), excluded.seen)",
        [act.actor, act.root, rank, has_parent, act.followers, act.at],
    )


def _forget(db: sqlite3.Connection, account: str) -> int:
    _close_lists(db, account)
    deletes = ("DELETE FROM candidate WHERE account = ?", "DELETE FROM open_row WHERE member = ?")
    return sum(db.execute(delete, [account]).rowcount for delete in deletes)


def _repay(db: sqlite3.Connection, now: int, money: float) -> None:
    db.execute("UPDATE spent SET money = max(0, money - ?) WHERE day = ?", [money, now // DAY_MS])


def _close_lists(db: sqlite3.Connection, account: str, side: Side | None = None) -> None:
    for table in ("open_list", "open_row"):
        db.execute(f"DELETE FROM {table} WHERE account = ?1 AND side = coalesce(?2, side)", [account, side])
