"""What the messages of a Mastodon instance say. Pure.

A message is what a stream or a timeline gave, in an envelope that says which instance it is of and when it came. Ids:

- A status goes by its `uri`, an account by its lower-case `name@instance`: each instance has numbers of its own for
  both, and one post that two of them see is one post. The number, `instance/123`, is an alias, since a deletion, a
  reply and a quote in a quote name no more.
- A boost goes by who boosted what: the employer is notified of a boost without being told its id, and whoever follows
  the booster sees it with one. An account boosts a status once; taken back and given again it is still that boost.

A boost of a boost is rewritten by the server to one of the first status, so no boost says through whom it came. What
only followers or the mentioned may see is left alone.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from lxml import etree

from connectors.connector import Normal
from connectors.sightings import Authored, Followed, Removed, Shared, Stated
from spread.events import MAX_ID_BYTES, UNREADABLE, Rejected

NETWORK: Final = "mastodon:"
OPEN: Final = ("public", "unlisted")
"""Visibilities that are read."""
TOTALS: Final = "totals"
"""An event of our own: a status that was asked for, for its totals."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_A_MS: Final = timedelta(milliseconds=1)
_AUTHORED: Final = ("mention", "quote", "status", "update", "quoted_update")
"""Notifications that bring a status somebody wrote."""


class Message(msgspec.Struct):
    """An event as a stream has it, its payload as text: of `instance`, to the account `me`, come at `seen` (ms)."""

    instance: str
    me: str
    event: str
    payload: str
    seen: int


class _Account(msgspec.Struct):
    acct: str
    followers_count: int | None = None


class _Tag(msgspec.Struct):
    name: str


class _Card(msgspec.Struct):
    url: str | None = None


class _Quote(msgspec.Struct):
    """Of a quote in a quote only the number."""

    state: str = ""
    quoted_status: "Status | None" = None
    quoted_status_id: str | None = None


class Status(msgspec.Struct):
    """A status, as far as it is read."""

    id: str
    uri: str
    created_at: datetime
    account: _Account
    visibility: str = ""
    content: str | None = None
    spoiler_text: str | None = None
    in_reply_to_id: str | None = None
    reblog: "Status | None" = None
    quote: _Quote | None = None
    tags: list[_Tag] = []
    card: _Card | None = None
    reblogs_count: int = 0
    quotes_count: int = 0
    favourites_count: int = 0
    replies_count: int = 0


class _Notification(msgspec.Struct):
    id: str
    type: str
    created_at: datetime
    account: _Account | None = None
    status: Status | None = None


class _TooLong(Exception):
    """An id of more bytes than an event takes."""


_message: Final = msgspec.json.Decoder(Message).decode
status_of: Final = msgspec.json.Decoder(Status).decode
_notification: Final = msgspec.json.Decoder(_Notification).decode


def normalise(raw: bytes) -> Sequence[Normal]:
    """What a message says."""
    try:
        return [*_seen(_message(raw))]
    except (*UNREADABLE, _TooLong) as error:
        if isinstance(error, _TooLong):
            return [Rejected("too long", "an id", raw)]
        reason = "mistyped field" if isinstance(error, msgspec.ValidationError) else "not JSON"
        return [Rejected(reason, str(error), raw)]


def account_of(acct: str, instance: str) -> str:
    """An account as events name it; an instance leaves itself out of the names of its own."""
    name = acct.lower()
    return f"{NETWORK}{name if '@' in name else f'{name}@{instance}'}"


def boost_of(actor: str, uri: str) -> str:
    """The id of an account's boost of a status."""
    return _id(f"{actor}/boosts/{uri}")


def _seen(message: Message) -> Iterator[Normal]:
    here = message.instance
    match message.event:
        case "update" | "status.update":
            yield from _of_status(status_of(message.payload), here)
        case "notification":
            yield from _of_notification(_notification(message.payload), message)
        case "delete":
            yield Removed(target=_alias(message.payload.strip('" '), here), at=message.seen)
        case _ if message.event == TOTALS:
            yield _stated(status_of(message.payload), message.seen)


def _of_status(status: Status, here: str) -> Iterator[Normal]:
    boosted = status.reblog
    if status.visibility not in OPEN or (boosted is not None and boosted.visibility not in OPEN):
        return
    if boosted is None:
        yield from _written(status, here, beside=False)
        return
    yield from _written(boosted, here, beside=True)
    yield _boost(status.account, status.created_at, boosted, here, alias=_alias(status.id, here))


