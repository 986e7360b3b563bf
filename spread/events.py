"""The social event (contract v1): what connectors send, and the one way into the domain.

Decoding never raises: a message gives events, and a `Rejected` with its reason for each part that is none.
Times are milliseconds since 1970 UTC. Ids are opaque strings of at most 512 bytes.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, field

MAX_BATCH: Final = 5_000
MAX_MESSAGE_BYTES: Final = 8 * 2**20
"""The longest message that any topic takes: an event with lists of 5,000 accounts fits."""
MAX_ID_BYTES: Final = 512
MAX_TEXT_BYTES: Final = 64 * 1024
DAY_MS: Final = 86_400_000

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Network = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}\Z")]
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""A moment, up to the year 9999."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
Followers = Annotated[int, Meta(ge=0, le=10**12)]
"""Bounded so that a million of them add up in 64 bits."""
Text = Annotated[str, Meta(max_length=MAX_TEXT_BYTES)]
Accounts = Annotated[list[Id], Meta(max_length=MAX_BATCH)]


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False, tag_field="kind"):
    """What all kinds share. `for_offer` is set between the stages only: the offer that this copy is meant for."""

    v: Literal[1]
    id: Id
    network: Network
    at: Millis
    source: Id | None = None
    for_offer: Id | None = None


class Act(Event, kw_only=True, omit_defaults=True, gc=False):
    """An account did something with an offer."""

    actor: Id
    offer: Id
    root: Id
    also: list[Id] | None = None
    followers: Followers | None = None


class Post(Act, kw_only=True, omit_defaults=True, gc=False, tag="post"):
    """A root: somebody published the offer."""

    # Not a post's to say; between the stages it keeps that another delivery of the same id was no post and had one.
    via: Id | None = field(default=None, name="via_of_another_delivery")
    text: Text | None = None
    urls: list[Text] | None = None
    tags: list[Text] | None = None
    role: Literal["company", "employee", "other"] | None = None


class Share(Act, kw_only=True, omit_defaults=True, gc=False, tag="share"):
    """A retweet, repost, reshare or boost."""

    via: Id | None = None


class Quote(Act, kw_only=True, omit_defaults=True, gc=False, tag="quote"):
    """A share with words of its own."""

    via: Id
    text: Text | None = None


class Reply(Act, kw_only=True, omit_defaults=True, gc=False, tag="reply"):
    """Engagement; no node of the tree, though a `via` may lead through it."""

    via: Id
    text: Text | None = None


class Delete(Event, kw_only=True, omit_defaults=True, gc=False, tag="delete"):
    """`actor` took its own `target` back."""

    actor: Id
    target: Id


class Ties(Event, kw_only=True, omit_defaults=True, gc=False, tag="ties"):
    """Who follows whom around `actor`. `revision` counts the differing deliveries merged into this one (internal)."""

    actor: Id
    follows: Accounts | None = None
    unfollows: Accounts | None = None
    followed_by: Accounts | None = None
    complete: bool | None = None
    part: Count | None = None
    of: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    list: Id | None = None
    revision: int = 0


class Profile(Event, kw_only=True, omit_defaults=True, gc=False, tag="profile"):
    """The actor's follower count, a snapshot."""

    actor: Id
    followers: Followers


class Counts(Event, kw_only=True, omit_defaults=True, gc=False, tag="counts"):
    """Totals as the network states them."""

    offer: Id
    target: Id
    shares: Count | None = None
    likes: Count | None = None
    replies: Count | None = None
    impressions: Count | None = None
    clicks: Count | None = None


class Outcome(Event, kw_only=True, omit_defaults=True, gc=False, tag="outcome"):
    """The funnel behind the post, never a candidate's data."""

    offer: Id
    stage: Literal["click", "application", "hire"]
    n: Count
    via: Id | None = None


class Assign(Event, kw_only=True, omit_defaults=True, gc=False, tag="assign"):
    """A person's correction: this root belongs to this offer."""

    offer: Id
    root: Id


class Forget(Event, kw_only=True, omit_defaults=True, gc=False, tag="forget"):
    """Erase this account."""

    actor: Id


class Gap(Event, kw_only=True, omit_defaults=True, gc=False, tag="gap"):
    """The connector was blind for this window."""

    from_: Millis = field(name="from")
    to_: Millis = field(name="to")
    why: Text


AnyAct = Post | Share | Quote | Reply
AnyEvent = AnyAct | Delete | Ties | Profile | Counts | Outcome | Assign | Forget | Gap


class Rejected(msgspec.Struct):
    """A part of a message that is no event, with the reason in words.

    `index` is its place in the batch, or None where the whole message is refused.
    """

    reason: str
    detail: str
    raw: bytes
    index: int | None = None


_DECODER: Final = msgspec.json.Decoder(AnyEvent | list[AnyEvent])
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for what it can't read; the last of them for what is nested too deeply."""
_BLANK: Final = b" \t\r\n"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{},]', re.DOTALL)


