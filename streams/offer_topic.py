"""The job offers in the compacted topic `offers`: a message for each offer, the newest of an id counts."""

import logging
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from spread.events import UNREADABLE
from spread.partition import partition
from spread.registry import JobOffer
from streams.cluster import CONNECT_MS, trouble
from streams.topics import OFFERS, Layout

_READ_MS: Final = 1_000
_log: Final = logging.getLogger(__name__)


class OfferTopic:
    """The registry of an installation on Kafka. `options` are the security settings of kafka-python.

    Its topic has to be there, and to be as the layout says. Raises `ClusterError` where Kafka can't be reached.
    """

    def __init__(self, servers: str, layout: Layout, options: Mapping[str, Any] | None = None) -> None:
        self._servers, self._layout, self._options = servers, layout, dict(options or {})
        self._topic = layout.name(OFFERS)
        self._places = [TopicPartition(self._topic, number) for number in range(layout.partitions(OFFERS))]
        self._is_read = False
        with trouble(self._servers):
            self._consumer = KafkaConsumer(
                bootstrap_servers=servers,
                bootstrap_timeout_ms=CONNECT_MS,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",
                group_id=None,
                **self._options,
            )
            self._consumer.assign(self._places)
            self._consumer.seek_to_beginning(*self._places)

    def __enter__(self) -> "OfferTopic":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self) -> dict[str, JobOffer | None]:
        """By id what was written since this was last asked, None for what is gone.

        The first time it waits until all is read that is there; then never.
        """
        with trouble(self._servers):
            if self._is_read:
                return self._poll(0)
            found: dict[str, JobOffer | None] = {}
            ends = self._consumer.end_offsets(self._places)
            while any(self._consumer.position(place) < end for place, end in ends.items()):
                found |= self._poll(_READ_MS)
            self._is_read = True
            return found

    def write(self, offers: Iterable[JobOffer]) -> None:
        """Write offers in place of what was known of them; returns once Kafka has acknowledged them all."""
        with trouble(self._servers):
            producer = KafkaProducer(
                bootstrap_servers=self._servers,
                bootstrap_timeout_ms=CONNECT_MS,
                max_block_ms=CONNECT_MS,
                allow_auto_create_topics=False,
                acks="all",
                enable_idempotence=True,
                linger_ms=20,
                **self._options,
            )
            try:
                sent = [
                    producer.send(
                        self._topic,
                        msgspec.json.encode(offer),
                        offer.id.encode(),
                        partition=partition(offer.id, len(self._places)),
                    )
                    for offer in offers
                ]
                for one in sent:
                    one.get(timeout=CONNECT_MS / 1000)
            finally:
                producer.close(CONNECT_MS / 1000)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _poll(self, wait_ms: int) -> dict[str, JobOffer | None]:
        found: dict[str, JobOffer | None] = {}
        for records in self._consumer.poll(timeout_ms=wait_ms).values():
            for record in records:
                try:
                    id = (record.key or b"").decode()
                    offer = None if record.value is None else msgspec.json.decode(record.value, type=JobOffer)
                except UNREADABLE as error:
                    place = f"{self._topic}/{record.partition} at {record.offset}"
                    _log.warning("what stands in %s is no offer: %s", place, error)
                    continue
                if offer is None or offer.id == id:
                    found[id] = offer
        return found