def _of_notification(told: _Notification, message: Message) -> Iterator[Normal]:
    here, status = message.instance, told.status
    if told.type == "follow" and told.account is not None:
        id = _id(f"{NETWORK}{here}/notifications/{told.id}")
        actor = account_of(told.account.acct, here)
        yield Followed(id=id, actor=actor, at=millis(told.created_at), whom=account_of(message.me, here))
    elif status is None or status.visibility not in OPEN:
        return
    elif told.type in _AUTHORED:
        yield from _of_status(status, here)
    elif told.type == "reblog" and told.account is not None:
        boosted = status.reblog or status
        yield from _written(boosted, here, beside=True)
        yield _boost(told.account, told.created_at, boosted, here)


def _boost(account: _Account, at: datetime, boosted: Status, here: str, alias: str | None = None) -> Shared:
    actor = account_of(account.acct, here)
    return Shared(
        id=boost_of(actor, boosted.uri),
        actor=actor,
        at=millis(at),
        of=_id(f"{NETWORK}{boosted.uri}"),
        followers=_followers(account),
        alias=alias,
    )


def _written(status: Status, here: str, *, beside: bool) -> Iterator[Authored]:
    """A status, after the one that it quotes, if that is shown."""
    quote = status.quote if status.quote is not None and status.quote.state == "accepted" else None
    quotes = None
    if quote is not None and quote.quoted_status is not None:
        if quote.quoted_status.visibility in OPEN:
            yield from _written(quote.quoted_status, here, beside=True)
        quotes = _id(f"{NETWORK}{quote.quoted_status.uri}")
    elif quote is not None and quote.quoted_status_id is not None:
        quotes = _alias(quote.quoted_status_id, here)
    text, links = _read(status.content or "")
    card = status.card.url if status.card is not None else None
    yield Authored(
        id=_id(f"{NETWORK}{status.uri}"),
        actor=account_of(status.account.acct, here),
        at=millis(status.created_at),
        text="\n".join(filter(None, (status.spoiler_text, text))),
        urls=tuple(dict.fromkeys([*links, *([card] if card else [])])),
        tags=tuple(dict.fromkeys(tag.name for tag in status.tags)),
        quotes=quotes,
        replies_to=_alias(status.in_reply_to_id, here) if status.in_reply_to_id else None,
        followers=_followers(status.account),
        beside=beside,
        alias=_alias(status.id, here),
    )


def _stated(status: Status, seen: int) -> Stated:
    """Totals of a status: boosts and quotes are both shares."""
    id = _id(f"{NETWORK}{status.uri}")
    return Stated(
        id=_id(f"{id}#totals-{seen}"),
        at=seen,
        target=id,
        shares=status.reblogs_count + status.quotes_count,
        likes=status.favourites_count,
        replies=status.replies_count,
    )


def _read(html: str) -> tuple[str, list[str]]:
    """The text of a status, and where its links lead; mentions and hashtags are no links."""
    if "<" not in html and "&" not in html:
        return html, []
    parser = etree.HTMLParser(encoding="utf-8", recover=True, no_network=True)
    try:
        page = etree.fromstring(b"<div>%s</div>" % html.encode(errors="replace"), parser)
    except (etree.LxmlError, ValueError):
        return "", []
    if page is None:
        return "", []
    links = [
        a.get("href")
        for a in page.iter("a")
        if a.get("href", "").startswith(("http://", "https://")) and "mention" not in a.get("class", "").split()
    ]
    for tag in page.iter("br", "p"):
        tag.tail = f"\n{tag.tail or ''}"
    return "".join(page.itertext("*")).strip(), links


def _followers(account: _Account) -> int | None:
    """How many follow an account; some hide it behind a number below zero."""
    count = account.followers_count
    return count if count is not None and count >= 0 else None


def _alias(number: str, here: str) -> str:
    return _id(f"{NETWORK}{here}/{number}")


def _id(id: str) -> str:
    if len(id.encode(errors="replace")) > MAX_ID_BYTES:
        raise _TooLong
    return id


def millis(at: datetime) -> int:
    """A moment in ms since 1970."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // _A_MS
