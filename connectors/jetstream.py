"""A Jetstream (v1) as a source: JSON lines over a websocket, read on from a moment.

- Its cursor is a moment of its own clock (microseconds) and begins with the message of that moment. A cursor is of one
  host: others stamp other moments, so at another one some seconds are read twice.
- It keeps 36 hours and, asked for more, silently begins later. So a cursor that is too old is refused here; and since
  the message at the cursor is one that was read before, a first message from after it says that something is missing.
"""

import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

import msgspec

from connectors.connector import Blind, CursorRejected, Page
from connectors.listening import Socket
from spread.events import UNREADABLE

LOOK_BACK_S: Final = 36 * 3_600
_MARGIN_S: Final = 60
_REWIND_US: Final = 2_000_000
_REWIND_ELSEWHERE_US: Final = 10_000_000
_MESSAGES: Final = 500


class _Stamp(msgspec.Struct):
    time_us: int


_stamp: Final = msgspec.json.Decoder(_Stamp).decode


class Jetstream:
    """The stream at `url`, of some collections; what happens to accounts comes anyway."""

    def __init__(self, url: str, collections: Iterable[str]) -> None:
        self._url, self._collections = url, tuple(collections)
        self._socket: Socket | None = None
        self._cursor: _Cursor | None = None
        self._expected: int | None = None
        """The moment that the first message has to reach back to."""
        self._is_new = False
        """Whether the cursor of a cold start is still to be told, before any message."""

    def connect(self, cursor: str | None) -> None:
        """Connect. A cold start is a cursor too, of now: what comes before the first message must not be lost."""
        self.close()
        here = self._url.partition("://")[2].partition("/")[0]
        now_us = time.time_ns() // 1000
        at = _Cursor(here, now_us, exact=False) if cursor is None else _Cursor.read(cursor)
        oldest_us = now_us - (LOOK_BACK_S - _MARGIN_S) * 1_000_000
        if at is None:
            raise CursorRejected("the cursor is none of a Jetstream")
        if cursor is not None and at.us < now_us - LOOK_BACK_S * 1_000_000:
            earliest = str(_Cursor(here, oldest_us, exact=False))
            raise CursorRejected(
                "the cursor is older than the 36 h that a Jetstream keeps", earliest, oldest_us // 1000
            )
        rewind = 0 if not at.exact else _REWIND_US if at.host == here else _REWIND_ELSEWHERE_US
        query = [("wantedCollections", name) for name in self._collections] + [("cursor", str(at.us - rewind))]
        self._socket = Socket(f"{self._url}?{urlencode(query)}")
        self._cursor = _Cursor(here, at.us, at.exact)
        self._expected = at.us if at.exact else None
        self._is_new = cursor is None

    def read(self, timeout_s: float) -> Page | None:
        """Messages as they are, and the moment of the last."""
        assert self._socket is not None and self._cursor is not None
        if self._is_new:
            self._is_new = False
            return Page(cursor=str(self._cursor))
        messages = self._socket.read(timeout_s, _MESSAGES)
        if not messages:
            return None
        first, last = _moment(messages[:1]), _moment(messages[::-1])
        blind = None
        if first is not None and self._expected is not None:
            if first > self._expected:
                blind = Blind(self._expected // 1000, first // 1000, "the Jetstream began later than its cursor")
            self._expected = None
        if last is not None and last > self._cursor.us:
            self._cursor = _Cursor(self._cursor.host, last, exact=True)
        return Page(messages, str(self._cursor), self._cursor.us // 1000, blind=blind)

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Cursor:
    """Host and moment (us). One that is not `exact` stands at no message."""

    def __init__(self, host: str, us: int, exact: bool) -> None:
        self.host, self.us, self.exact = host, us, exact

    def __str__(self) -> str:
        return f"jetstream {self.host} {self.us}{'' if self.exact else '~'}"

    @classmethod
    def read(cls, text: str) -> "_Cursor | None":
        try:
            source, host, moment = text.split()
            return cls(host, int(moment.rstrip("~")), not moment.endswith("~")) if source == "jetstream" else None
        except ValueError:
            return None


def _moment(messages: Iterable[bytes]) -> int | None:
    """The moment of the first message that tells one."""
    for message in messages:
        try:
            return _stamp(message).time_us
        except UNREADABLE:
            continue
    return None