def decode(message: bytes, recorded_at: int | None = None) -> list[AnyEvent | Rejected]:
    """Read one message: an event, or an array of up to 5,000 of them.

    `recorded_at` (ms) is the record's own timestamp; events more than a day ahead of it are refused. Without it
    (a file has none) that is not judged. Never raises: what is bad comes back as `Rejected`, the rest is used.
    """
    try:
        decoded = _DECODER.decode(message)
    except UNREADABLE as error:
        is_batch = message.lstrip(_BLANK).startswith(b"[")
        return list(_decode_parts(message, recorded_at)) if is_batch else [_rejected(message, error)]
    # Escapes only make a text longer, so neither a short message nor a pure ASCII one without them needs a look at
    # single lengths in bytes.
    plain = len(message) <= MAX_ID_BYTES or (message.isascii() and b"\\u" not in message)
    if not isinstance(decoded, list):
        if plain and recorded_at is None and decoded.for_offer is None and type(decoded) is not Post:
            return [decoded]  # as good as every line of a file: there is nothing more to look at
        fault = _fault(decoded, plain, recorded_at)
        return [decoded if fault is None else Rejected(*fault, message)]
    if len(decoded) > MAX_BATCH:
        return [_too_many(message, len(decoded))]
    checked: list[AnyEvent | Rejected] = []
    for index, event in enumerate(decoded):
        fault = _fault(event, plain, recorded_at)
        checked.append(event if fault is None else Rejected(*fault, msgspec.json.encode(event), index))
    return checked


def decode_from_stage(message: bytes) -> list[AnyEvent | Rejected]:
    """Read an array that a stage sent: what only a stage may say is believed, and all was checked on its way in."""
    try:
        found = _DECODER.decode(message)
    except UNREADABLE as error:
        return [_rejected(message, error)]
    return list(found) if isinstance(found, list) else [found]


def _decode_parts(message: bytes, recorded_at: int | None) -> Iterator[AnyEvent | Rejected]:
    parts = _split(message)
    if parts is None:
        yield Rejected("not JSON", "an array without an end", message)
        return
    if len(parts) > MAX_BATCH:
        yield _too_many(message, len(parts))
        return
    for index, raw in enumerate(parts):
        if raw.lstrip(_BLANK).startswith(b"["):
            yield Rejected("mistyped field", "an array within an array", raw, index)
            continue
        for result in decode(raw, recorded_at):
            if isinstance(result, Rejected):
                result.index = index
            yield result


def _split(array: bytes) -> list[bytes] | None:
    """The elements of a JSON array as they stand, however bad they are; None if its brackets don't match."""
    parts, depth, start = [], 0, 0
    for token in _TOKEN.finditer(array):
        mark = array[token.start()]
        if mark in b"[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in b"]}":
            depth -= 1
        if (mark == ord(",") and depth == 1) or (mark in b"]}" and depth == 0):
            parts.append(array[start : token.start()])
            start = token.end()
        if depth == 0 and mark != ord('"'):
            return parts if not array[start:].strip(_BLANK) else None
    return None


def _too_many(message: bytes, events: int) -> Rejected:
    return Rejected("batch too long", f"{events} events, at most {MAX_BATCH}", message)


def _rejected(message: bytes, error: Exception) -> Rejected:
    detail = str(error)
    if not isinstance(error, msgspec.ValidationError):
        reason = "not JSON"
    elif "missing required field" in detail:
        reason = "missing field"
    elif "Invalid value" in detail and "`$.kind`" in detail:
        reason = "unknown kind"
    elif "length <=" in detail:
        reason = "too long"
    else:
        reason = "mistyped field"
    return Rejected(reason, detail, message)


def _fault(event: AnyEvent, plain: bool, recorded_at: int | None) -> tuple[str, str] | None:
    """What the types alone can't say, as reason and detail; what only the stages may say is not believed."""
    if event.for_offer is not None:
        event.for_offer = None
    if type(event) is Post:
        event.via = None
    if recorded_at is not None and event.at > recorded_at + DAY_MS:
        return "from the future", f"at {event.at} is more than a day ahead of its record"
    if type(event) is Post and event.root != event.id:
        return "mistyped field", "a post is its own root"
    if not plain:
        for name in event.__struct_fields__:
            value = getattr(event, name)
            limit = MAX_TEXT_BYTES if name in ("text", "why") else MAX_ID_BYTES
            if isinstance(value, str) and len(value) * 4 > limit and len(value.encode()) > limit:
                return "too long", f"{name} has over {limit} bytes"
            ids = value if isinstance(value, list) and name not in ("urls", "tags") else ()
            if any(len(item) * 4 > limit and len(item.encode()) > limit for item in ids):
                return "too long", f"an id in {name} has over {limit} bytes"
    return None


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785 for the values events have): the order in which differing deliveries are compared."""
    return msgspec.json.encode(value, order="sorted")


_T = TypeVar("_T")


def smaller(one: _T, other: _T) -> _T:
    """Of two values of one field: the present one, and of two the smaller in canonical JSON."""
    if other is None or one == other:
        return one
    if one is None or canonical(other) < canonical(one):
        return other
    return one


_E = TypeVar("_E", bound=Event)


def merge(one: _E, other: _E) -> _E:
    """Two deliveries of one id, field by field. Commutative, associative and idempotent."""
    return type(one)(**{name: smaller(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__})


def key(event: AnyEvent) -> str:
    """The Kafka key of an event in `social-events`: its actor; the network of a gap; the offer of the rest."""
    if isinstance(event, Act):  # as good as all of them
        return event.actor
    if isinstance(event, Gap):
        return event.network
    if isinstance(event, Counts | Outcome | Assign):
        return event.offer
    return event.actor
