"""The accounts that were erased, so that no redelivery brings one back; of each no more than a keyed mark is stored.

Without the key nobody can tell whether an account is on the list. An entry goes once every event from before the
erasure is refused for its age (`streams.keeping`): then no log can bring the account back. Entries are a row each under
a name that tells their content, so no writer undoes another's.
"""

from hashlib import blake2b
from typing import Final

from spread.facts import digest
from streams.table import SUFFIX, Table

_MARKS: Final = b"\0suppressed"
_UNKEYED: Final = b"\0forgotten"
"""The same of encodings 1 and 2: a row for the digest itself, without a key and without a time."""
_DIGEST: Final = 8
_STEP_MS: Final = 60_000
"""An entry is written anew for a repeated erasure only if it moves its end by so much."""


class Suppressed:
    """The list of one partition. `key` is the secret of it; an empty one keeps the marks from nobody."""

    def __init__(self, key: bytes, table: Table) -> None:
        self._key = blake2b(key, digest_size=32, person=b"suppression").digest() if key else b""
        self._since: dict[bytes, int] = {
            row[-SUFFIX:]: int.from_bytes(stored, "big") for row, stored in table.rows(_MARKS).items()
        }

    def __bool__(self) -> bool:
        return bool(self._since)

    def __contains__(self, account: str) -> bool:
        return self._mark(digest(account).to_bytes(_DIGEST, "little")) in self._since

    def without(self, packed: bytes) -> bytes:
        """A packed list of digests without those of the accounts here."""
        parts = [packed[at : at + _DIGEST] for at in range(0, len(packed), _DIGEST)]
        return b"".join(part for part in parts if self._mark(part) not in self._since)

    def add(self, account: str, table: Table, now: int) -> bool:
        """Have an account here from `now` (ms) on; whether it was not before."""
        return self.add_digest(digest(account), table, now)

    def add_digest(self, of: int, table: Table, now: int) -> bool:
        """The same, where no more is known of the account than its digest."""
        mark = self._mark(of.to_bytes(_DIGEST, "little"))
        known = self._since.get(mark)
        if known is None or now >= known + _STEP_MS:
            self._since[mark] = now
            table[_MARKS + mark] = now.to_bytes(8, "big")
        return known is None

    def expire(self, table: Table, now: int, after_ms: int) -> None:
        """Let go of entries older than `after_ms` at `now`."""
        for mark in [mark for mark, since in self._since.items() if since < now - after_ms]:
            del self._since[mark]
            table.pop(_MARKS + mark, None)

    def _mark(self, of: bytes) -> bytes:
        return blake2b(of, digest_size=SUFFIX, key=self._key).digest()


def adopt(table: Table, key: bytes, now: int) -> bool:
    """Take over the accounts that encodings 1 and 2 remembered as erased; whether there were any.

    Those did not say when: `now` (ms) is no earlier than the stages' time can have been then.
    """
    unkeyed = [*table.rows(_UNKEYED)]
    if unkeyed:
        suppressed = Suppressed(key, table)
        for row in unkeyed:
            suppressed.add_digest(int.from_bytes(row[-_DIGEST:], "big"), table, now)
    for row in unkeyed:  # last, so that a crash between two writes leaves an account in one of both lists
        table.discard(row)
    return bool(unkeyed)
