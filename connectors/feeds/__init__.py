"""Job offers from where employers publish them: applicant tracking systems, their career sites, schema.org postings.

A source is read whole or not at all. What is missing from it counts as closed, so a page that fails after all its
tries, or fewer postings than the system says it has, are an error and no shorter list.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

from connectors.feeds import pages, systems
from connectors.feeds.web import FeedError, Web, shown
from spread.registry import JobOffer

__all__ = ["NAMES", "FeedError", "Hosts", "is_feed", "read"]

Hosts = systems.Hosts

_SYSTEMS: Final[dict[str, Callable[[Web, Hosts, str], list[JobOffer]]]] = {
    "greenhouse": systems.greenhouse,
    "lever": systems.lever,
    "lever-eu": systems.lever_eu,
    "smartrecruiters": systems.smartrecruiters,
    "teamtailor": systems.teamtailor,
}
NAMES: Final = tuple(_SYSTEMS)
"""What stands before the colon in the short name of a source."""


def is_feed(source: str) -> bool:
    """Whether this names a feed, as a link or in short, as in `greenhouse:acme`."""
    system, colon, site = source.partition(":")
    return source.lower().startswith(("http://", "https://")) or (system in _SYSTEMS and bool(colon and site))


def read(
    source: str,
    *,
    private: Collection[str] = (),
    hosts: Hosts = systems.HOSTS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[JobOffer]:
    """All offers of a source, in its order.

    `private` are hosts that may be at addresses that are not public, `hosts` where the systems answer; `sleep` waits
    (seconds) between tries. Raises `FeedError`.
    """
    system, _, site = source.partition(":")
    with Web(sleep, private) as web:
        try:
            if system in _SYSTEMS:
                offers = _SYSTEMS[system](web, hosts, site)
            elif is_feed(source):
                offers = pages.read(web, source)
            else:
                raise FeedError(f"neither a link nor a name that begins with {', '.join(f'{one}:' for one in NAMES)}")
        except FeedError as error:
            name, why = shown(source), str(error)
            raise FeedError(why if why.startswith((f"{name}:", f"{name} ")) else f"{name}: {why}") from None
    return list({offer.id: offer for offer in offers}.values())
