"""A library that calls back, as something that can be read: its blocking function in a thread under supervision.

The thread's end is never silent: what it raised comes out of `get`, and so does an end that nobody asked for. What has
come is bounded: at the bound the library's thread waits, and with it the network.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from connectors.connector import ConnectorError, NotConnected

_HELD: Final = 1_000
_LOOK_S: Final = 0.2
_JOIN_S: Final = 10.0


class Stopped(Exception):
    """Raised in the library's thread, to bring it to its end."""


class Pump:
    """Runs `work(put)` in a thread; what it puts is got here. `stop` makes the library return, if it can be asked."""

    def __init__(self, name: str, work: Callable[[Callable[[Any], None]], None], stop: Callable[[], None]) -> None:
        self._work, self._stop = work, stop
        self._items: queue.Queue[Any] = queue.Queue(_HELD)
        self._closed = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def get(self, timeout_s: float, most: int = 500) -> list[Any]:
        """What has come, waiting for the first; empty if nothing came in time. Raises how the thread ended."""
        until = time.monotonic() + timeout_s
        items: list[Any] = []
        while not items:
            left = until - time.monotonic()
            try:
                items.append(self._items.get(timeout=max(0.0, min(left, _LOOK_S))))
            except queue.Empty:
                if not self._thread.is_alive() and self._items.empty():
                    raise self._end() from None
                if left <= 0:
                    break
        while items and len(items) < most and not self._items.empty():
            items.append(self._items.get_nowait())
        return items

    def close(self) -> None:
        """End the thread. One that does not listen is left behind: it can't put anything any more."""
        self._closed.set()
        if self._thread.is_alive():
            self._stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._work(self._put)
        except Stopped:
            pass
        except BaseException as error:  # told by `get`
            self._failure = error

    def _put(self, item: Any) -> None:
        while True:
            if self._closed.is_set():
                raise Stopped
            try:
                self._items.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def _end(self) -> ConnectorError:
        if isinstance(self._failure, ConnectorError):
            return self._failure
        # The text of a foreign error may hold an address with a token in it.
        return NotConnected("the stream ended" if self._failure is None else type(self._failure).__name__)
