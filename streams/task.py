"""A task is one stage on one partition: messages in; at a flush, rows and messages out.

What was taken in is acknowledged only once the broker has all that came of it. A task knows nothing of the engine.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from spread.events import DAY_MS, AnyEvent, Rejected, decode, decode_from_stage, key
from spread.facts import Fact
from spread.partition import partition, partition_of_each
from spread.registry import JobOffer
from spread.thresholds import DEFAULTS, Thresholds
from streams import wire
from streams.health import Health
from streams.keeping import Keeping
from streams.letters import letter
from streams.offers import Offers
from streams.outbox import Message, Outbox
from streams.past import Past
from streams.people import People
from streams.rows import Changes, PartitionRows
from streams.snapshots import Due, snapshot
from streams.table import SUFFIX, Table
from streams.topics import ALERTS, OFFER_EVENTS, OFFERS_TABLE, PEOPLE_TABLE, REJECTED, SOCIAL_EVENTS, SPREAD
from streams.watch import Watch

HOUR_MS: Final = 3_600_000
_SLICE_S: Final = 0.02
"""For obeying the retention between two flushes."""
_BEAT: Final = b"\0beat" + bytes(SUFFIX)


class Stage(Protocol):
    """What a task has to know of its stage."""

    name: str

    def flush(self, table: Table) -> None:
        """Write what is new to the table."""
        ...

    def expiring(self, table: Table, now: int) -> Iterator[None]:
        """Obey the retention, step by step; other things may be done between two of them."""
        ...

    def take_rewritten(self) -> bool:
        """Whether anything was erased or has expired since this was last asked."""
        ...


class Incoming(NamedTuple):
    """A message of a partition. `recorded_at` is its timestamp in ms; `ack` says that it is done with."""

    value: bytes
    offset: int
    recorded_at: int
    from_stage: bool
    ack: Callable[[], Any]


class Flush(NamedTuple):
    """What one flush of a task sends, and whom to tell then."""

    rows: Changes
    messages: list[Message]
    acks: list[Callable[[], Any]]


class Task:
    """What both stages have in common. Not thread-safe."""

    topic: str
    table: str
    stage: Stage

    def __init__(
        self, number: int, rows: PartitionRows, partitions: dict[str, int], health: Health, hash_: Callable[[str], str]
    ) -> None:
        self.number, self.rows = number, rows
        self.pending_bytes = 0
        self.applied = 0
        """Messages taken in since the start."""
        self.items = 0
        """Events or facts in them."""
        self.recorded_at = 0
        """The timestamp of the last one, in ms. Before the first one, when the task began."""
        self.took_at = 0.0
        """When that was, by the steady clock (s); before the first one, when the task began."""
        self._outbox = Outbox(partitions)
        self._partitions, self._health, self._hash = partitions, health, hash_
        self._acks: list[Callable[[], Any]] = []
        self._newest = 0
        self._expired_at: int | None = None
        self._expiring: Iterator[None] = iter(())
        """What is left to be done of the retention."""

    @property
    def is_due(self) -> bool:
        """Whether a flush has anything to do."""
        return bool(self._acks or self._outbox or self.rows.has_news)

    def take(self, message: Incoming, wall: int) -> None:
        """Take a message in; `wall` is the clock, in ms. Never raises for what is wrong with a message.

        Raises `NewerEncoding`, or what is wrong with stored rows: then the message will not be acknowledged.
        """
        self._apply(message, wall)
        self._acks.append(message.ack)
        self.pending_bytes += len(message.value)
        self.applied += 1
        self.recorded_at = message.recorded_at

    def expire(self, wall: int) -> None:
        """Obey the retention, once an hour of event time: a slice of that, so that events need not wait for long."""
        until = time.monotonic() + _SLICE_S
        for _ in self._expiring:
            if time.monotonic() >= until:
                return
        now = self._now(wall)
        if self._newest and (self._expired_at is None or now - self._expired_at >= HOUR_MS):
            self._expired_at = now
            self._expiring = self.stage.expiring(self.rows, now)

    def beat(self, wall: int) -> None:
        """Have something written to the changelog, so that Kafka closes and compacts its segments."""
        self.rows[_BEAT] = b"%d" % wall

    def flush(self) -> Flush:
        """Everything new. No other flush before `done`."""
        self.stage.flush(self.rows)
        acks, self._acks, self.pending_bytes = self._acks, [], 0
        return Flush(self.rows.take(), self._outbox.take(), acks)

    def done(self, flush: Flush, offset: int | None) -> None:
        """The broker has it, the rows up to this offset of the changelog."""
        self.rows.keep(offset)
        for ack in flush.acks:
            ack()

    def _apply(self, message: Incoming, wall: int) -> None:
        raise NotImplementedError

    def _now(self, wall: int) -> int:
        # The retention counts in event time, but one event from the far future must not expire everything.
        # What comes before any event is of now: an erasure, which is to be remembered for long.
        return min(self._newest or wall, wall + DAY_MS)

    def _reject(self, rejected: Rejected, message: Incoming) -> None:
        self._health.rejected[rejected.reason] += 1
        value = letter(rejected, self.topic, self.number, message.offset, self._hash)
        self._outbox.add(Message(REJECTED, None, None, value))


class PeopleTask(Task):
    """PEOPLE on a partition of `social-events`."""

    topic, table = SOCIAL_EVENTS, PEOPLE_TABLE

    def __init__(self, *args: Any, keeping: Keeping, memory: int) -> None:
        super().__init__(*args)
        self._people = self.stage = People(self._health, keeping=keeping, memory=memory)

    def _apply(self, message: Incoming, wall: int) -> None:
        results = decode_from_stage(message.value) if message.from_stage else decode(message.value, message.recorded_at)
        self.items += len(results)
        events: list[AnyEvent] = []
        for result in results:
            if isinstance(result, Rejected):
                self._reject(result, message)
            else:
                events.append(result)
        if not message.from_stage:
            events = self._own(events)
        self._newest = max([self._newest, *(event.at for event in events)])
        with self._health.timed(self.stage.name):
            self._people.apply(events, self.rows, self._outbox.emit, self._now(wall))

    def _own(self, events: list[AnyEvent]) -> list[AnyEvent]:
        """The events of this partition; others are sent on."""
        keys = [key(event) for event in events]
        places = partition_of_each(keys, self._partitions[self.topic])
        if places.count(self.number) == len(places):
            return events
        own: list[AnyEvent] = []
        for event, of, number in zip(events, keys, places, strict=True):
            if number == self.number:
                own.append(event)
            else:
                self._health.foreign[self.stage.name] += 1
                self._outbox.send_on(self.topic, of, wire.social_event(event), from_stage=False)
        return own


class OffersTask(Task):
    """OFFERS on a partition of `offer-events`."""

    topic, table = OFFER_EVENTS, OFFERS_TABLE
    stage: Offers

    def __init__(
        self,
        *args: Any,
        keeping: Keeping,
        memory: int,
        about: Callable[[str], JobOffer] = JobOffer.unknown,
        thresholds: Thresholds = DEFAULTS,
        past: Past | None = None,
    ) -> None:
        super().__init__(*args)
        self.stage = Offers(self._health, keeping=keeping, memory=memory)
        self.snapshots = Due()
        self.watch = Watch(self.stage, about, thresholds, past)

    def announce(self) -> None:
        """Bring stored offers to hand, as many as the memory allows, and have all told where they are now."""
        self.stage.warm_up(self.rows)
        self.snapshots.touch(self.stage.ids(self.rows))

    def send_alerts(self, wall: int) -> None:
        """Look at the conditions of some offers at a moment of the wall clock (ms), and send what is to be told."""
        for alert in self.watch.look(self.rows, wall):
            self._outbox.add(Message(ALERTS, self.number, alert.offer.encode(), msgspec.json.encode(alert)))

    def send_snapshots(self, moment: float, wall: int, worker: str) -> None:
        """Send snapshots that are due at a moment of the steady clock (s) and the wall clock (ms)."""
        for id in self.snapshots.next(moment):
            value = snapshot(self.stage.offer(id, self.rows), wall, worker)
            self._outbox.add(Message(SPREAD, self.number, id.encode(), value))

    def _apply(self, message: Incoming, wall: int) -> None:
        pairs: list[tuple[str | None, Fact]] = []
        for result in wire.open_envelope(message.value):
            if isinstance(result, Rejected):
                self._reject(result, message)
                continue
            offer, fact = result
            if offer is not None and partition(offer, self._partitions[self.topic]) != self.number:
                self._health.foreign[self.stage.name] += 1
                self._outbox.send_on(self.topic, offer, wire.pair(offer, fact), from_stage=True)
                continue
            pairs.append(result)
            self._newest = max(self._newest, getattr(fact, "at", 0))
        self.items += len(pairs)
        self.snapshots.touch(offer for offer, _ in pairs if offer is not None)
        with self._health.timed(self.stage.name):
            self.stage.apply(pairs, self.rows, self._outbox.emit, self._now(wall))
        self.snapshots.touch(self.stage.erased_from)
