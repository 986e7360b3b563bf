"""The door, on a real Kafka: what is published arrives once, in order, in few messages, and is said to be safe then."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.door import BATCH_BYTES, BATCH_EVENTS, DeadLetters, Door, DoorError
from spread.events import AnyEvent, Gap, Post, Rejected, Share, decode, key
from spread.hashing import Hashing
from spread.partition import partition
from tests import broker
from tests.broker import Broker
from tests.processes import HANG_S, until

PARTITIONS = 4
NOON = 1_700_000_000_000


def share(number: int, actor: str) -> Share:
    """Make a share that is told by its number."""
    return Share(v=1, id=f"x:{number}", network="x", at=NOON + number, actor=actor, offer="backend", root="x:0")


def shares(n: int, accounts: int = 50) -> list[AnyEvent]:
    """Make shares by some accounts in turn."""
    return [share(number, f"x:a{number % accounts}") for number in range(1, n + 1)]


def made(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> str:
    """Make a topic."""
    with broker.admin(bootstrap) as client:
        client.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})
        client.wait_for_topics([topic])
    return topic


@pytest.fixture
def topic(kafka: str, prefix: str) -> str:
    """Give a topic with some partitions."""
    return made(kafka, f"{prefix}social-events")


def messages(bootstrap: str, topic: str, ends: dict[int, int]) -> Iterator[Any]:
    """Read all messages of a topic, up to these offsets, the ends included."""
    with KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False) as consumer:
        left = {TopicPartition(topic, number): end for number, end in ends.items()}
        consumer.assign(list(left))
        consumer.seek_to_beginning()
        while left:
            polled = consumer.poll(timeout_ms=int(1000 * HANG_S))
            assert polled, f"nothing comes, {left} is still to come"
            for place, records in polled.items():
                yield from records
                if records[-1].offset >= left.get(place, -1):
                    left.pop(place, None)


def stored(bootstrap: str, topic: str, door: Door) -> list[Any]:
    """Read all messages that the door has brought in."""
    return list(messages(bootstrap, topic, door.positions()))


def events_in(records: Sequence[Any]) -> list[AnyEvent]:
    """Decode messages as a worker does."""
    found = []
    for record in records:
        for event in decode(record.value, record.timestamp):
            assert not isinstance(event, Rejected)
            found.append(event)
    return found


def test_events_arrive_once_and_in_order(kafka: str, topic: str) -> None:
    """Each event lies once in the partition of its key, and those of one key in the order they were published."""
    published: list[AnyEvent] = [*shares(5_000), Gap(v=1, id="g", network="x", at=NOON, from_=1, to_=2, why="outage")]
    with Door(kafka, topic) as door:
        door.publish(published[:2_000])
        door.publish(iter(published[2_000:]))
        door.flush()
        records = stored(kafka, topic, door)
    assert sorted(event.id for event in events_in(records)) == sorted(event.id for event in published)
    order: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for event in events_in([record]):
            assert record.partition == partition(key(event), PARTITIONS)
            order[key(event)].append(event.id)
    assert order == {
        of: [event.id for event in published if key(event) == of] for of in {key(event) for event in published}
    }


def test_messages_are_far_fewer_than_events(kafka: str, topic: str) -> None:
    """A message is an array of up to 500 events, and has a key where they share it."""
    with Door(kafka, topic, linger_s=10) as door:
        door.publish(shares(4_000))
        door.publish(share(number, "x:busy") for number in range(5_000, 5_000 + 3 * BATCH_EVENTS))
        door.flush()
        records = stored(kafka, topic, door)
    sizes = [len(msgspec.json.decode(record.value)) for record in records]
    assert sum(sizes) == 4_000 + 3 * BATCH_EVENTS
    assert max(sizes) <= BATCH_EVENTS
    assert len(sizes) <= 4_000 // BATCH_EVENTS + 3 + PARTITIONS
    keys = {record.key for record in records}
    assert keys == {None, b"x:busy"}
    for record in records:
        if record.key is not None:
            assert {key(event) for event in events_in([record])} == {record.key.decode()}


def test_messages_are_bounded_in_bytes(kafka: str, topic: str) -> None:
    """Long events make shorter arrays; one that is longer than any message is refused, and what came before stays."""
    text = "é" * 10_000
    posts = [
        Post(v=1, id=f"x:{n}", network="x", at=NOON, actor="x:a", offer="o", root=f"x:{n}", text=text)
        for n in range(50)
    ]
    monster = Post(v=1, id="x:m", network="x", at=NOON, actor="x:a", offer="o", root="x:m", also=["o" * 500] * 20_000)
    with Door(kafka, topic) as door:
        door.publish(posts)
        with pytest.raises(DoorError, match=r"event x:m takes 1[0-9,]+ bytes, a message at most 8,388,608"):
            door.publish([monster])
        door.flush()
        records = stored(kafka, topic, door)
    assert len(events_in(records)) == 50
    assert max(len(record.value) for record in records) <= BATCH_BYTES + 2


def test_an_event_does_not_wait_for_others(kafka: str, topic: str) -> None:
    """After the linger a lone event goes, without anybody flushing, and its caller is told."""
    safe = threading.Event()
    with Door(kafka, topic) as door:
        door.publish([share(1, "x:a")], safe.set)
        assert safe.wait(HANG_S)
        assert [event.id for event in events_in(stored(kafka, topic, door))] == ["x:1"]


def test_a_cursor_moves_when_its_events_are_safe_and_in_order(kafka: str, topic: str) -> None:
    """Each `on_safe` comes once, in the order of the calls, when Kafka has all that was published up to there."""
    cursors: list[tuple[int, int]] = []
    with Door(kafka, topic) as door:

        def safe(number: int) -> None:
            cursors.append((number, sum(offset + 1 for offset in door.positions().values())))

        door.publish([], lambda: safe(0))
        for number in range(1, 40):
            door.publish([share(number, f"x:a{number % 7}")], lambda number=number: safe(number))  # type: ignore[misc]
            if number % 10 == 0:
                door.flush()
        door.flush()
        until(lambda: len(cursors) == 40, "the last cursor")
    assert [number for number, _ in cursors] == list(range(40))
    assert all(have for _, have in cursors[1:])


def test_positions_are_the_last_offsets(kafka: str, topic: str) -> None:
    """By partition, the greatest offset that was acknowledged: what a reader has to have passed."""
    with Door(kafka, topic) as door:
        assert door.positions() == {}
        for _ in range(3):
            door.publish([share(1, "x:a")])
            door.flush()
        assert door.positions() == {partition("x:a", PARTITIONS): 2}


def test_several_threads_may_publish(kafka: str, topic: str) -> None:
    """Nothing is lost or doubled when threads share a door, and the order of each stays."""

    def of(writer: int) -> list[AnyEvent]:
        return [share(10_000 * writer + number, f"x:w{writer}") for number in range(2_000)]

    with Door(kafka, topic) as door:
        threads = [threading.Thread(target=door.publish, args=[of(writer)]) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        door.flush()
        found = events_in(stored(kafka, topic, door))
    for writer in range(4):
        assert [event for event in found if key(event) == f"x:w{writer}"] == of(writer)


def test_names_are_hashed_before_they_leave(kafka: str, topic: str) -> None:
    """With a key, no account is in Kafka in clear, and an event lies where its hashed key says."""
    hashing = Hashing(b"secret", own={"x:0"})
    with Door(kafka, topic, hashing=hashing) as door:
        door.publish(shares(100))
        door.flush()
        records = stored(kafka, topic, door)
    assert not [record for record in records if b'"x:a' in record.value]
    assert {key(event) for event in events_in(records)} == {hashing.name(f"x:a{number}") for number in range(50)}
    for record in records:
        assert {partition(key(event), PARTITIONS) for event in events_in([record])} == {record.partition}


def test_a_broker_that_hangs_holds_the_publisher_up_and_loses_nothing(own_broker: Broker) -> None:
    """While the broker is stopped a bounded number of bytes waits; when it goes on, all arrives once and in order."""
    topic = made(own_broker.bootstrap, "social-events")
    most, taken = 200_000, 0
    finished = threading.Event()

    def endless() -> Iterator[AnyEvent]:
        nonlocal taken
        for event in shares(20_000):
            taken += 1
            yield event

    with Door(own_broker.bootstrap, topic, held_bytes=most) as door:
        door.publish([share(0, "x:a")])
        door.flush()
        own_broker.pause()
        publisher = threading.Thread(target=lambda: door.publish(endless(), finished.set))
        publisher.start()
        until(lambda: door.held > most - 1_000, "the door to be full")
        held_up = taken
        with pytest.raises(DoorError, match=r"[0-9,]+ events are not in social-events after 0.5 s"):
            door.flush(0.5)
        assert taken == held_up < 3_000
        assert door.held <= most
        assert not finished.is_set()
        own_broker.resume()
        publisher.join(HANG_S)
        door.flush()
        assert door.held == 0
        found = events_in(stored(own_broker.bootstrap, topic, door))
    assert len(found) == 20_001
    for account in ("x:a1", "x:a2"):
        assert [e.id for e in found if key(e) == account] == [e.id for e in shares(20_000) if key(e) == account]


def test_a_broker_that_is_gone_is_said_and_no_cursor_moves(own_broker: Broker) -> None:
    """What can't be brought in time is named, and the door stays failed: its connector begins again at the cursor."""
    topic = made(own_broker.bootstrap, "social-events", 1)
    moved: list[str] = []
    door = Door(own_broker.bootstrap, topic, delivery_s=2)
    try:
        door.publish([share(0, "x:a")], lambda: moved.append("before"))
        door.flush()
        until(lambda: moved == ["before"], "the first cursor")
        own_broker.stop()
        door.publish(shares(20), lambda: moved.append("after"))
        lost = "20 events for partition 0 of social-events are not in Kafka: "
        with pytest.raises(DoorError, match=lost):
            door.flush()
        with pytest.raises(DoorError, match=lost):
            door.publish(shares(1))
        with pytest.raises(DoorError, match=lost):
            door.publish([], lambda: moved.append("never"))
    finally:
        door.close()
    assert moved == ["before"]


