"""One Faust worker: both stages as agents on the partitions that the group gives it.

Messages are taken in as they come and acknowledged in order, at a flush, once the broker has all that came of them.
Whatever goes wrong on the way ends the process: what is not acknowledged comes again, here or elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP, EventT

from spread.events import DAY_MS, MAX_MESSAGE_BYTES
from spread.offer import Offer
from spread.partition import partition
from spread.registry import JobOffer
from spread.thresholds import DEFAULTS, Thresholds
from streams import heap, wire
from streams.clock import wall_clock
from streams.ending import Ending, bound
from streams.health import Health
from streams.keeping import Keeping
from streams.membership import Membership
from streams.past import Past
from streams.reading import Reading
from streams.rows import PartitionRows
from streams.suppression import adopt
from streams.tables import RowsTable, send_rows
from streams.task import Flush, Incoming, OffersTask, PeopleTask, Task
from streams.topics import OFFER_EVENTS, OFFERS_TABLE, PEOPLE_TABLE, SOCIAL_EVENTS, Layout
from streams.watch import Alert

PENDING_BYTES: Final = 64 * 2**20
_PENDING_SHARE: Final = 8
"""A worker takes in no more messages than this, and than this part of a stage's memory, before the next flush."""
FLUSH_S: Final = 0.1
LONGEST_FLUSH_S: Final = 1.0
_FLUSH_SHARE: Final = 8
_LARGE_BYTES: Final = 16 * 2**10
"""A message as large as this makes so much state that the garbage collector had better know."""
SESSION_S: Final = 10.0


