"""The embedded engine: both stages in one process on one state file.

Facts and the position in the input change in one transaction a batch, so after a kill at any moment the next start
goes on exactly where the state stands.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from spread.events import DAY_MS, AnyEvent, Forget, Rejected, decode
from spread.offer import Offer
from spread.registry import JobOffer
from spread.thresholds import Thresholds
from streams.clock import wall_clock
from streams.health import Health
from streams.keeping import FOREVER, Keeping
from streams.pipeline import Pipeline
from streams.stage import MEMORY
from streams.state import State
from streams.suppression import adopt
from streams.watch import Alert, Watch

_HOUR_MS: Final = 3_600_000


class Embedded:
    """The engine. Without a `path` its state is thrown away at the end. By default it keeps everything.

    Of each stage about `memory` bytes of objects stay at hand; the rest is read from the state when it is asked for.
    """

    def __init__(self, path: Path | None = None, *, keeping: Keeping = FOREVER, memory: int = MEMORY) -> None:
        self.health = Health()
        self._folder = tempfile.TemporaryDirectory(prefix="ricochet-") if path is None else None
        self._state = State(path or Path(self._folder.name) / "state", throwaway=path is None)  # type: ignore[union-attr]
        self._pipeline = Pipeline(self._state.people, self._state.offers, self.health, keeping=keeping, memory=memory)
        self._adopt(keeping)
        self._expired_at: int | None = None
        self._watch: Watch | None = None

    def __enter__(self) -> "Embedded":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def feed(self, events: list[AnyEvent], positions: Mapping[str, str] | None = None, wall: int | None = None) -> None:
        """Take a batch in, together with how far its sources were read, and make both last.

        The retention counts from the newest event time, but never from beyond a day after `wall` (ms): one event from
        the far future must not expire everything. What persons have corrected meanwhile is taken in too.
        """
        newest = max((event.at for event in events), default=0)
        with self._state.trouble():
            corrections = self._state.corrections()
        events = events + [
            event for encoded in corrections.values() for event in decode(encoded) if not isinstance(event, Rejected)
        ]
        now = max(self.health.newest, newest)
        if wall is not None:
            now = min(now, wall + DAY_MS)
        with self._state.trouble():
            self._pipeline.feed(events, now or wall or 0)  # an erasure alone is of now, to be remembered for long
            self._pipeline.flush()
            is_due = self._expired_at is None or now - self._expired_at >= _HOUR_MS
            if is_due:
                self._expired_at = now
                self._pipeline.expire(now)
        self._state.commit(positions or {}, corrections)
        if is_due or any(isinstance(event, Forget) for event in events):
            self._state.settle()

    def watch(self, about: Callable[[str], JobOffer], thresholds: Thresholds) -> None:
        """Have the conditions of the offers looked at from now on. `about` says what is known of an offer itself."""
        self._watch = Watch(self._pipeline.offers, about, thresholds)

    def look(self, now: int) -> list[Alert]:
        """Look at the conditions of some offers at `now` (ms): what is to be told of them."""
        if self._watch is None:
            return []
        with self._state.trouble():
            alerts = self._watch.look(self._state.offers, now)
            if alerts:
                self._pipeline.flush()
        if alerts:
            self._state.commit({}, {})
        return alerts

    def alerts(self) -> list[Alert]:
        """What was told lately."""
        return [] if self._watch is None else [*self._watch.recent]

    def is_corrected(self) -> bool:
        """Whether a person has corrected something that was not taken in yet."""
        with self._state.trouble():
            return bool(self._state.corrections())

    def position(self, source: str) -> str | None:
        """How far a source was read, or None if it never was."""
        with self._state.trouble():
            return self._state.position(source)

    def offer(self, id: str) -> Offer:
        """One offer, to ask it. An unknown one is empty."""
        with self._state.trouble():
            return self._pipeline.offers.offer(id, self._state.offers)

    def report_lines(self, id: str) -> list[bytes]:
        """The report lines of one offer."""
        return list(self.offer(id).report_lines())

    def edge_lines(self, id: str) -> list[bytes]:
        """The edges of one offer, as lines."""
        return self.offer(id).edge_lines()

    def knows(self, id: str) -> bool:
        """Whether anything has come of an offer."""
        with self._state.trouble():
            return self._pipeline.offers.knows(id, self._state.offers)

    def offers(self) -> list[str]:
        """The ids of all offers."""
        with self._state.trouble():
            return self._pipeline.offers.ids(self._state.offers)

    def warm_up(self) -> None:
        """Bring stored offers to hand, as many as the memory allows."""
        with self._state.trouble():
            self._pipeline.offers.warm_up(self._state.offers)
        self.health.newest = max((offer.last_at() for offer in self.busy()), default=0)

    def busy(self) -> Iterable[Offer]:
        """The offers in memory: those that were asked for or acted in last."""
        return self._pipeline.offers.loaded()

    def state_bytes(self) -> int:
        """Bytes of the state file."""
        with self._state.trouble():
            return self._state.nbytes()

    def _adopt(self, keeping: Keeping) -> None:
        """Take over whom an older version remembered as erased."""
        try:
            with self._state.trouble():
                adopted = [
                    adopt(table, keeping.suppression_key, wall_clock() + DAY_MS)
                    for table in (self._state.people, self._state.offers)
                ]
            if any(adopted):
                self._state.commit({})
                self._state.settle()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the state; what was fed is kept, unless the state is thrown away."""
        self._state.close()
        if self._folder is not None:
            self._folder.cleanup()
