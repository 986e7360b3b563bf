"""What is wrong with the installation on Kafka, found by asking Kafka itself, and this machine."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ricochet.settings import Settings
from spread.events import DAY_MS
from streams.cluster import Cluster, ClusterError
from streams.topics import OFFER_EVENTS, OFFERS_TABLE, PEOPLE_TABLE, SOCIAL_EVENTS, Layout, Topic, topics

CLOCK_MS: Final = 10_000
"""Clocks that differ by more are wrong."""
LAG: Final = 10_000
"""With more unread messages workers are far behind: a message may be 500 events."""
ROOM: Final = 2**30
"""With fewer bytes free, tables may soon not be written."""


@dataclass(frozen=True)
class Finding:
    """One line. `is_well` is None where there is nothing to judge."""

    is_well: bool | None
    what: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'FAIL', None: '--'}[self.is_well]:<4}  {self.what}"


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything; what can't be looked at because of an earlier fault is left out."""
    layout = settings.layout
    yield _folder(settings)
    try:
        with Cluster(settings.kafka, settings.kafka_options.client()) as cluster:
            yield from _brokers(cluster, layout)
            for topic in topics(layout):
                yield from _topic(cluster, topic, layout)
            for bare in (SOCIAL_EVENTS, OFFER_EVENTS):
                yield from _reading(cluster, layout.name(bare), layout.app)
            yield _clock(cluster)
    except ClusterError as error:
        yield Finding(False, str(error))


def _folder(settings: Settings) -> Finding:
    """The folder of this machine's workers."""
    data = settings.data
    if not data.exists() and not data.is_symlink():
        return Finding(None, f"data folder {data}: none yet, the first worker makes it")
    try:
        with tempfile.TemporaryFile(dir=data):
            free = shutil.disk_usage(data).free
    except OSError as error:
        return Finding(False, f"data folder {data} can't be written: {error.strerror or error}")
    enough = free >= ROOM or settings.tables == "memory"
    return Finding(enough, f"data folder {data}: free: {free / 2**30:,.1f} GiB{'' if enough else ', too little'}")


def _brokers(cluster: Cluster, layout: Layout) -> Iterator[Finding]:
    brokers = cluster.brokers()
    enough = brokers >= layout.replication
    few = "" if enough else f", too few for {layout.replication} copies of each topic"
    yield Finding(enough, f"Kafka at {cluster.servers}: brokers: {brokers}{few}")


def _topic(cluster: Cluster, topic: Topic, layout: Layout) -> Iterator[Finding]:
    tables = {layout.changelog(table): f"table {table}: " for table in (PEOPLE_TABLE, OFFERS_TABLE)}
    of = tables.get(topic.name, "")
    wrong = [*cluster.check([topic]), *cluster.stuck([topic]), *cluster.differences([topic])]
    yield from (Finding(False, f"{of}{line}") for line in wrong)
    if not wrong:
        kept = "compacted" if topic.is_compacted else f"keeps {int(topic.config['retention.ms']) // DAY_MS} days"
        yield Finding(
            True, f"{of}topic {topic.name}: partitions: {topic.partitions}, copies: {topic.replication}, {kept}"
        )


def _reading(cluster: Cluster, topic: str, group: str) -> Iterator[Finding]:
    """How far the workers are behind in a topic."""
    partitions = cluster.partitions(topic)
    if partitions is None:
        return
    committed, members = cluster.committed(group, topic), cluster.members(group)
    starts, ends = cluster.starts(topic, partitions), cluster.ends(topic, partitions)
    read = {number: committed.get(number, starts[number]) for number in range(partitions)}
    lost = sum(max(0, starts[number] - read[number]) for number in read)
    if lost:
        yield Finding(False, f"topic {topic}: {lost:,} messages were deleted before group {group} had read them")
    behind = sum(max(0, ends[number] - max(read[number], starts[number])) for number in read)
    newest = cluster.newest(topic, partitions)
    age = "" if newest is None else f", the newest message came {_ago(newest)} ago"
    workers = f"{members} in group {group}" if members else f"none in group {group}"
    is_well = behind <= LAG if members else None if not behind else False
    far = ", too many" if members and not is_well else ""
    yield Finding(is_well, f"topic {topic}: unread messages: {behind:,}{far}; workers: {workers}{age}")


def _clock(cluster: Cluster) -> Finding:
    measured = cluster.clock_ahead()
    if measured is None:
        return Finding(None, "clock: Kafka's controller does not tell its own")
    ahead, give_or_take = measured
    differs = f"clock: Kafka's is {abs(ahead) / 1000:.2f} s {'ahead' if ahead >= 0 else 'behind'}"
    return Finding(abs(ahead) - give_or_take <= CLOCK_MS, f"{differs}, give or take {give_or_take / 1000:.2f} s")


def _ago(then_ms: int) -> str:
    seconds = max(0, int(time.time() - then_ms / 1000))
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
