"""The workers' answers for the events of a file: they are asked once they have caught up with it.

Which workers there are is read from the topic `spread`; any of them leads to the owner of an offer.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import quote

import click
import httpx
import msgspec
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.progress import Progress

from ricochet.errors import RicochetError
from ricochet.guard import asking
from ricochet.settings import Settings
from ricochet.waiting import PATIENCE_S, Left, wait
from spread.events import UNREADABLE
from streams.cluster import CONNECT_MS, Cluster, trouble
from streams.topics import SPREAD, Layout

_PAUSE_S: Final = 0.2
_CONNECT_S: Final = 3.0
"""A worker that is gone may have left its address behind, where nothing answers at all."""
_LATEST: Final = 100
_TELL_S: Final = 5.0


@contextmanager
def workers(settings: Settings, sent: Mapping[int, int]) -> Iterator["Workers"]:
    """The workers, once they are done with all that was sent: on a terminal with a progress bar, else with lines."""
    options = settings.kafka_options.client()
    console = Console(stderr=True)
    shown = Progress(console=console, transient=True, disable=not console.is_terminal)
    with Cluster(settings.kafka, options) as cluster, shown as bar:
        task, told_at = bar.add_task("workers", total=None), time.monotonic()

        def tell(left: Left) -> None:
            nonlocal told_at
            bar.update(task, description=left.topic, completed=left.done, total=left.total)
            if not console.is_terminal and time.monotonic() - told_at >= _TELL_S:
                click.echo(f"waiting for the workers: {left}", err=True)
                told_at = time.monotonic()

        if not wait(cluster, settings.layout, sent, tell):
            click.echo("others keep sending events: the answers may hold some of theirs", err=True)
    asked = Workers(settings.kafka, settings.layout, options, settings.token)
    try:
        yield asked
    finally:
        asked.close()


class _Snapshot(msgspec.Struct):
    worker: str


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
