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
        mark = self._mark(digest(account).to_bytes(_DIGEST, "little"))
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
