"""What OFFERS knows beyond single offers: persons' assignments, a row for each.

Like segments they are only ever added, under names that tell their content: no writer undoes another's.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from spread.facts import AssignFact
from streams.table import SUFFIX, Table

_ASSIGNED: Final = b"\0assigned"


def assignments(table: Table) -> list[AssignFact]:
    """All assignments that have come, also several deliveries of one."""
    return [msgspec.msgpack.decode(stored, type=AssignFact) for stored in table.rows(_ASSIGNED).values()]


def assign(table: Table, fact: AssignFact) -> None:
    """Remember an assignment."""
    stored = msgspec.msgpack.encode(fact)
    table[_ASSIGNED + blake2b(stored, digest_size=SUFFIX).digest()] = stored
