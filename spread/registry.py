"""Job offers themselves: what an employer says of one, apart from how it spreads.

Where an offer stands in its life is a function of its dates and of `now`, so nothing has to be told that it closed.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from spread.events import DAY_MS

CLOSING_MS: Final = 7 * DAY_MS
"""How long before its end an offer is closing."""


class State(StrEnum):
    """Where an offer stands in its life; only `closed` is not open to applicants."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    REPOSTED = "re-posted"


class JobOffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job offer. Times in ms; None where a date is not set.

    `family` is the kind of job (engineering, sales). A post belongs to the offer by its `urls`, by its `tags` (without
    `#`) from one of its `accounts` (`network:account`), or because it is one of its `posts` (`network:id`). `source` is
    where it was read; there, at `closed`, it was no longer, and at `reposted` it was again.
    """

    id: str
    title: str = ""
    company: str = ""
    place: str = ""
    family: str = ""
    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    posts: tuple[str, ...] = ()
    posted: int | None = None
    closes: int | None = None
    source: str = ""
    closed: int | None = None
    reposted: int | None = None

    @classmethod
    def unknown(cls, id: str) -> "JobOffer":
        """An offer of which the registry says nothing."""
        return cls(id=id)

    def state(self, now: int) -> State:
        """Its state at `now` (ms). What closes soon is closing, re-posted or not."""
        if self.ended(now):
            return State.CLOSED
        if self.closes is not None and self.closes - now <= CLOSING_MS:
            return State.CLOSING
        return State.OPEN if self.reposted is None else State.REPOSTED

    def ended(self, now: int) -> bool:
        """Whether it is closed at `now` (ms): by its date, or because it had gone from its source."""
        return (self.closes is not None and now > self.closes) or (self.closed is not None and now >= self.closed)


def read_again(known: JobOffer | None, read: JobOffer, now: int) -> JobOffer:
    """An offer as it is after it was `read` from its source at `now` (ms), given what was `known` of it.

    The source says all but the history: one that had closed and is open again is re-posted, then or when it says.
    """
    if known is None:
        return msgspec.structs.replace(read, closed=None, reposted=None)
    read = msgspec.structs.replace(read, closed=None, reposted=known.reposted)
    if known.ended(now) and not read.ended(now):
        ended = min(at for at in (known.closes, known.closed) if at is not None)
        again = read.posted if read.posted is not None and ended <= read.posted <= now else now
        return msgspec.structs.replace(read, reposted=again)
    if known.closed is not None and read.ended(now):
        return msgspec.structs.replace(read, closed=known.closed)
    return read


def changes(known: Iterable[JobOffer], read: Iterable[JobOffer], source: str, now: int) -> list[JobOffer]:
    """What differs after all offers of a `source` were read at `now` (ms), by id; those that have gone are closed.

    One that is known from another source changes hands: the last import has it.
    """
    before = {offer.id: offer for offer in known}
    after = {
        offer.id: read_again(before.get(offer.id), msgspec.structs.replace(offer, source=source), now) for offer in read
    }
    for offer in before.values():
        if offer.source == source and offer.id not in after and not offer.ended(now):
            after[offer.id] = msgspec.structs.replace(offer, closed=now)
    return [offer for id, offer in sorted(after.items()) if before.get(id) != offer]
