"""Runs one connector: connects, reads, completes, publishes, and moves the cursor once all of it is safe.

- Events go through a sink (the door to Kafka, or the embedded engine) that says when they are safe. Then cursor and
  index change in the journal in one transaction, at most once a second, and the pages' acks are called.
- A connector that failed is closed and connected again at the cursor behind the last page read: what is on its way in
  the sink stays so. A sink that failed is opened anew, and everything begins again at the last cursor saved.
- How it waits between two tries is said in `connectors.lasting`. A page that was read begins the count anew.
- What is on its way is bounded by the sink, which lets `publish` wait; then nothing is read either.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tenacity import (
    RetryCallState,
    wait_random_exponential,
)

from connectors.clock import now_ms
from connectors.completion import Completion
from connectors.connector import (
    Blind,
    Connector,
    CursorRejected,
    NotConnected,
    Page,
    RateLimited,
    Refused,
)
from connectors.door import DoorError
from connectors.journal import Journal, JournalError
from connectors.lasting import Lasting, Log, Sink, guarded, place
from spread.events import AnyEvent, Gap, Rejected

READ_S: Final = 0.5
"""How long a read waits at most, and with it what is due meanwhile."""
SAVE_S: Final = 1.0
_FLUSH_S: Final = 10.0
_DAY_S: Final = 86_400

_T = TypeVar("_T")


@dataclass
class Status:
    """How a connector does. Written by its runner, read by anybody."""

    name: str
    network: str
    state: str = "starting"
    """starting, reading, waiting, refused, failed or stopped."""
    why: str = ""
    messages: int = 0
    events: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    last_gap: float | None = None
    """Wall clock (s) at which the last gap was found."""
    reconnects: int = 0
    rate_limits: int = 0
    heard_ms: int | None = None
    """Event time behind the saved cursor."""
    last_message: float | None = None
    """Wall clock (s) of the last message."""
    unsafe_pages: int = 0
    expires_ms: int | None = None
    """When its credentials end."""
    warns: str | None = None
    """What a person should see to though it reads."""

    def trouble(self) -> str | None:
        """Why it does not read, None if it does."""
        return None if self.state == "reading" else f"{self.name}: {self.state}{self.why and f', {self.why}'}"


class Runner(Lasting):
    """Runs `connector` in a thread of its own, from `start` until `stop` or until a person has to act.

    `open_sink` opens what events go through, and may raise `DoorError`. `wait_s` is the first wait at most; `saw` is
    told the events that were sent, before the cursor is behind them.
    """

    def __init__(
        self,
        connector: Connector,
        journal: Journal,
        completion: Completion,
        open_sink: Callable[[], Sink],
        log: Log,
        *,
        wait_s: float = 1.0,
        longest_wait_s: float = 60.0,
        retention_ms: int | None = None,
        saw: Callable[[list[AnyEvent]], None] = lambda _: None,
    ) -> None:
        declared = connector.declared
        super().__init__(
            f"connector {declared.name}",
            open_sink,
            wait_random_exponential(multiplier=wait_s, max=longest_wait_s),
            wait_random_exponential(multiplier=30 * wait_s, max=15 * longest_wait_s),
        )
        self.status = Status(declared.name, declared.network, heard_ms=journal.heard)
        self._connector, self._journal, self._completion = connector, journal, completion
        self._log, self._retention_ms, self._saw = log, retention_ms, saw
        self._safe = 0
        """The last page that is safe; set in any thread."""
        self._acks: deque[tuple[int, Callable[[], None]]] = deque()
        self._saved_at = 0.0
        self._pruned_at: float | None = None

    def _run(self) -> None:
        try:
            self._persist()
        except Refused as error:
            self._end("refused", str(error))
            return
        except JournalError as error:
            self._end("failed", str(error))
            return
        except Exception as error:  # a defect: it has to show, and must not take the others along
            self._end("failed", place(error))
            return
        finally:
            self._close()
        self.status.state, self.status.why = "stopped", ""

    def _session(self, tries: RetryCallState) -> None:
        """Connect and read until told to stop, or until something fails."""
        try:
            if self._sink is None:
                self._sink = self._open_sink()
            self._attempt(self._connect)
            self.status.state, self.status.why = "reading", ""
            self._heed()
            while not self._stop.is_set():
                page = self._attempt(lambda: self._connector.read(READ_S))
                self._heed()
                self._save()
                self._prune(is_behind=page is not None)
                if page is not None:
                    tries.attempt_number = 1
                    self._take(page)
                    # A first cursor is saved before anything follows it: else a crash would be a second cold start.
                    self._save(at_once=self.status.heard_ms is None)
                    self._pause(page.again_s)
        except DoorError as error:
            self._drop_sink()
            raise NotConnected(str(error)) from None
        finally:
            guarded(self._connector.close)

    def _connect(self) -> None:
        self._connector.connect(self._journal.cursor)

    def _heed(self) -> None:
        """Pass on what a person should see to, once."""
        status = self.status
        status.expires_ms = self._connector.expires_ms
        if self._connector.warns != status.warns:
            status.warns = self._connector.warns
            if status.warns is not None:
                self._log.warning("needs attention", connector=status.name, why=status.warns)

    def _attempt(self, call: Callable[[], _T]) -> _T | None:
        """Call the connector. Where the network does not take the cursor, it begins anew, with a gap."""
        try:
            return guarded(call)
        except CursorRejected as error:
            if self._journal.cursor in (None, error.earliest):
                raise NotConnected(str(error)) from None
            self._cold_start(error)
            return None

    def _cold_start(self, error: CursorRejected) -> None:
        self._log.warning("cold start", connector=self.status.name, why=str(error))
        guarded(self._connector.close)
        guarded(lambda: self._connector.connect(error.earliest))
        now = now_ms()
        since = self._journal.heard if self._journal.heard is not None else now
        until = max(since, now if error.seen_from is None else error.seen_from)
        self._send([self._gap(Blind(since, until, str(error)))], error.earliest, until)

    def _take(self, page: Page) -> None:
        """Complete a page and send it on its way."""
        status = self.status
        events: list[AnyEvent] = [] if page.blind is None else [self._gap(page.blind)]
        rejected: list[Rejected] = []
        for raw in page.raw:
            for seen in self._connector.normalise(raw):
                if isinstance(seen, Rejected):
                    rejected.append(seen)
                    status.rejected[seen.reason] += 1
                    self._log.warning("rejected", connector=status.name, reason=seen.reason, why=seen.detail)
                else:
                    events += self._completion.events(seen, page.source)
        if page.raw:
            status.messages += len(page.raw)
            status.last_message = time.time()
        cursor = page.cursor if page.cursor is not None else self._journal.cursor
        self._send(events, cursor, page.heard, page.ack, rejected)

    def _send(
        self,
        events: list[AnyEvent],
        cursor: str | None,
        heard: int | None,
        ack: Callable[[], None] | None = None,
        rejected: Sequence[Rejected] = (),
    ) -> None:
        number = self._journal.turn(cursor, heard)
        if ack is not None:
            self._acks.append((number, ack))
        assert self._sink is not None
        if rejected:
            self._sink.reject(rejected, f"connector {self.status.name}")
        if events or rejected or self._journal.unsaved > 1:
            self._sink.publish(events, lambda: self._is_safe(number))
        else:
            self._is_safe(number)  # nothing else is on its way
        self._saw(events)
        self.status.events.update(str(event.__struct_config__.tag) for event in events)
        self.status.unsafe_pages = self._journal.unsaved

    def _is_safe(self, number: int) -> None:
        self._safe = max(self._safe, number)

    def _gap(self, blind: Blind) -> Gap:
        self.status.gaps += 1
        self.status.last_gap = time.time()
        network = self.status.network
        return Gap(
            v=1,
            id=f"{network}:gap/{self.status.name}/{blind.from_ms}-{blind.to_ms}",
            network=network,
            at=blind.to_ms,
            from_=blind.from_ms,
            to_=blind.to_ms,
            why=blind.why,
        )

    def _save(self, at_once: bool = False) -> None:
        """Make last what is safe, if it is time."""
        now = time.monotonic()
        due = at_once or now - self._saved_at >= SAVE_S or (self._acks and self._acks[0][0] <= self._safe)
        if not due or not self._journal.unsaved:
            return
        self._saved_at = now
        number = self._safe
        self._journal.save(number)
        self.status.heard_ms, self.status.unsafe_pages = self._journal.saved_heard, self._journal.unsaved
        while self._acks and self._acks[0][0] <= number:
            self._acks.popleft()[1]()

    def _prune(self, is_behind: bool) -> None:
        """Once a day, let the journal go of what is too old. While it catches up, what that is follows what it heard.

        Else a share of long ago would not find its post, which came a page before.
        """
        if self._retention_ms is None or (self._pruned_at is not None and time.monotonic() - self._pruned_at < _DAY_S):
            return
        now = now_ms()
        heard = self.status.heard_ms
        if is_behind:
            now = min(now, now if heard is None else heard)
        self._pruned_at = time.monotonic()
        self._journal.prune(now - self._retention_ms)

    def _pause(self, seconds: float) -> None:
        """Wait until it is worth reading again; what becomes safe meanwhile is saved."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, READ_S))
            self._save()

    def _waits(self, error: BaseException | None, seconds: float) -> None:
        limited = isinstance(error, RateLimited)
        self.status.state, self.status.why = "waiting", str(error)
        self.status.rate_limits += limited
        self.status.reconnects += not limited
        self._log.warning(
            "rate limited" if limited else "not connected",
            connector=self.status.name,
            why=str(error),
            wait_s=round(seconds, 1),
        )

    def _drop_sink(self) -> None:
        """Begin again at the last cursor saved."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        self._acks.clear()
        self._journal.rewind()

    def _close(self) -> None:
        """Make what was read safe if that is possible, and let go."""
        if self._sink is None:
            return
        try:
            self._sink.flush(_FLUSH_S)
            self._save(at_once=True)
        except (DoorError, JournalError) as error:
            self._log.warning("not all is safe", connector=self.status.name, why=str(error))
        self._sink.close()

    def _end(self, state: str, why: str) -> None:
        self.status.state, self.status.why = state, why
        self._log.error(state, connector=self.status.name, why=why)