def test_dead_letters_are_safe_before_what_follows_them(own_broker: Broker) -> None:
    """They lie in a topic of their own, no cursor moves past one that Kafka lacks, and without a topic none is sent."""
    topic, dead = made(own_broker.bootstrap, "social-events", 1), made(own_broker.bootstrap, "rejected", 1)
    letters = DeadLetters(dead, lambda one, source: f"{source}: {one.reason}".encode())
    bad = Rejected("not JSON", "", b"geheim")
    moved: list[str] = []
    with Door(own_broker.bootstrap, topic) as without:
        without.reject([bad], "connector x")
        without.publish([], lambda: moved.append("without"))
        until(lambda: moved == ["without"], "the cursor")
    door = Door(own_broker.bootstrap, topic, letters=letters, delivery_s=2)
    try:
        door.reject([bad, bad], "connector x")
        door.publish([], lambda: moved.append("with"))
        door.flush()
        until(lambda: moved == ["without", "with"], "the cursor")
        assert (door.positions(), door.held) == ({}, 0)
        lying = [record.value for record in messages(own_broker.bootstrap, dead, {0: 1})]
        assert lying == [b"connector x: not JSON"] * 2
        own_broker.stop()
        door.reject([bad], "connector x")
        door.publish([], lambda: moved.append("never"))
        with pytest.raises(DoorError, match="1 events for rejected are not in Kafka"):
            door.flush()
    finally:
        door.close()
    assert moved == ["without", "with"]


def test_a_door_can_be_closed_while_the_broker_hangs(own_broker: Broker) -> None:
    """Closing lets go of what is on its way; who still publishes is told."""
    topic = made(own_broker.bootstrap, "social-events", 1)
    door = Door(own_broker.bootstrap, topic)
    own_broker.pause()
    door.publish(shares(1_000))
    door.close()
    door.close()
    with pytest.raises(DoorError, match="the door is closed"):
        door.publish(shares(1))
    own_broker.resume()


def test_a_door_without_its_topic_is_refused(kafka: str, prefix: str) -> None:
    """A topic that does not exist is not made."""
    with pytest.raises(DoorError, match=f"has no topic {prefix}nothing"):
        Door(kafka, f"{prefix}nothing")
    with broker.admin(kafka) as client:
        assert f"{prefix}nothing" not in client.list_topics()
