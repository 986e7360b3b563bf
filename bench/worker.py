"""A worker with everything against the plainest Faust agent there can be, on one broker, in turns.

The plain agent counts single events in a table, as Faust's own introduction has it. The worker decodes, takes
batches of the same events through both stages, keeps them in RocksDB and in changelogs, and acknowledges a batch once
the broker has all that came of it. Both are child processes; the rate is that from the first event taken in to the
last one acknowledged.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import faust
import msgspec
from kafka import KafkaProducer

from bench.rate import shares
from bench.result import Result
from spread.partition import partition
from streams.cluster import Cluster
from streams.ending import Ending
from streams.keeping import FOREVER
from streams.topics import SOCIAL_EVENTS, Layout, topics
from streams.worker import Worker, WorkerSettings
from tests.broker import kafka

TIMES: Final = 10
EVENTS: Final = 200_000
PLAIN_EVENTS: Final = 20_000
_PARTITIONS: Final = 4
_BATCH: Final = 500
_ROUNDS: Final = 3


def measure() -> list[Result]:
    """The rate of a worker as a multiple of that of a plain agent."""
    plain, full = [], []
    with kafka() as servers:
        for round_ in range(_ROUNDS):
            plain.append(_rate("plain", servers, f"plain{round_}-"))
            full.append(_rate("full", servers, f"full{round_}-"))
    return [
        Result("rate of a worker, to a plain agent", median(full) / median(plain), at_least=TIMES),
        Result("  a worker", median(full), "events/s"),
        Result("  a plain agent", median(plain), "events/s"),
    ]


def _rate(which: str, servers: str, prefix: str) -> float:
    layout = Layout(prefix, _PARTITIONS, _PARTITIONS)
    with Cluster(servers) as cluster:
        cluster.create(topics(layout))
    _publish(servers, layout, 1 if which == "plain" else _BATCH, PLAIN_EVENTS if which == "plain" else EVENTS)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "bench.worker", which, servers, prefix, folder], check=True, stdout=subprocess.PIPE
        )
    return float(done.stdout.split()[-1])


def _publish(servers: str, layout: Layout, batch: int, n: int) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=50, batch_size=2**20)
    waiting: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)

    def send(number: int) -> None:
        events = waiting.pop(number)
        value = msgspec.json.encode(events if batch > 1 else events[0])
        producer.send(layout.name(SOCIAL_EVENTS), value, key=events[0]["actor"].encode(), partition=number)

    for event in shares(n)[0][:n]:
        number = partition(event["actor"], layout.social_partitions)
        waiting[number].append(event)
        if len(waiting[number]) == batch:
            send(number)
    for number in [*waiting]:
        send(number)
    producer.close()


async def _full(servers: str, layout: Layout, folder: Path) -> float:
    """A worker, until it has acknowledged everything."""
    stop = asyncio.Event()
    worker = Worker(
        WorkerSettings(servers, layout, folder, "bench", "http://127.0.0.1:1", keeping=FOREVER, memory=2**29)
    )
    running = asyncio.create_task(worker.run(stop, Ending()))
    started = None
    while not running.done():
        await asyncio.sleep(0.02)
        taken = sum(worker.health.events.values())
        if taken and started is None:
            started = time.monotonic()
        facts = sum(task.items for task in worker.stages()["offers"])
        if started is not None and facts >= EVENTS and not any(task.is_due for task in worker.tasks):
            seconds = time.monotonic() - started
            stop.set()
            await running
            return EVENTS / seconds
    await running  # says why
    raise RuntimeError("the worker ended before its work was done")


async def _plain(servers: str, layout: Layout, folder: Path) -> float:
    """Count single events by offer in a table."""
    app = faust.App(
        "plain", broker=f"kafka://{servers}", store="rocksdb://", datadir=str(folder), autodiscover=False,
        web_enabled=False, topic_partitions=_PARTITIONS, consumer_auto_offset_reset="earliest",
    )  # fmt: skip
    topic = app.topic(layout.name(SOCIAL_EVENTS), value_serializer="json")
    table = app.Table(f"{layout.prefix}counts", default=int, partitions=_PARTITIONS)
    first: list[float] = []
    counted = 0
    over = asyncio.Event()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        nonlocal counted
        async for event in stream:
            if not first:
                first.append(time.monotonic())
            table[event["offer"]] += 1
            counted += 1
            if counted == PLAIN_EVENTS:
                over.set()

    await app.start()
    await over.wait()
    seconds = time.monotonic() - first[0]
    await app.stop()
    return PLAIN_EVENTS / seconds


if __name__ == "__main__":
    _which, _servers, _prefix, _folder = sys.argv[1:]
    _how = _full if _which == "full" else _plain
    print(asyncio.run(_how(_servers, Layout(_prefix, _PARTITIONS, _PARTITIONS), Path(_folder))))
