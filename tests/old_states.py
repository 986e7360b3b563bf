"""What older versions stored: states as they were left by the last commit of each encoding that fed them itself.

Each was fed `BEFORE`, then the erasures in `ERASED`; `AFTER` is what comes later, much of it by erased accounts.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from spread.facts import digest
from streams.table import group_of

_FOLDER = Path(__file__).parent / "states"
ENCODINGS = 1, 2
UNKEYED = b"\0forgotten"
"""How the rows begin that named erased accounts without a key."""


def _lines(name: str) -> list[bytes]:
    return gzip.decompress((_FOLDER / f"{name}.jsonl.gz").read_bytes()).splitlines(keepends=True)


BEFORE, ERASED, AFTER = map(_lines, ("before", "erased", "after"))


def put(encoding: int, path: Path) -> None:
    """Write the state file that a version with this encoding left."""
    path.write_bytes(gzip.decompress((_FOLDER / f"encoding-{encoding}.state.gz").read_bytes()))


def rows(path: Path, table: str) -> dict[bytes, bytes]:
    """Read a table of a state file."""
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute(f"SELECT key, value FROM {table}"))


def tells(accounts: list[bytes], table: dict[bytes, bytes]) -> list[bytes]:
    """List the rows that tell any of the accounts that some events are by, without the key: by name or by digest."""
    names = [event["actor"] for event in map(json.loads, accounts) if "actor" in event]
    digests = [digest(name).to_bytes(8, order) for name in names for order in ("little", "big")]
    groups = {b"=" + name.encode() for name in names}
    traces = [*map(msgspec.msgpack.encode, names), *digests]
    return [
        row
        for row, stored in table.items()
        if group_of(row) in groups or any(trace in row or trace in stored for trace in traces)
    ]
