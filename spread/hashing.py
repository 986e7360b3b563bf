"""Hashing at the door: accounts and other people's posts become names that only this installation's key can make.

The rule:

- Every name in an event is replaced: accounts, posts, the event's own id (it is often made of them) and a list's id.
  An offer's id, the network and the source are nobody's names and stay.
- A name is replaced by the same other one wherever it stands, or the tree would fall apart: the `id` of a share is
  the `via` of the next. So what a name becomes depends on the key and the name alone, never on the event around it.
- What `own` contains stays in clear: the employer's accounts, and its posts by their ids. Whoever fills `own` has a
  post in it before any event that names the post, and for good; the post's actor does not make it one of the
  employer's, since a share of it, which may well come first, does not say whose it is.
- What is hashed already stays, so a name may pass any number of doors.
- Texts, links and tags are dropped: whoever matches posts with offers has done so before.

Another key makes another installation: nothing that came before is recognised.
"""

import base64
import hmac
import re
from collections.abc import Container
from typing import Any, Final, TypeVar

import msgspec

from spread.events import Event

NAMES: Final = frozenset({"id", "actor", "root", "via", "target", "list"})
LISTS: Final = frozenset({"follows", "unfollows", "followed_by"})
DROPPED: Final = frozenset({"text", "urls", "tags"})

_BITS: Final = 128
_NETWORK: Final = re.compile(r"([a-z][a-z0-9_.-]{0,63}):")
_HASHED: Final = re.compile(r"(?:[a-z][a-z0-9_.-]{0,63}:)?#[a-z2-7]{26}\Z")

_E = TypeVar("_E", bound=Event)


class Hashing:
    """The names of one installation: a secret key, and what is the employer's `own`."""

    def __init__(self, key: bytes, own: Container[str] = frozenset()) -> None:
        if not key:
            raise ValueError("hashing needs a key")
        self._key = key
        self._own = own
        self._fields: dict[type[Event], tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {}

    def name(self, name: str) -> str:
        """`network:#` and the keyed HMAC-SHA-256 of a name, 128 bits in lower-case base32.

        What does not begin with a network loses its beginning too.
        """
        if name in self._own or _HASHED.match(name):
            return name
        digest = hmac.digest(self._key, name.encode(), "sha256")[: _BITS // 8]
        network = _NETWORK.match(name)
        return f"{network[0] if network else ''}#{base64.b32encode(digest).decode().rstrip('=').lower()}"

    def event(self, event: _E) -> _E:
        """The event without the names of people."""
        names, lists, dropped = self._fields.get(type(event)) or self._fields_of(type(event))
        changed: dict[str, Any] = dict.fromkeys(dropped)
        for field in names:
            if (value := getattr(event, field)) is not None:
                changed[field] = self.name(value)
        for field in lists:
            if (value := getattr(event, field)) is not None:
                changed[field] = [self.name(one) for one in value]
        return msgspec.structs.replace(event, **changed)

    def _fields_of(self, kind: type[Event]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        fields = kind.__struct_fields__
        sorts = tuple(tuple(field for field in fields if field in sort) for sort in (NAMES, LISTS, DROPPED))
        self._fields[kind] = sorts[0], sorts[1], sorts[2]
        return self._fields[kind]
