"""What a network's message says, before anybody knows which offer it belongs to.

`normalise` gives these; `connectors.completion` makes events of them with the journal and the offers, and drops what
concerns none. Ids and accounts are `network:native`, times are ms by the network's clock. Where a network has one id
for everybody and one that only a server of its knows, `alias` is the second: what names that is taken for the first.
"""

from typing import Literal

import msgspec


class Authored(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account wrote something: a post, a quote or a reply, as will be seen.

    `quotes`, `replies_to` and `thread` (the post at the top of the conversation) are ids. `tags` without `#`. `named`
    is an offer that the network itself says it belongs to (the tag of a rule), `refs` are texts that may be the id of
    one (those of a campaign). `beside`: it was only shown beside another message, or asked for, and is no news if it is
    known.
    """

    id: str
    actor: str
    at: int
    text: str = ""
    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    quotes: str | None = None
    replies_to: str | None = None
    thread: str | None = None
    followers: int | None = None
    named: str | None = None
    refs: tuple[str, ...] = ()
    beside: bool = False
    alias: str | None = None


class Shared(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account passed `of` on, as it stands. `via` only where the network records through whom. `beside` as above.

    `named` is the offer of `of`, where that itself is not told.
    """

    id: str
    actor: str
    at: int
    of: str
    via: str | None = None
    followers: int | None = None
    alias: str | None = None
    named: str | None = None
    beside: bool = False


class Removed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something is gone: a post, a share, a follow. `actor` where the network says whose it was."""

    target: str
    at: int
    actor: str | None = None


class Followed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account follows another. `id` is that of the record, which a later `Removed` names."""

    id: str
    actor: str
    at: int
    whom: str


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account is gone with all it wrote: for good (it is to be forgotten), or hidden by itself or the network."""

    id: str
    actor: str
    at: int
    for_good: bool


class Stated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Totals of a post as the network states them."""

    id: str
    at: int
    target: str
    shares: int | None = None
    likes: int | None = None
    replies: int | None = None
    impressions: int | None = None
    clicks: int | None = None


class Resulted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`n` people clicked, applied or were hired, by what an address or a campaign says of the offer.

    `network` is where they came from. Nothing here is about any of them.
    """

    id: str
    at: int
    stage: Literal["click", "application", "hire"]
    n: int
    network: str
    refs: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


Sighting = Authored | Shared | Removed | Followed | Withdrawn | Stated | Resulted
