"""What a worker and Kafka take for each share: memory, disk, and time to read a lost folder back.

One worker as its command runs it, with all partitions of the default settings; shares by many accounts in offers of
heavy-tailed size, through the door. Sizes in Kafka are what its brokers tell of a topic's log, before any compaction.
"""

import tempfile
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from kafka import KafkaAdminClient

from bench.rate import shares
from bench.result import Result
from streams.topics import OFFER_EVENTS, OFFERS_TABLE, PEOPLE_TABLE, SOCIAL_EVENTS, Layout
from tests.broker import admin, kafka
from tests.crew import crew
from tests.processes import Child, until

SHARES: Final = 200_000
FEW_MB: Final = 64
_HANG_S: Final = 600.0


def measure() -> list[Result]:
    """Bytes for a share where they are kept, the memory of a worker, and the time of a recovery."""
    events, _ = shares(SHARES)
    n = len(events)
    prefix = f"bench-{uuid4().hex[:12]}-"
    layout = Layout(prefix)
    settings = {
        "RICOCHET_SOCIAL_PARTITIONS": str(layout.social_partitions),
        "RICOCHET_OFFER_PARTITIONS": str(layout.offer_partitions),
    }
    with (
        tempfile.TemporaryDirectory() as name,
        kafka() as servers,
        crew(servers, prefix, Path(name), settings) as hands,
    ):
        archive = Path(name) / "events.jsonl"
        archive.write_bytes(b"\n".join(map(msgspec.json.encode, events)))
        child = hands.start()
        hands.ready(child)
        empty = _memory(child, "VmRSS")
        hands.command("replay", archive, "--to", "kafka", "--report", "report", hang_s=_HANG_S)
        full, peak, tables = _memory(child, "VmRSS"), _memory(child, "VmHWM"), _stored(child)
        hands.stop(child)
        lost = {"RICOCHET_DATA": str(Path(name) / "new"), "RICOCHET_MEMORY_MB": str(FEW_MB)}
        started = time.monotonic()
        again = hands.start(env=lost)
        until(lambda: again.get("/readyz").status_code == 200, "recovered", every_s=0.05, hang_s=_HANG_S)
        recovery = time.monotonic() - started
        hands.report({event["offer"] for event in events})
        bounded = _memory(again, "VmRSS")
        with admin(servers) as client:
            changelogs = sum(_log(client, layout.changelog(table)) for table in (PEOPLE_TABLE, OFFERS_TABLE))
            arriving, between = (_log(client, layout.name(topic)) for topic in (SOCIAL_EVENTS, OFFER_EVENTS))
    return [
        Result("memory of a worker without events", empty / 2**20, "MiB"),
        Result(f"  with {n:,} shares", full / 2**20, "MiB"),
        Result("  at the most", peak / 2**20, "MiB"),
        Result(f"  of {FEW_MB} MB of objects, once all were asked for", bounded / 2**20, "MiB"),
        Result("tables on a worker's disk, for a share", tables / n, "bytes"),
        Result("changelogs in Kafka, for a share", changelogs / n, "bytes"),
        Result("social-events in Kafka, for a share", arriving / n, "bytes"),
        Result("offer-events in Kafka, for a share", between / n, "bytes"),
        Result("start without a folder, a million shares", recovery / n * 1_000_000, "s"),
    ]


def _memory(child: Child, name: str) -> float:
    """Bytes of resident memory, now (VmRSS) or at the most (VmHWM)."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return 1024 * float(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))


def _stored(child: Child) -> float:
    return child.samples()["ricochet_state_stored_bytes", frozenset()]


def _log(client: KafkaAdminClient, topic: str) -> int:
    """Bytes of a topic's log, one copy of it."""
    told = client.describe_log_dirs()
    return sum(
        one["partition_size"]
        for broker in told
        for folder in broker["log_dirs"]
        for found in folder["topics"]
        if found["name"] == topic
        for one in found["partitions"]
    )
