"""The job offers as a process follows them: wherever they are kept, read at once and again as they change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from ricochet.installation import require_topics
from ricochet.logs import logger
from ricochet.settings import Settings
from spread.matching import Registry
from spread.registry import JobOffer
from streams.cluster import ClusterError
from streams.offer_file import OfferFile
from streams.offer_topic import OfferTopic
from streams.state import StateError

EVERY_S: Final = 2.0

log = logger(__name__)


class Store(Protocol):
    """Where the offers are kept."""

    def changed(self) -> dict[str, JobOffer | None]:
        """By id what was written since this was last asked, at first all; None for what is gone."""
        ...

    def write(self, offers: list[JobOffer]) -> None:
        """Write offers in place of what was known of them."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_store(settings: Settings) -> Store:
    """Where this installation keeps its offers: with its engine."""
    if settings.engine == "embedded":
        return OfferFile(settings.state)
    require_topics(settings)
    return OfferTopic(settings.kafka, settings.layout, settings.kafka_options.client())


@asynccontextmanager
async def followed(store: Store) -> AsyncIterator[Registry]:
    """The offers of a store, kept up to date for the length of the block; the store is closed with it.

    While it can't be read, what was known goes on to be used.
    """
    registry, stop = Registry(), asyncio.Event()
    _take(registry, await asyncio.to_thread(store.changed))
    following = asyncio.create_task(_follow(registry, store, stop))
    try:
        yield registry
    finally:
        stop.set()
        await following
        store.close()


async def _follow(registry: Registry, store: Store, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY_S)
        try:
            _take(registry, await asyncio.to_thread(store.changed))
        except (ClusterError, StateError) as error:
            log.warning("offers not read", why=str(error))


def _take(registry: Registry, changed: dict[str, JobOffer | None]) -> None:
    for id, offer in changed.items():
        if offer is None:
            registry.drop(id)
        else:
            registry.put(offer)
    if changed:
        log.info("offers read", changed=len(changed), known=len(registry))
