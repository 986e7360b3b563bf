"""Which ids name an account: those of posts do on some networks, as `bluesky:at://did:plc:ana/...` does."""

import re
import sqlite3
from collections.abc import Callable


def naming(account: str) -> Callable[[str], bool]:
    """Whether the id of a post has an account's own name in it."""
    network, _, native = account.partition(":")
    named = re.compile(rf"(?<![\w.-]){re.escape(native)}(?![\w-])")
    return lambda id: id.startswith(f"{network}:") and id != account and named.search(id) is not None


def hash_roots(db: sqlite3.Connection, table: str, account: str, hashed: Callable[[str], str]) -> None:
    """Have the roots of others' acts, where these name an account, stand in a table by their hashed names."""
    roots = [row[0] for row in db.execute(f"SELECT DISTINCT root FROM {table}") if row[0]]
    names_it = naming(account)
    changed = [(hashed(root), root) for root in roots if names_it(root)]
    db.executemany(f"UPDATE {table} SET root = ? WHERE root = ?", changed)
