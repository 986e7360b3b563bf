"""The job offers as a process follows them: read at once, again as they change, and asked which post is whose."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from connectors.near_misses import NearMissError, NearMisses
from connectors.short_links import ShortLinks
from connectors.sightings import Authored
from ricochet.installation import require_topics
from ricochet.logs import logger
from ricochet.settings import Settings
from spread.matching import Match, Mention, Registry, match
from spread.registry import JobOffer
from spread.urls import links
from streams.clock import wall_clock
from streams.cluster import ClusterError
from streams.offer_file import OfferFile
from streams.offer_topic import OfferTopic
from streams.state import StateError

EVERY_S: Final = 2.0
_WORTH_A_LOOK: Final = 0.4
"""Confidence of a near miss that a person is asked about: a title that anybody may use is not."""
_BY_LINK: Final = 0.95
"""Confidence that a link gives: no other link can find more."""
_LINKS: Final = 5
"""Links of a post that are resolved at most."""

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


def resolved(mention: Mention, short_links: ShortLinks, *, of_stranger: bool = False) -> Mention:
    """The post with its first links as they are once short ones are resolved."""
    found = (*mention.urls, *links(mention.text))
    answers = ((link, short_links.resolve(link, of_stranger=of_stranger)) for link in found[:_LINKS])
    long = tuple(url for link, url in answers if url != link)
    return msgspec.structs.replace(mention, urls=mention.urls + long) if long else mention


class Followed:
    """The offers as last read, for all threads of a process. With `near_misses` what nearly matches waits there.

    `short_links` are resolved where something else already hints at an offer: not all that a whole network shortens.
    Anybody may write what hints, so for accounts that are none of an offer's that is bounded, all of them together.
    """

    def __init__(self, near_misses: Path | None = None, short_links: ShortLinks | None = None) -> None:
        self.registry = Registry()
        self._short = short_links or ShortLinks()
        self._near = None if near_misses is None else NearMisses(near_misses)
        self._decided: dict[str, str] = {}
        """What persons have decided, as last read with the offers."""
        self._lock = threading.Lock()

    @asynccontextmanager
    async def following(self, store: Store) -> AsyncIterator[None]:
        """Keep up with a store for the length of the block, and close it then.

        While it can't be read, what was known goes on to be used.
        """
        stop = asyncio.Event()
        try:
            self._told(await asyncio.to_thread(self._changed, store))
            following = asyncio.create_task(self._follow(store, stop))
            try:
                yield
            finally:
                stop.set()
                await following
        finally:
            store.close()

    def read(self, store: Store) -> None:
        """Take in what a store has now."""
        self._take(self._changed(store))

    def offers(self) -> list[JobOffer]:
        """Those that are not closed."""
        now = wall_clock()
        with self._lock:
            return [offer for offer in self.registry.values() if not offer.ended(now)]

    def about(self, id: str) -> JobOffer:
        """What is known of an offer that has this id, empty if nothing is."""
        with self._lock:
            return self.registry.get(id) or JobOffer.unknown(id)

    def match(self, seen: Authored) -> str | None:
        """The offer that a post belongs to: as a person has decided, else as its network named it, or by its text."""
        mention = Mention(
            id=seen.id, account=seen.actor, text=seen.text, urls=seen.urls, tags=seen.tags, rule_tags=seen.refs
        )
        try:
            if self._near is not None and (decided := self._near.decision(seen.id)) is not None:
                return decided
            if seen.named is not None:
                return seen.named
            found = self._matched(mention)
            near = [guess for guess in found.near if guess.confidence >= _WORTH_A_LOOK]
            if self._near is not None and found.offer is None and near:
                self._near.add(seen.id, near, wall_clock())
        except NearMissError as error:
            log.warning("near misses not kept", why=str(error))
            return seen.named or self._matched(mention).offer
        return found.offer

    def unseen(self, post: str, named: str | None) -> str | None:
        """The offer of a post that is only referred to: decided, named, or listed by it. No file is read."""
        if (decided := self._decided.get(post)) is not None:
            return decided
        with self._lock:
            listing = self.registry.listing(post)
        return named or next(iter(listing), None)

    def _matched(self, mention: Mention) -> Match:
        with self._lock:
            found = match(mention, self.registry)
            is_known = bool(self.registry.speaking(mention.account))
            is_hinted = found.offer or found.near or is_known
        if not is_hinted or found.confidence >= _BY_LINK:
            return found
        long = resolved(mention, self._short, of_stranger=not is_known)
        if long == mention:
            return found
        with self._lock:
            return match(long, self.registry)

    def deleted(self, post: str) -> None:
        """A post is gone, so it waits for nobody."""
        with suppress(NearMissError):
            if self._near is not None:
                self._near.drop(post)

    def close(self) -> None:
        """Let go of the near misses."""
        if self._near is not None:
            self._near.close()

    async def _follow(self, store: Store, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)
            try:
                self._told(await asyncio.to_thread(self._changed, store))
            except (ClusterError, StateError) as error:
                log.warning("offers not read", why=str(error))

    def _changed(self, store: Store) -> dict[str, JobOffer | None]:
        """What has changed in a store; what was decided is read beside it."""
        if self._near is not None:
            with suppress(NearMissError):
                self._decided = self._near.decisions()
        return store.changed()

    def _take(self, changed: dict[str, JobOffer | None]) -> None:
        with self._lock:
            for id, offer in changed.items():
                if offer is None:
                    self.registry.drop(id)
                else:
                    self.registry.put(offer)

    def _told(self, changed: dict[str, JobOffer | None]) -> None:
        self._take(changed)
        if changed:
            log.info("offers read", changed=len(changed), known=len(self.registry))
