"""From an append in Kafka to the number on /metrics, at a steady thousand events a second.

One worker as its command runs it, RocksDB and changelogs included; events go through the door one by one, as a
connector brings them, and /metrics is asked again and again. The time of an event is that between its record's
timestamp in Kafka and the first answer whose number has it in. The clock counts, so this is no ratio and has no bound.
"""

import tempfile
import threading
import time
from bisect import bisect_left
from pathlib import Path
from statistics import quantiles
from typing import Final
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition

from bench.result import Result
from connectors.door import Door
from spread.events import AnyEvent, Post, Share, decode
from streams.topics import SOCIAL_EVENTS
from tests.broker import kafka
from tests.crew import PARTITIONS, crew

RATE: Final = 1_000
SECONDS: Final = 30
_WARM_UP: Final = 5 * RATE
_NOW: Final = 1_760_000_000_000


def measure() -> list[Result]:
    """Median and 99th percentile, in milliseconds."""
    n = RATE * SECONDS
    with tempfile.TemporaryDirectory() as folder, kafka() as servers:
        prefix = f"bench-{uuid4().hex[:12]}-"
        with crew(servers, prefix, Path(folder)) as hands:
            child = hands.start()
            hands.ready(child)
            seen: list[tuple[float, int]] = []
            sender = threading.Thread(target=_send, args=(servers, prefix + SOCIAL_EVENTS, n))
            sender.start()
            while not seen or seen[-1][1] < n:
                nodes = sum(v for (name, _), v in child.samples().items() if name == "ricochet_offer_nodes")
                seen.append((time.time(), int(nodes)))
            sender.join()
            appended = _appended(servers, prefix + SOCIAL_EVENTS, n)
    counts = [count for _, count in seen]
    waits = [1000 * seen[bisect_left(counts, k)][0] - at for k, at in enumerate(appended, 1)][_WARM_UP:]
    cuts = quantiles(waits, n=100)
    return [
        Result(f"append to /metrics at {RATE:,} events/s: median", cuts[49], "ms"),
        Result("  99th percentile", cuts[98], "ms"),
    ]


def _send(servers: str, topic: str, n: int) -> None:
    post = Post(v=1, id="x:0", network="x", at=_NOW, actor="x:acme", offer="offer", root="x:0")
    events: list[AnyEvent] = [post]
    for k in range(1, n):
        share = Share(v=1, id=f"x:{k}", network="x", at=_NOW + k, actor=f"x:{k % 5_000}", offer="offer", root="x:0")
        events.append(share)
    with Door(servers, topic) as door:
        started = time.monotonic()
        for k, event in enumerate(events):
            time.sleep(max(0.0, started + k / RATE - time.monotonic()))
            door.publish([event])
        door.flush()


def _appended(servers: str, topic: str, n: int) -> list[int]:
    """When each event was appended (ms), by the timestamp of its record, in order."""
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        times: list[int] = []
        while len(times) < n:
            for records in consumer.poll(timeout_ms=1_000).values():
                for record in records:
                    times += [record.timestamp] * len(decode(record.value))
        return sorted(times)
    finally:
        consumer.close()
