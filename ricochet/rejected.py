"""Dead letters as a person reads them, and what they were about as it came, for as long as Kafka still has that.

A letter names a place and no person. What stood there is read back from that place, so it may be personal.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, TopicPartition

from ricochet.errors import RicochetError
from ricochet.settings import Settings
from spread.events import UNREADABLE, Rejected, decode
from streams.cluster import CONNECT_MS, trouble
from streams.topics import REJECTED, SOCIAL_EVENTS

_POLL_MS: Final = 1_000
_FAR: Final = 1_000
"""Messages between two that are wanted, which are passed over rather than read."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter: why, and where it stood: nowhere (None) if a connector could not read it.

    `index` is None for a whole message.
    """

    reason: str
    detail: str
    topic: str
    partition: int | None
    offset: int | None
    index: int | None = None

    @property
    def place(self) -> tuple[str, int, int, int]:
        """Where it stood, to be compared."""
        partition, offset, index = (-1 if n is None else n for n in (self.partition, self.offset, self.index))
        return self.topic, partition, offset, index

    def __str__(self) -> str:
        part = "" if self.index is None else f"[{self.index}]"
        where = self.topic if self.offset is None else f"{self.topic}-{self.partition}-{self.offset}{part}"
        return f"{where}: {self.reason}: {self.detail}"


def letters(settings: Settings) -> list[Letter]:
    """All dead letters that Kafka has, in the order of what they are about, one for each place."""
    found: list[Letter] = []
    with _consumer(settings) as consumer:
        place = TopicPartition(settings.layout.name(REJECTED), 0)
        for record in _records(consumer, {place: None}):
            try:
                found.append(msgspec.json.decode(record.value or b"", type=Letter))
            except UNREADABLE:
                raise RicochetError(f"what stands in {place.topic} at {record.offset} is no dead letter") from None
    # A message that was taken in twice, because a worker was killed, has two letters.
    placed = {letter for letter in found if letter.offset is not None}
    return sorted([*placed, *(letter for letter in found if letter.offset is None)], key=lambda letter: letter.place)


def inputs(settings: Settings, told: Iterable[Letter]) -> Iterator[tuple[Letter, bytes | None]]:
    """Each letter about social events with what it is about, as it came; None where Kafka has it no more."""
    wanted: defaultdict[tuple[int, int], list[Letter]] = defaultdict(list)
    for letter in told:
        if letter.topic == SOCIAL_EVENTS and letter.partition is not None and letter.offset is not None:
            wanted[letter.partition, letter.offset].append(letter)
    with _consumer(settings) as consumer:
        for number in sorted({number for number, _ in wanted}):
            offsets = {offset for of, offset in wanted if of == number}
            place = TopicPartition(settings.layout.name(SOCIAL_EVENTS), number)
            for record in _records(consumer, {place: offsets}):
                parts = _parts(record.value or b"", record.timestamp)
                for letter in wanted.pop((number, record.offset)):
                    yield letter, parts.get(letter.index)
    for gone in wanted.values():
        yield from ((letter, None) for letter in gone)


def _parts(message: bytes, recorded_at: int) -> dict[int | None, bytes]:
    """The parts of a message by their place; None is all of it."""
    parts: dict[int | None, bytes] = {None: message}
    for index, part in enumerate(decode(message, recorded_at)):
        if isinstance(part, Rejected):
            parts[part.index] = part.raw
        else:
            parts[index] = msgspec.json.encode(part)
    return parts


def _consumer(settings: Settings) -> Any:
    with trouble(settings.kafka):
        return KafkaConsumer(
            bootstrap_servers=settings.kafka,
            bootstrap_timeout_ms=CONNECT_MS,
            enable_auto_commit=False,
            **settings.kafka_options.client(),
        )


def _records(consumer: Any, wanted: Mapping[TopicPartition, set[int] | None]) -> Iterator[Any]:
    """The records of partitions at some offsets, or all that there are now."""
    with trouble(", ".join(consumer.config["bootstrap_servers"])):
        places = [*wanted]
        consumer.assign(places)
        starts, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        for place, offsets in wanted.items():
            for start, end in [(starts[place], ends[place])] if offsets is None else _runs(offsets):
                consumer.seek(place, max(start, starts[place]))
                yield from _read(consumer, place, min(end, ends[place]), offsets)


def _read(consumer: Any, place: TopicPartition, end: int, offsets: set[int] | None) -> Iterator[Any]:
    while consumer.position(place) < end:
        for record in consumer.poll(timeout_ms=_POLL_MS).get(place, ()):
            if record.offset < end and (offsets is None or record.offset in offsets):
                yield record


def _runs(offsets: set[int]) -> Iterator[tuple[int, int]]:
    """The stretches of offsets that follow each other closely, as start and end."""
    ordered = sorted(offsets)
    start = last = ordered[0]
    for offset in ordered[1:]:
        if offset - last > _FAR:
            yield start, last + 1
            start = offset
        last = offset
    yield start, last + 1
