"""A thread of a connector that goes on for as long as it may, and the sink that its events go through.

What fails for a time is tried again. Between two tries it waits with full jitter, and as long as the network says where
it does.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random,
    wait_random_exponential,
)

from connectors.connector import ConnectorError, NotConnected, RateLimited
from connectors.door import DoorError
from connectors.journal import JournalError
from spread.events import AnyEvent, Rejected

_T = TypeVar("_T")


class Sink(Protocol):
    """Where events become safe, as `connectors.door.Door`. What fails is a `DoorError`; then it takes nothing more."""

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        """Take events in; `on_safe` is called, in any thread, once these and all before are safe."""

    def reject(self, rejected: Sequence[Rejected], source: str) -> None:
        """Bring what `source` could not read to the dead letters; it is safe before what is published after it."""

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all is safe."""

    def close(self) -> None:
        """Let go of what is not safe."""


class Log(Protocol):
    """What a thread tells, as structlog takes it."""

    def info(self, event: str, **more: object) -> object:
        """Something normal."""

    def warning(self, event: str, **more: object) -> object:
        """Something that a person may want to know."""

    def error(self, event: str, **more: object) -> object:
        """Something that a person has to act on."""


class Lasting(ABC):
    """The thread. `open_sink` may raise `DoorError`; `after_limit` is the wait where a network is asked too much."""

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        full_jitter: wait_random_exponential,
        after_limit: wait_random_exponential | None = None,
    ) -> None:
        self._open_sink = open_sink
        self._full_jitter, self._after_limit = full_jitter, after_limit or full_jitter
        self._sink: Sink | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """End, with what is under way safe if that is possible in time; whether the thread has ended."""
        self._stop.set()
        self._thread.join(timeout_s / 2)
        if self._thread.is_alive() and self._sink is not None:
            self._sink.close()  # it waits in publish
        self._thread.join(timeout_s / 2)
        return not self._thread.is_alive()

    @abstractmethod
    def _run(self) -> None:
        """All that the thread does."""

    @abstractmethod
    def _session(self, tries: RetryCallState) -> None:
        """Work until told to stop, or until something fails. What goes well begins the count of `tries` anew."""

    @abstractmethod
    def _waits(self, error: BaseException | None, seconds: float) -> None:
        """Tell that it waits before the next try."""

    def _persist(self) -> None:
        """Have one session after another until told to stop. Raises what no wait helps against."""
        sessions = Retrying(
            wait=self._wait,
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            retry=retry_if_exception_type((NotConnected, RateLimited)),
            before_sleep=lambda tries: self._waits(_failure(tries), tries.upcoming_sleep),
            reraise=True,
        )
        with suppress(NotConnected, RateLimited):  # told to stop while it waited
            for attempt in sessions:
                with attempt:
                    self._session(attempt.retry_state)

    def _wait(self, tries: RetryCallState) -> float:
        """Seconds until the next try."""
        error = _failure(tries)
        after_s = error.after_s if isinstance(error, NotConnected | RateLimited) else None
        if after_s is not None:
            return after_s + wait_random(0, 1)(tries)
        return (self._after_limit if isinstance(error, RateLimited) else self._full_jitter)(tries)


def guarded(call: Callable[[], _T]) -> _T:
    """Call a connector. An error of no kind that the contract knows is a lost connection.

    Its text is not told, since it may hold an address with a token in it.
    """
    try:
        return call()
    except (ConnectorError, DoorError, JournalError):
        raise
    except Exception as error:
        raise NotConnected(place(error)) from None


def place(error: BaseException) -> str:
    """The kind of an error and where it came up, without its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
    return f"{type(error).__name__}{where}"


def _failure(tries: RetryCallState) -> BaseException | None:
    return tries.outcome.exception() if tries.outcome is not None else None
