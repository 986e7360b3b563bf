"""The workers' answers for the events of a file: waiting until they have caught up with it, then asking them.

Which workers there are is read from the topic `spread`; any of them leads to the owner of an offer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.progress import Progress

from ricochet.errors import RicochetError
from ricochet.guard import asking
from ricochet.settings import Settings
from spread.events import UNREADABLE
from streams.cluster import CONNECT_MS, Cluster, trouble
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS, SPREAD, Layout

PATIENCE_S: Final = 120.0
"""So long nothing may happen before it is called an error."""
_PAUSE_S: Final = 0.2
_CONNECT_S: Final = 3.0
"""A worker that is gone may have left its address behind, where nothing answers at all."""
_ROUNDS: Final = 10
"""What an assignment or an erasure sends goes from stage to stage a few times; what others send meanwhile may go on."""
_LATEST: Final = 100


@contextmanager
def workers(settings: Settings, sent: Mapping[int, int]) -> Iterator["Workers"]:
    """The workers, once they are done with all that was sent; on a terminal with a progress bar on stderr."""
    options = settings.kafka_options.client()
    console = Console(stderr=True)
    shown = Progress(console=console, transient=True, disable=not console.is_terminal)
    with Cluster(settings.kafka, options) as cluster, shown as bar:
        task = bar.add_task("workers", total=None)
        wait(cluster, settings.layout, sent, lambda done, total: bar.update(task, completed=done, total=total))
    asked = Workers(settings.kafka, settings.layout, options, settings.token)
    try:
        yield asked
    finally:
        asked.close()


class _Snapshot(msgspec.Struct):
    worker: str


def wait(cluster: Cluster, layout: Layout, sent: Mapping[int, int], progress: Callable[[int, int], None]) -> None:
    """Wait until the workers are done with all that was sent, by partition the offset of its last message.

    `progress` is told messages done and to do. Raises `RicochetError` if the workers make no progress.
    """
    wanted = {number: offset + 1 for number, offset in sent.items()}
    for _ in range(_ROUNDS):
        _until_committed(cluster, layout, SOCIAL_EVENTS, wanted, progress)
        ends = cluster.ends(layout.name(OFFER_EVENTS), layout.offer_partitions)
        _until_committed(cluster, layout, OFFER_EVENTS, ends, progress)
        ends = cluster.ends(layout.name(SOCIAL_EVENTS), layout.social_partitions)
        if all(end <= wanted.get(number, 0) for number, end in ends.items()):
            return
        wanted = ends


def _until_committed(
    cluster: Cluster, layout: Layout, topic: str, wanted: Mapping[int, int], progress: Callable[[int, int], None]
) -> None:
    total, best, moved_at = sum(wanted.values()), -1, time.monotonic()
    while True:
        committed = cluster.committed(layout.app, layout.name(topic))
        done = sum(min(end, committed.get(number, 0)) for number, end in wanted.items())
        progress(done, total)
        if done == total:
            return
        if done > best:
            best, moved_at = done, time.monotonic()
        elif time.monotonic() - moved_at > PATIENCE_S:
            behind = f"{total - done:,} of {total:,} messages of {layout.name(topic)} are not done"
            raise RicochetError(f"the workers have made no progress for {PATIENCE_S:.0f} s: {behind}; is one running?")
        time.sleep(_PAUSE_S)


class Workers:
    """The workers of an installation, over HTTP, with their token if they have one.

    `options` are the security settings of Kafka's client.
    """

    def __init__(self, servers: str, layout: Layout, options: Mapping[str, Any], token: str | None = None) -> None:
        self._servers, self._layout, self._options = servers, layout, options
        self._http = asking(token, httpx.Timeout(PATIENCE_S, connect=_CONNECT_S))
        self._address: str | None = None

    def report_lines(self, offer: str) -> list[bytes]:
        """The report lines of an offer, as its worker gives them."""
        return self._ask(offer, "report")

    def edge_lines(self, offer: str) -> list[bytes]:
        """The edges of an offer, as its worker gives them."""
        return self._ask(offer, "edges")

    def node_lines(self, offer: str) -> list[bytes]:
        """The nodes of an offer, as its worker gives them."""
        return self._ask(offer, "nodes")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, offer: str, what: str) -> list[bytes]:
        deadline = time.monotonic() + PATIENCE_S
        why = "no worker has told where it is"
        while time.monotonic() < deadline:
            for address in [self._address] if self._address else self._addresses():
                try:
                    answer = self._http.get(f"{address}/offers/{quote(offer, safe='')}/{what}")
                except httpx.HTTPError as error:
                    self._address, why = None, f"{address}: {error}"
                    continue
                if answer.status_code == httpx.codes.OK:
                    self._address = address
                    return answer.content.splitlines()
                why = f"{address}: {answer.status_code} {answer.text.strip()}"
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return []
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    raise RicochetError(f"{address} wants another web_token than the settings here have")
                self._address = None
            time.sleep(_PAUSE_S)
        raise RicochetError(f"nobody answers for offer {offer} ({why})")

    def _addresses(self) -> list[str]:
        """Where workers answered lately, the newest first."""
        found: dict[str, int] = {}
        bounds = {"bootstrap_timeout_ms": CONNECT_MS, "enable_auto_commit": False}
        with (
            trouble(self._servers),
            KafkaConsumer(bootstrap_servers=self._servers, **bounds, **self._options) as consumer,
        ):
            for record in self._latest(consumer):
                with suppress(*UNREADABLE):  # nobody's snapshot
                    worker = msgspec.json.decode(record.value or b"", type=_Snapshot).worker
                    found[worker] = max(found.get(worker, 0), record.timestamp)
        return sorted(found, key=lambda worker: -found[worker])

    def _latest(self, consumer: KafkaConsumer) -> Iterator[Any]:
        """The last snapshots of each partition."""
        topic = self._layout.name(SPREAD)
        places = [TopicPartition(topic, number) for number in range(self._layout.offer_partitions)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        for place, end in ends.items():
            consumer.seek(place, max(0, end - _LATEST))
        while any(consumer.position(place) < end for place, end in ends.items()):
            for records in consumer.poll(timeout_ms=1_000).values():
                yield from records
