"""Questions to a network beside what is live: one at a time, so that nothing waits for them long."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from connectors.api import NotTaken
from connectors.connector import NotConnected, RateLimited, Refused

_TRIES: Final = 3
_LONG_PAUSE_S: Final = 60.0

Ask = Callable[[], list[bytes]]
"""Asks, and gives the messages that the answer makes."""


class Questions:
    """What is still to be asked, with `pause_s` seconds between two questions. Not thread-safe."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._waiting: deque[tuple[Ask, int]] = deque()
        """Each with how often it failed."""
        self._due = 0.0
        self.refused: str | None = None
        """What was first refused since the round began."""

    def begin(self) -> None:
        """Begin a round: what waits, and what was refused, is over."""
        self._waiting.clear()
        self.refused = None

    def plan(self, ask: Ask) -> None:
        """Have something asked after all that waits."""
        self._waiting.append((ask, 0))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be asked."""
        return not self._waiting

    def step(self) -> list[bytes]:
        """Ask one question, if it is time for one. A question that fails is asked again later, three times in all.

        One that is not taken, or refused, has found nothing: what is live goes on.
        """
        if not self._waiting or time.monotonic() < self._due:
            return []
        ask, failed = self._waiting.popleft()
        self._due = time.monotonic() + self._pause_s
        try:
            return ask()
        except NotTaken:
            pass
        except Refused as error:
            self.refused = self.refused or str(error)
        except (NotConnected, RateLimited) as error:
            self._due = time.monotonic() + (error.after_s or _LONG_PAUSE_S)
            if failed + 1 < _TRIES:
                self._waiting.appendleft((ask, failed + 1))
        return []
