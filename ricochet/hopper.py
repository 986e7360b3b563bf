"""From connectors' threads to the embedded engine, as a sink: what is in the hopper waits for the engine's loop."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from connectors.door import DoorError
from spread.events import AnyEvent, Rejected
from spread.hashing import Hashing

_HELD: Final = 20_000
"""Events that wait at most; then `publish` does."""


class Hopper:
    """The sink of one connector. `take` and `taken` are for the engine's thread."""

    def __init__(self, hashing: Hashing | None) -> None:
        self._hashing = hashing
        self._changed = threading.Condition()
        self._waiting: deque[tuple[list[AnyEvent], Callable[[], None] | None]] = deque()
        self._held = 0
        self._rejected: Counter[str] = Counter()
        self._closed = False

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        """Take events in; `on_safe` is called once the engine has them for good."""
        given = [event if self._hashing is None else self._hashing.event(event) for event in events]
        with self._changed:
            while self._held and self._held + len(given) > _HELD and not self._closed:
                self._changed.wait()
            if self._closed:
                raise DoorError("the engine takes nothing more")
            self._waiting.append((given, on_safe))
            self._held += len(given)

    def reject(self, rejected: Sequence[Rejected], source: str) -> None:
        """Count them by reason: without Kafka there is no place for dead letters."""
        with self._changed:
            self._rejected.update(one.reason for one in rejected)

    def rejected(self) -> Counter[str]:
        """What was rejected since this was last asked, by reason."""
        with self._changed:
            found, self._rejected = self._rejected, Counter()
        return found

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until the engine has all of it."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._waiting and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise DoorError(f"{self._held:,} events are not in the engine after {timeout_s:g} s")
                self._changed.wait(left)

    def close(self) -> None:
        """Let go of what the engine has not taken."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def feed(self, engine: Callable[[list[AnyEvent]], None]) -> bool:
        """Give the engine what waits; whether there was anything."""
        with self._changed:
            batch = [*self._waiting]
        if not batch:
            return False
        engine([event for events, _ in batch for event in events])
        for _, on_safe in batch:
            if on_safe is not None:
                on_safe()
        with self._changed:
            for events, _ in batch:
                if self._waiting:
                    self._waiting.popleft()
                self._held -= len(events)
            self._changed.notify_all()
        return True
