"""How items travel between the stages through Kafka, and what becomes of a bad message.

To OFFERS goes a MessagePack array of the version and of pairs (offer, or null for all; fact). Back to PEOPLE go social
events as JSON, marked by a header: only from a stage is `for_offer` believed.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from spread.events import UNREADABLE, AnyEvent, Rejected
from spread.facts import ENCODING, Fact, refuse_newer

FROM_STAGE: Final = ("ricochet-from", b"stage")
"""The header of messages that a stage sent."""
MESSAGE_BYTES: Final = 512 * 1024
_ITEMS: Final = 500

Pair = tuple[str | None, Fact]


class _Envelope(msgspec.Struct, array_like=True):
    version: int
    pairs: list[msgspec.Raw]


class _Good(msgspec.Struct, array_like=True):
    version: int
    pairs: list[Pair]


_TO_MSGPACK: Final = msgspec.msgpack.Encoder()
_FROM_GOOD: Final = msgspec.msgpack.Decoder(_Good)
_FROM_ENVELOPE: Final = msgspec.msgpack.Decoder(_Envelope)
_FROM_PAIR: Final = msgspec.msgpack.Decoder(Pair)
_TO_JSON: Final = msgspec.json.Encoder()


def pair(offer: str | None, fact: Fact) -> bytes:
    """An item for OFFERS."""
    return _TO_MSGPACK.encode((offer, fact))


def envelope(pairs: list[bytes]) -> bytes:
    """A message for OFFERS."""
    return _TO_MSGPACK.encode(_Envelope(ENCODING, [msgspec.Raw(one) for one in pairs]))


def open_envelope(message: bytes) -> list[Pair | Rejected]:
    """The items of a message for OFFERS. Raises `NewerEncoding`."""
    try:
        good = _FROM_GOOD.decode(message)
        if good.version <= ENCODING:
            return [*good.pairs]
    except UNREADABLE:
        pass  # told apart item by item
    try:
        found = _FROM_ENVELOPE.decode(message)
    except UNREADABLE as error:
        return [Rejected("not an envelope", str(error), message)]
    refuse_newer("a message", found.version)
    results: list[Pair | Rejected] = []
    for index, raw in enumerate(found.pairs):
        try:
            results.append(_FROM_PAIR.decode(raw))
        except UNREADABLE as error:
            results.append(Rejected("not a fact", str(error), bytes(raw), index))
    return results


def social_event(event: AnyEvent) -> bytes:
    """An item for PEOPLE."""
    return _TO_JSON.encode(event)


def batch(events: list[bytes]) -> bytes:
    """A message for PEOPLE."""
    return b"[" + b",".join(events) + b"]"


def split(items: Iterable[bytes]) -> Iterable[list[bytes]]:
    """Items as they fit into messages: a bounded number and, but for a single large one, of bounded size."""
    some: list[bytes] = []
    size = 0
    for item in items:
        if some and (size + len(item) > MESSAGE_BYTES or len(some) == _ITEMS):
            yield some
            some, size = [], 0
        some.append(item)
        size += len(item)
    if some:
        yield some
