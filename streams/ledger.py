"""What a stage knows beyond single keys: the accounts to be forgotten, and persons' assignments. A row for each.

Like segments they are only ever added, under names that tell their content: no writer undoes another's.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from spread.facts import AssignFact
from streams.table import SUFFIX, Table

_FORGOTTEN: Final = b"\0forgotten"
_ASSIGNED: Final = b"\0assigned"
_DIGEST_BYTES: Final = 8


def forgotten(table: Table) -> set[int]:
    """The digests of all accounts that were forgotten."""
    return {int.from_bytes(row[-_DIGEST_BYTES:], "big") for row in table.rows(_FORGOTTEN)}


def forget(table: Table, digest: int) -> None:
    """Remember that an account was forgotten."""
    table[_FORGOTTEN + digest.to_bytes(SUFFIX, "big")] = b"1"


def assignments(table: Table) -> list[AssignFact]:
    """All assignments that have come, also several deliveries of one."""
    return [msgspec.msgpack.decode(stored, type=AssignFact) for stored in table.rows(_ASSIGNED).values()]


def assign(table: Table, fact: AssignFact) -> None:
    """Remember an assignment."""
    stored = msgspec.msgpack.encode(fact)
    table[_ASSIGNED + blake2b(stored, digest_size=SUFFIX).digest()] = stored
