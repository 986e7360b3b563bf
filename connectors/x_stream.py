"""X's filtered stream, through tweepy: a thread that reads lines, and a short queue that they wait in.

tweepy reads lines and keep-alives, and on any trouble waits and connects again by itself, without saying what came of
it. Here the first trouble ends it: the runner decides about waiting, and only it knows what is to be filled in. A line
that is cut short by an orderly end is passed on like any other: it is rejected, and what it was is filled in.
"""

import queue
import threading
import time
from contextlib import suppress
from typing import Any, Final

import tweepy
from tweepy.streaming import BaseStream

from connectors.clock import now_ms
from connectors.connector import ConnectorError, NotConnected
from connectors.lasting import place
from connectors.x_api import FIELDS, Calls, fault

_HELD: Final = 1_000
"""Lines that wait at most: then the thread does, and X with it."""
_LINE_BYTES: Final = 512
_ROUTE: Final = "/2/tweets/search/stream"
_PUT_S: Final = 0.2
_CONNECT_S: Final = 10.0
_END_S: Final = 2.0


class Stream:
    """One connection to the stream of the API at `base`; after `silence_s` without a line or keep-alive it is lost."""

    def __init__(self, base: str, token: str, silence_s: float) -> None:
        self.seen_ms = 0
        """By the wall clock, until when all that came has been read."""
        self._reader = _Reader(base, token, silence_s)
        self._thread: threading.Thread = self._reader.filter(threaded=True, **FIELDS)
        self._reader.answered.wait()
        if self._reader.fault is not None:
            self.close()
            raise self._reader.fault
        self.seen_ms = now_ms()

    def read(self, timeout_s: float, most: int) -> list[bytes]:
        """Lines that have come, waiting for the first; empty if none came in time. Raises why there are no more."""
        lines: list[bytes] = []
        until = time.monotonic() + timeout_s
        while len(lines) < most:
            try:
                came_ms, line = self._reader.lines.get(timeout=0 if lines else max(0.0, until - time.monotonic()))
            except (queue.Empty, ValueError):
                break
            self.seen_ms = came_ms
            if line:
                lines.append(line)
        if not lines and self._reader.fault is not None and self._reader.lines.empty():
            raise self._reader.fault
        return lines

    def close(self) -> None:
        """Hang up."""
        self._reader.hang_up()
        self._thread.join(_END_S)


class _Reader(Calls, tweepy.StreamingClient):  # type: ignore[misc]  # tweepy has no types
    """What tweepy's thread calls. A line without anything is a keep-alive."""

    def __init__(self, base: str, token: str, silence_s: float) -> None:
        super().__init__(token, daemon=True, chunk_size=_LINE_BYTES)
        self.base, self._silence_s = base.rstrip("/"), silence_s
        self.lines: queue.Queue[tuple[int, bytes]] = queue.Queue(_HELD)
        self.answered = threading.Event()
        self.fault: ConnectorError | None = None
        self._answer: Any = None
        self._connected = False
        self.session.hooks["response"].append(self._take_answer)

    def hang_up(self) -> None:
        self.running = False
        # The thread may wait for a line: its connection is shut under it.
        with suppress(AttributeError, OSError, RuntimeError, ValueError):
            self._answer.raw.shutdown()

    def on_connect(self) -> None:
        if self._connected:
            self._end(NotConnected("the stream was closed"))
        self._connected = True
        self.answered.set()

    def on_data(self, raw_data: bytes) -> None:
        while self.running:
            with suppress(queue.Full):
                self.lines.put((now_ms(), raw_data), timeout=_PUT_S)
                return

    def on_keep_alive(self) -> None:
        self.on_data(b"")

    def on_closed(self, response: Any) -> None:
        self._end(NotConnected("the stream was closed"))

    def on_request_error(self, status_code: int) -> None:
        body = b""
        with suppress(OSError):
            body = self._answer.content
        self._end(fault(status_code, self._answer.headers, body, _ROUTE))

    def on_connection_error(self) -> None:
        if self._connected:
            self._end(NotConnected(f"the stream is lost, or was silent for {self._silence_s:g} s"))
        self._end(NotConnected("no connection to the stream"))

    def on_exception(self, exception: Exception) -> None:
        self._end(NotConnected(place(exception)))

    def on_disconnect(self) -> None:
        self._end(NotConnected("the stream has ended"))

    def _connect(self, method: str, endpoint: str, **more: Any) -> None:
        self.session.headers["Authorization"] = f"Bearer {self.bearer_token}"
        BaseStream._connect(self, method, self.base + _ROUTE, timeout=(_CONNECT_S, self._silence_s), **more)

    def _take_answer(self, answer: Any, **_: Any) -> None:
        self._answer = answer

    def _end(self, why: ConnectorError) -> None:
        """Keep the first trouble, and let tweepy try nothing more."""
        self.running = False
        if self.fault is None:
            self.fault = why
        self.answered.set()
