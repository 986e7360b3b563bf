"""Messages of a network that is pulled, made typed: with the fault that one has, and with what is asked in all of them.

A raw message is a dict. `{"followers": {"account": ..., "n": ...}, "at": ms}` and `{"gone": id, "at": ms}` are answers
in a shape of our own, the same for every network; the others are a network's own, and its `seen` says what they say.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from connectors.connector import Normal
from connectors.sightings import Removed
from spread.events import MAX_ID_BYTES, Profile, Rejected

_T = TypeVar("_T")


class _Followers(msgspec.Struct):
    account: str
    n: int


class _Asked(msgspec.Struct):
    followers: _Followers | None = None
    gone: str | None = None
    at: int = 0


def normalised(raw: Any, network: str, kind: type[_T], seen: Callable[[_T], Sequence[Normal]]) -> Sequence[Normal]:
    """What a message says, by `seen` where it is of the network's own `kind`. Never raises.

    `seen` may raise `ValueError` for a time of another form.
    """
    try:
        said = _asked(msgspec.convert(raw, _Asked), network) or seen(msgspec.convert(raw, kind))
    except msgspec.ValidationError as error:
        return [Rejected("mistyped field", str(error), b"")]
    except ValueError:
        return [Rejected("mistyped field", "a time of another form", b"")]
    if any(len(_id(one).encode()) > MAX_ID_BYTES for one in said):
        return [Rejected("too long", "an id", b"")]
    return said


def unnamed(what: str) -> Rejected:
    """Something of which the network does not say whose it is, or what it is about: an event needs both."""
    return Rejected("unnamed", f"{what} of which the network does not say whose it is, or what it is about", b"")


def _asked(message: _Asked, network: str) -> list[Normal]:
    at = message.at
    if message.gone is not None:
        return [Removed(target=f"{network}:{message.gone}", at=at)]
    if message.followers is not None:
        account, n = f"{network}:{message.followers.account}", message.followers.n
        id = f"{account}#profile-{at}"
        return [Profile(v=1, id=id, network=network, at=at, source="poll", actor=account, followers=n)]
    return []


def _id(one: Normal) -> str:
    return one.target if isinstance(one, Removed) else "" if isinstance(one, Rejected) else one.id
