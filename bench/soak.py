"""A worker for ten minutes under a steady load of offers that come, spread, close and expire.

Event time runs through a month meanwhile, with a retention of a day, so that nearly all offers are over at the end.
What grows with all that ever came, and not with what is still kept, shows in the last fifth against the one before.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final, NamedTuple
from uuid import uuid4

from kafka import KafkaProducer

from bench.result import Result
from spread.events import DAY_MS
from streams.clock import wall_clock
from streams.topics import SOCIAL_EVENTS
from tests.broker import kafka
from tests.crew import Crew, crew, messages
from tests.processes import Child

EVENTS: Final = 2_000_000
SECONDS: Final = 600
OFFERS: Final = 10_000
_DAYS: Final = 30
_AT_ONCE: Final = 50
_ASKED: Final = 100


class _Sample(NamedTuple):
    memory: int
    """Bytes of resident memory."""
    lag: float
    """Events and facts not acknowledged."""


def measure(events: int = EVENTS, seconds: int = SECONDS, offers: int = OFFERS) -> list[Result]:
    """Whether memory and lag are flat at the end, and what is left of offers that are over."""
    settings = {"RICOCHET_RETENTION_DAYS": "1", "RICOCHET_MEMORY_MB": "128"}
    with (
        tempfile.TemporaryDirectory() as name,
        kafka() as servers,
        crew(servers, f"soak-{uuid4().hex[:8]}-", Path(name), settings) as hands,
    ):
        child = hands.start()
        hands.ready(child)
        samples = _load(hands, child, events, seconds, offers)
        hands.caught_up()
        over = [f"offer-{number}" for number in range(int(offers * (1 - 3 / _DAYS)) - _AT_ONCE)]
        shown = {dict(labels).get("offer") for _, labels in child.samples()}
        some = over[:: max(1, len(over) // _ASKED)]
        told, edges = hands.report(some)
        totals = sum(json.loads(line)["type"] == "offer" for line in told.splitlines())
    fifth = len(samples) // 5
    last, before = samples[-fifth:], samples[-2 * fifth : -fifth]
    return [
        Result("soak: events", events / seconds, "a second"),
        Result("  memory, the last fifth to the one before", _memory(last) / _memory(before), at_most=1.05),
        Result("  memory at the end", _memory(last) / 2**20, "MiB"),
        Result("  lag of the last fifth", median(one.lag for one in last), "events", at_most=4 * events / seconds),
        Result("  offers that are over, with series", len(shown & {*over}), "", at_most=0),
        Result("  of them, with totals", totals / len(some), at_least=1),
        Result("  of them, with edges", len(edges.splitlines()), at_most=0),
    ]


def _memory(samples: list[_Sample]) -> float:
    return median(one.memory for one in samples)


def _load(hands: Crew, child: Child, events: int, seconds: int, offers: int) -> list[_Sample]:
    """Send at a steady rate; a sample each second."""
    samples = []
    topic = hands.env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
    coming = _events(events, offers)
    started = time.monotonic()
    with KafkaProducer(bootstrap_servers=hands.env["RICOCHET_KAFKA"], linger_ms=20) as producer:
        for second in range(seconds):
            some = [line for _, line in zip(range(events // seconds), coming, strict=False)]
            for number, value in messages(some, 200):
                producer.send(topic, value, partition=number)
            producer.flush()
            time.sleep(max(0.0, started + second + 1 - time.monotonic()))
            found = child.samples()
            status = Path(f"/proc/{child.pid}/status").read_text()
            memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            lag = sum(n for (name, _), n in found.items() if name == "ricochet_consumer_lag_events")
            samples.append(_Sample(1024 * memory, lag))
            if (second + 1) % 60 == 0:
                kept = sum(n for (name, _), n in found.items() if name == "ricochet_state_memory_bytes")
                print(
                    f"{second + 1} s: memory {memory >> 10} MiB, of it objects {round(kept) >> 20} MiB, lag {lag:.0f}",
                    file=sys.stderr,
                    flush=True,
                )
    return samples


def _events(n: int, offers: int) -> Iterator[bytes]:
    """Events in the order of their time, a month up to now; always some offers at once, then others."""
    random = Random(1)
    start, posted = wall_clock() - _DAYS * DAY_MS, set[int]()
    for k in range(n):
        number = max(0, k * offers // n - random.randrange(_AT_ONCE))
        root = f"x:root-{number}"
        event: dict[str, Any] = {"v": 1, "network": "x", "at": start + k * _DAYS * DAY_MS // n, "root": root}
        event |= {"offer": f"offer-{number}", "actor": f"x:{random.randrange(200_000)}"}
        if number in posted:
            event |= {"id": f"x:{k}", "kind": "share", "followers": random.randrange(1_000)}
        else:
            posted.add(number)
            event |= {"id": root, "kind": "post"}
        yield json.dumps(event).encode()
