"""What has to hold before anything of an installation on Kafka starts."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ricochet.errors import RicochetError
from ricochet.settings import Settings
from streams.cluster import Cluster
from streams.topics import topics


def require_topics(settings: Settings) -> None:
    """Raise `RicochetError`, with the first fault in words, where the topics are not as they should be."""
    with _said_once(), Cluster(settings.kafka, settings.kafka_options.client()) as cluster:
        faults = cluster.check(topics(settings.layout))
    if faults:
        more = f" (and {len(faults) - 1} more, see `ricochet topics check`)" if len(faults) > 1 else ""
        raise RicochetError(f"{faults[0]}{more}")


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep Kafka's client from logging meanwhile: what is wrong is said in a line."""
    kafka = logging.getLogger("kafka")
    level = kafka.level
    kafka.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        kafka.setLevel(level)