@dataclass(frozen=True)
class Lag:
    """How far a task is behind: events (from messages, by their mean size so far) and seconds."""

    stage: str
    events: int
    seconds: float


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker has to know. `memory` is in bytes, of objects at hand for each stage."""

    servers: str
    layout: Layout
    folder: Path
    instance: str
    """The name of its static membership: another worker with the same one fences it."""
    url: str
    """Where it answers."""
    keeping: Keeping
    memory: int
    """Bytes of objects that a stage keeps at hand, about; RocksDB takes a third more."""
    in_memory: bool = False
    stalled_s: float = 60.0
    """Without progress for so long, it is in trouble."""
    hash: Callable[[str], str] = field(default=lambda text: text)
    options: dict[str, Any] = field(default_factory=dict)
    about: Callable[[str], JobOffer] = JobOffer.unknown
    """What is known of an offer beside how it spreads."""
    thresholds: Thresholds = DEFAULTS


class Worker:
    """The worker; `run` is its life. It is asked between two steps of the event loop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.health = Health()
        self._people: dict[int, PeopleTask] = {}
        self._offers: dict[int, OffersTask] = {}
        self._past = Past()
        self.rebalances = 0
        self.flush_seconds = 0.0
        self._collecting_s = 0.0
        self._generation = 0
        self._flushing = asyncio.Lock()
        self._room = asyncio.Event()
        self._flushed_at = time.monotonic()
        self.is_recovered = False
        self.app = self._application()
        self._reading = Reading(self.app)
        self._membership = Membership(self.app)
        self.app.on_partitions_revoked.connect(self._forget_tasks)
        self.app.on_partitions_assigned.connect(self._forget_tasks)
        self.app.on_rebalance_complete.connect(self._begin)
        layout, memory = settings.layout, None if settings.in_memory else settings.memory // 3
        self._tables = {
            name: RowsTable(self.app, name, partitions, memory=memory, deletions_ms=layout.deletions_ms)
            for name, partitions in (
                (PEOPLE_TABLE, layout.social_partitions),
                (OFFERS_TABLE, layout.offer_partitions),
            )
        }
        for table in self._tables.values():
            self.app.tables.add(table)
        for topic, tasks in ((SOCIAL_EVENTS, lambda: self._people), (OFFER_EVENTS, lambda: self._offers)):
            channel = self.app.topic(
                layout.name(topic), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
            self.app.agent(channel, name=topic)(self._agent(tasks))

    @property
    def tasks(self) -> Iterator[Task]:
        """All tasks that the worker has now."""
        yield from self._people.values()
        yield from self._offers.values()

    def stages(self) -> dict[str, list[Task]]:
        """The tasks by the name of their stage."""
        return {"people": [*self._people.values()], "offers": [*self._offers.values()]}

    async def run(self, stop: asyncio.Event, ending: Ending) -> None:
        """Work until told to stop, then end. Raises what ended it otherwise."""
        self._reading.attach()
        bound(self.app)
        stopping = asyncio.create_task(stop.wait())
        tasks: list[asyncio.Task[Any]] = [stopping, asyncio.create_task(self.app.start())]  # it reads whole tables
        try:
            await _first(tasks)
            if not stopping.done():
                parts = (self._flush_on(), self._settle_on(), self._reading.look_on(), self.app.wait_until_stopped())
                tasks = [stopping, *map(asyncio.create_task, parts)]
                await _first(tasks)
            if self.app.crash_reason is not None:
                raise self.app.crash_reason
            await ending.wait(self.flush())
        finally:
            for task in tasks:
                task.cancel()
            await ending.wait(self.app.stop())

    async def flush(self) -> None:
        """Have everything taken in so far made safe, and acknowledge it."""
        self._membership.check()
        async with self._flushing:
            generation, started = self._generation, time.monotonic()
            with heap.growing():
                for task in self.tasks:
                    task.expire(wall_clock())
                collecting = time.monotonic()
                flushes = self._collect(collecting)
            self._collecting_s = time.monotonic() - collecting
            self._room.set()
            sent = [(task, flush, await self._send(task, flush)) for task, flush in flushes]
            for task, flush, (rows, others) in sent:
                offsets = [(await batch).offset + n - 1 for n, batch in rows]
                await asyncio.gather(*others)
                if generation != self._generation:
                    return  # the partitions may be another's by now, to whom all this comes again
                task.done(flush, max(offsets, default=None))
            self._flushed_at = time.monotonic()
            self.flush_seconds = self._flushed_at - started

    def owner(self, id: str) -> str | None:
        """Where another worker answers for an offer, as far as this one knows.

        Empty where this one does, None while nobody does.
        """
        if self._task_of(id) is not None:
            return "" if self.is_recovered else None
        layout = self.settings.layout
        changelog, number = layout.changelog(OFFERS_TABLE), partition(id, layout.offer_partitions)
        for url, partitions in self.app.assignor.tables_metadata().items():
            if number in partitions.get(changelog, ()) and str(url) != self.settings.url:
                return str(url)
        return None

    def offer(self, id: str) -> Offer:
        """One offer of this worker, to ask it. An unknown one is empty."""
        task = self._task_of(id)
        return Offer(id) if task is None else task.stage.offer(id, task.rows)

    def knows(self, id: str) -> bool:
        """Whether anything has come of an offer."""
        task = self._task_of(id)
        return task is not None and task.stage.knows(id, task.rows)

    def offers(self) -> list[str]:
        """The ids of this worker's offers."""
        return [id for task in self._offers.values() for id in task.stage.ids(task.rows)]

    def busy(self) -> Iterator[Offer]:
        """The offers in memory."""
        for task in self._offers.values():
            yield from task.stage.loaded()

    def alerts(self) -> list[Alert]:
        """What was told lately of this worker's offers."""
        return sorted((one for task in self._offers.values() for one in task.watch.recent), key=lambda one: one.at)

    def state_bytes(self) -> int:
        """Bytes of the tables on disk."""
        return sum(path.stat().st_size for path in self.settings.folder.rglob("*") if path.is_file())

    def tables_in_use(self) -> set[str]:
        """The names of the folders of the partitions that this worker has on disk."""
        return {name for table in self._tables.values() for name in table.in_use()}

    def lags(self) -> Iterator[Lag]:
        """How far each task is behind its partition."""
        now = wall_clock()
        for task in self.tasks:
            behind = self._behind(task)
            each = max(1.0, task.items / task.applied if task.applied else 1.0)
            seconds = (now - task.recorded_at) / 1000 if behind else 0.0
            yield Lag(task.stage.name, round(behind * each), max(0.0, seconds))

    def _behind(self, task: Task) -> int:
        """Messages of a task's partition that are not acknowledged, as far as Kafka has told."""
        tp = TP(self.settings.layout.name(task.topic), task.number)
        return max(0, self._reading.end_of(tp) - self._committed(tp))

    def _committed(self, tp: TP) -> int:
        offsets: dict[TP, int | None] = self.app.consumer._committed_offset  # type: ignore[attr-defined]
        return offsets.get(tp) or 0

    def trouble(self) -> str | None:
        """Why the worker is not ready, in words, or None if it is."""
        long_ago = time.monotonic() - self.settings.stalled_s
        if self._membership.heard_at() < long_ago:
            return "stalled: Kafka does not answer"
        if not self.is_recovered:
            return "recovering"
        if self._flushed_at < long_ago:
            return "stalled: the last flush was long ago"
        if any(task.took_at < long_ago and self._behind(task) for task in self.tasks):
            return "lagging without progress"
        return None

    def _application(self) -> faust.App:
        settings, layout = self.settings, self.settings.layout
        return faust.App(
            layout.app,
            broker=[f"kafka://{server.strip()}" for server in settings.servers.split(",")],
            autodiscover=False,
            datadir=str(settings.folder),
            canonical_url=settings.url,
            web_enabled=False,
            store="memory://",
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_replication_factor=layout.replication,
            topic_partitions=layout.offer_partitions,
            table_standby_replicas=0,
            consumer_group_instance_id=settings.instance,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=SESSION_S,
            broker_heartbeat_interval=SESSION_S / 5,
            broker_commit_interval=0.5,
            producer_linger=0.02,
            producer_max_batch_size=2**20,
            producer_max_request_size=MAX_MESSAGE_BYTES,
            stream_buffer_maxsize=64,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            **settings.options,
        )

    async def _forget_tasks(self, *_: Any, **__: Any) -> None:
        """Partitions go or come: what is in memory may be another's to change. What is unacknowledged comes again."""
        self._generation += 1
        self.is_recovered = False
        self._people, self._offers = {}, {}
        self._reading.end()
        self._room.set()

    async def _begin(self, *_: Any, **__: Any) -> None:
        """The tables are whole again."""
        generation, layout = self._generation, self.settings.layout
        starts = await self._reading.starts()
        again = self.app.tables.recovery.signal_recovery_start  # type: ignore[attr-defined]
        if generation != self._generation or again.is_set():
            return  # it was the end of a recovery that another rebalance has overtaken
        social, offers = layout.name(SOCIAL_EVENTS), layout.name(OFFER_EVENTS)
        mine = sorted(tp for tp in self.app.assignor.assigned_actives() if tp.topic in (social, offers))
        self._people = {n: self._task(PeopleTask, n) for topic, n in mine if topic == social}
        self._offers = {n: self._task(OffersTask, n) for topic, n in mine if topic == offers}
        for task in self.tasks:
            task.recorded_at, task.took_at = wall_clock(), time.monotonic()
            adopt(task.rows, self.settings.keeping.suppression_key, wall_clock() + DAY_MS)
        for task in self._offers.values():
            task.announce()
        self._reading.begin(starts, mine)
        self.rebalances += 1
        self.is_recovered = True

    def _agent(self, tasks: Callable[[], Mapping[int, Task]]) -> Callable[[Any], Any]:
        async def agent(stream: Any) -> None:
            events: AsyncIterable[EventT[Any]] = stream.noack().events()
            async for event in events:
                await self._take(event, tasks)

        return agent

    async def _take(self, event: EventT[Any], tasks: Callable[[], Mapping[int, Task]]) -> None:
        message = event.message
        task, moment = tasks().get(message.partition), time.monotonic()
        if task is None or not await self._reading.is_next(message.tp, message.offset, moment):
            return
        task.took_at = moment
        from_stage = wire.FROM_STAGE in (event.headers or {}).items()
        incoming = Incoming(message.value or b"", message.offset, int(message.timestamp * 1000), from_stage, event.ack)
        try:
            with heap.growing() if len(incoming.value) >= _LARGE_BYTES else contextlib.nullcontext():
                task.take(incoming, wall_clock())
        except Exception as error:  # Faust would go on with the next one
            self._reading.end()  # which, acknowledged, would carry this one with it
            await self.app.crash(error)
            raise
        if sum(task.pending_bytes for task in self.tasks) > min(PENDING_BYTES, self.settings.memory // _PENDING_SHARE):
            self._room.clear()
            await self._room.wait()

    def _collect(self, moment: float) -> list[tuple[Task, Flush]]:
        """What each task has to send, at a moment of the steady clock."""
        wall = wall_clock()
        for offers in self._offers.values():
            offers.send_snapshots(moment, wall, self.settings.url)
            offers.send_alerts(wall)
        return [(task, task.flush()) for task in self.tasks if task.is_due]

    def _task_of(self, offer: str) -> OffersTask | None:
        return self._offers.get(partition(offer, self.settings.layout.offer_partitions))

    def _task(self, kind: type[Any], number: int) -> Any:
        layout, settings = self.settings.layout, self.settings
        partitions = {SOCIAL_EVENTS: layout.social_partitions, OFFER_EVENTS: layout.offer_partitions}
        rows = PartitionRows(self._tables[kind.table].partition(number))
        shared = (number, rows, partitions, self.health, settings.hash)
        memory = settings.memory // partitions[kind.topic]
        if kind is PeopleTask:
            return PeopleTask(*shared, keeping=settings.keeping, memory=memory)
        return OffersTask(
            *shared,
            keeping=settings.keeping,
            memory=memory,
            about=settings.about,
            thresholds=settings.thresholds,
            past=self._past,
        )

    async def _flush_on(self) -> None:
        while True:
            # Under load a flush is worth more the more it holds, so that it takes a part of the time at most.
            await asyncio.sleep(min(max(FLUSH_S, _FLUSH_SHARE * self._collecting_s), LONGEST_FLUSH_S))
            await self.flush()
            await self._reading.ask_again(time.monotonic())

    async def _settle_on(self) -> None:
        """Once a step, let what was erased leave the changelogs and this machine's disk."""
        while True:
            await asyncio.sleep(self.settings.layout.step_ms / 1000)
            tasks, generation = [*self.tasks], self._generation
            rewritten = [task for task in tasks if task.stage.take_rewritten()]
            for task in tasks:
                task.beat(wall_clock())
            await self.flush()
            for task in rewritten:
                table = self._tables[task.table]
                if generation == self._generation:
                    await table.compact(task.number)
                async with self._flushing:
                    if generation == self._generation:
                        table.reopen(task.number)

    async def _send(self, task: Task, flush: Flush) -> tuple[list[tuple[int, Any]], list[Any]]:
        layout, producer = self.settings.layout, self.app.producer
        changelog = layout.changelog(task.table)
        rows = await send_rows(self.app, changelog, task.number, flush.rows)
        others = [
            await producer.send(layout.name(m.topic), m.key, m.value, m.partition, None, m.headers)
            for m in flush.messages
        ]
        return rows, others


async def _first(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait until one of them ends. Raises what ended it."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
