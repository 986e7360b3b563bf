"""How fast the door brings events to Kafka, against a loop that sends each by itself with the same client.

Both go to topics of one broker, in turns. The clock counts: most of the loop's time is the client's own work, but what
the door saves is the broker's too.
"""

from statistics import median
from time import perf_counter
from typing import Final
from uuid import uuid4

import msgspec
from kafka import KafkaProducer

from bench.result import Result
from connectors.door import Door
from spread.events import AnyEvent, Share, key
from tests import broker

BATCHED: Final = 200_000
SINGLE: Final = 20_000
FASTER: Final = 5
_ROUNDS: Final = 3
_AT_A_TIME: Final = 1_000
_PARTITIONS: Final = 8


def measure() -> list[Result]:
    """The rate of the door, and as a multiple of the loop's."""
    events: list[AnyEvent] = [
        Share(
            v=1,
            id=f"x:{number}",
            network="x",
            at=1_760_000_000_000 + number,
            actor=f"x:{number % 20_000}",
            offer=f"offer-{number % 100}",
            root=f"x:root-{number % 100}",
            followers=number % 1_000,
            source="stream",
        )
        for number in range(BATCHED)
    ]
    topics = [f"bench-{uuid4().hex[:12]}-{name}" for name in ("batched", "single")]
    with broker.kafka() as servers, broker.admin(servers) as client:
        client.create_topics({topic: {"num_partitions": _PARTITIONS, "replication_factor": 1} for topic in topics})
        client.wait_for_topics(topics)
        rounds = [
            (_batched(servers, topics[0], events), _single(servers, topics[1], events[:SINGLE])) for _ in range(_ROUNDS)
        ]
        client.delete_topics(topics)
    return [
        Result("events through the door", median(batched for batched, _ in rounds), "a second"),
        Result("door, to sending single events", median(one / other for one, other in rounds), at_least=FASTER),
    ]


def _batched(servers: str, topic: str, events: list[AnyEvent]) -> float:
    """Events a second through the door, to the last acknowledgement."""
    with Door(servers, topic) as door:
        door.publish(events[:1])
        door.flush()
        started = perf_counter()
        for first in range(0, len(events), _AT_A_TIME):
            door.publish(events[first : first + _AT_A_TIME])
        door.flush()
        return len(events) / (perf_counter() - started)


def _single(servers: str, topic: str, events: list[AnyEvent]) -> float:
    """Events a second, each in a message of its own, as safe as the door's."""
    with KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=30) as producer:
        producer.send(topic, b"[]").get(60)
        started = perf_counter()
        sent = [producer.send(topic, msgspec.json.encode(event), key(event).encode()) for event in events]
        producer.flush()
        rate = len(events) / (perf_counter() - started)
        assert all(one.succeeded() for one in sent)
        return rate
