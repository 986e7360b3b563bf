"""What networks in small have in common that are asked over HTTP, page by page, and push beside it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.rehearsals import Rehearsal
from tests.replay import Answer, Replay, replay


class Pulled(ABC):
    """A network on a server of its own, as long as its block lasts."""

    def __init__(self) -> None:
        self.broken: list[Answer] = []
        """What the next pulls are answered with."""
        self.http = Replay("", 0)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.http = self._stack.enter_context(replay())
        self.http.respond = self._respond
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Give the options that lead a connector here."""

    @abstractmethod
    def _respond(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a question."""


class PulledRehearsal(Rehearsal):
    """Such a network for the standard suite, by its pull."""

    server: Pulled

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self.server.__enter__()
        self.calls = self.server.http.moments
        self.options = self.server.options()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.server.__exit__(kind, error, trace)

    def hush(self, part: bytes, every_s: float) -> None:
        """Begin the answer to the next pull with a sign of life, and say that again and again, or nothing more."""

        def say(send: Callable[[bytes], object]) -> None:
            send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            send(b"1\r\n \r\n")
            while not self._over.wait(every_s):
                send(part)

        self.server.broken.append(Answer(raw=say))

    def cut(self) -> None:
        """Break off the next pull, in the middle of an answer."""
        self.server.broken.append(Answer({"data": [], "elements": []}, cut=5))
