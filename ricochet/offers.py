"""What a person does with the job offers: bring them in from where they are published, and correct what is theirs."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from connectors import feeds, offer_files
from connectors.near_misses import NearMisses
from connectors.offer_files import OfferFileError
from connectors.short_links import ShortLinks
from ricochet import corrections
from ricochet.errors import RicochetError
from ricochet.settings import Settings
from spread.events import MAX_ID_BYTES, Assign
from spread.registry import JobOffer, changes

_DIGEST_BYTES: Final = 16
_NETWORK: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}:.")


@dataclass(frozen=True)
class Import:
    """What bringing a source in changes, given what was known before."""

    source: str
    read: int
    changed: list[JobOffer]
    counts: Mapping[str, int]
    """How many are new, re-posted, closed, or changed otherwise."""

    def __str__(self) -> str:
        told = ", ".join(f"{n} {what}" for what, n in self.counts.items() if n)
        return f"{self.source}: {self.read} offer{'' if self.read == 1 else 's'}; {told or 'nothing changed'}"


def read_sources(sources: Iterable[str], private: Collection[str] = ()) -> tuple[dict[str, list[JobOffer]], list[str]]:
    """The offers of each source, and all that is wrong with them, a line each.

    `private` are hosts that may be asked although their addresses are not public.
    """
    read: dict[str, list[JobOffer]] = {}
    faults: list[str] = []
    where: dict[str, str] = {}
    for source in dict.fromkeys(sources):
        try:
            read[source] = _read(source, private)
        except OfferFileError as error:
            faults += error.faults
            continue
        for offer in read[source]:
            if (other := where.setdefault(offer.id, source)) != source:
                faults.append(f"{source}: offer {offer.id} is in {other} too")
    return read, faults


def resolved(
    read: Mapping[str, list[JobOffer]], short_links: ShortLinks
) -> tuple[dict[str, list[JobOffer]], list[str]]:
    """The offers of each source with their short links resolved, and a line for each that could not be."""
    notes: list[str] = []

    def long(offer: JobOffer, link: str) -> str:
        found = short_links.resolve(link)
        if short_links.is_short(found):
            notes.append(f"offer {offer.id}: where {link} leads is not known, write the long link")
        return found

    return {
        source: [
            msgspec.structs.replace(offer, urls=tuple(dict.fromkeys(long(offer, link) for link in offer.urls)))
            for offer in offers
        ]
        for source, offers in read.items()
    }, notes


def planned(
    read: Mapping[str, list[JobOffer]], known: Mapping[str, JobOffer], now: int, *, may_empty: bool = False
) -> list[Import]:
    """What an import of these sources at `now` (ms) changes; nothing is written.

    Raises `RicochetError` where a source that had open offers has none at all, unless it `may_empty`: more often than
    that all its offers have closed, something is wrong with it.
    """
    before = dict(known)
    plans = []
    for source, offers in read.items():
        name = _name(source)
        open_ = sum(offer.source == name and not offer.ended(now) for offer in before.values())
        if not offers and open_ and not may_empty:
            raise RicochetError(f"{source}: no offer, where {open_} were open; give --empty if they have all closed")
        changed = changes(before.values(), offers, name, now)
        counts = dict.fromkeys(("new", "changed", "re-posted", "closed"), 0)
        for offer in changed:
            counts[_what(before.get(offer.id), offer, now)] += 1
            before[offer.id] = offer
        plans.append(Import(source, len(offers), changed, counts))
    return plans


def correction(root: str, offer: str, now: int) -> Assign:
    """The event that gives a root to an offer. Raises `RicochetError` where these are no ids."""
    for what, id in (("a post", root), ("an offer", offer)):
        if not 0 < len(id.encode(errors="replace")) <= MAX_ID_BYTES or not id.isprintable():
            raise RicochetError(f"{id!r} is no id of {what}")
    if not _NETWORK.match(root):
        raise RicochetError(f"post {root!r} has no network before it, as in x:{root}")
    digest = blake2b(f"{root}\n{offer}\n{now}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
    network = root.partition(":")[0]
    return Assign(v=1, id=f"{network}:assign-{digest}", network=network, at=now, offer=offer, root=root)


def assign(settings: Settings, event: Assign) -> bool:
    """Have a root, and all that was and will be shared of it, belong to an offer; whether it does already.

    It does not yet where workers, or an engine that is running, still have to take it in.
    """
    if settings.near_misses.exists():
        with NearMisses(settings.near_misses) as near:
            near.decide(event.root, event.offer, event.at)
    return corrections.send(settings, event, corrections.hashing_of(settings))


def _read(source: str, private: Collection[str]) -> list[JobOffer]:
    if feeds.is_feed(source):
        try:
            return feeds.read(source, private=private)
        except feeds.FeedError as error:
            raise OfferFileError([str(error)]) from None
    if source.lower().endswith(offer_files.SUFFIXES):
        return offer_files.read(source)
    names = ", ".join(f"{name}:..." for name in feeds.NAMES)
    suffixes = ", ".join(offer_files.SUFFIXES)
    raise OfferFileError([f"{source}: neither a file of offers ({suffixes}) nor a feed (a link, or {names})"])


def _name(source: str) -> str:
    """By what name a source is known: a file by its place, whatever folder it is named from."""
    return source if feeds.is_feed(source) else str(Path(source).absolute())


def _what(before: JobOffer | None, after: JobOffer, now: int) -> str:
    if before is None:
        return "new"
    if before.ended(now) != after.ended(now):
        return "closed" if after.ended(now) else "re-posted"
    return "changed"
