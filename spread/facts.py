"""What is kept of an event: facts.

An offer's state is a set of these, and all that is derived can be made again from them. They merge as sets: any
order, any repetition, any subset delivered twice gives the same state. They are also what travels from PEOPLE to
OFFERS. No text is kept.
"""

from enum import Enum, auto
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from spread.events import AnyAct, Delete, Post, Profile, Quote, Reply, Share, Ties

ENCODING: Final = 3
"""Version of what is stored and sent.

A new field comes last in its struct, with a default, and like a new struct raises this number: so each version reads
all before it, and refuses those after it, never misreading them.
"""

POST, QUOTE, REPLY, SHARE = range(4)  # in the order of their canonical JSON, as deliveries of one id are compared
KIND_NAMES: Final = ("post", "quote", "reply", "share")
_KIND: Final[dict[type[AnyAct], int]] = {Post: POST, Quote: QUOTE, Reply: REPLY, Share: SHARE}

Digests = NDArray[np.uint64]


class Change(Enum):
    """What a delivery did."""

    NOTHING = auto()
    NEW = auto()
    MERGED = auto()
    """Another delivery of an id said something that the first had not."""


class ActFact(msgspec.Struct, array_like=True, gc=False, tag=1):
    """A post, share, quote or reply. `actor` is None once its account was erased; `at` in ms."""

    id: str
    kind: int
    network: str
    at: int
    actor: str | None
    offer: str
    root: str
    via: str | None = None
    followers: int | None = None

    def event(self, for_offer: str) -> AnyAct:
        """The event again, as far as it was kept, on its way to another offer. Not for an erased act."""
        assert self.actor is not None
        event: AnyAct = _CLASSES[self.kind](
            v=1, id=self.id, network=self.network, at=self.at, actor=self.actor, offer=self.offer, root=self.root,
            via=self.via, followers=self.followers, for_offer=for_offer,
        )  # fmt: skip
        return event


class DeleteFact(msgspec.Struct, array_like=True, gc=False, tag=2):
    """An account took `target` back, at some moment (ms); 0 where an earlier encoding did not say when."""

    id: str
    actor: str
    target: str
    at: int = 0


class TiesFact(msgspec.Struct, array_like=True, gc=False, tag=3):
    """A list of ties.

    The lists are packed little-endian 64-bit digests of accounts; `revision` orders the versions of one id.
    """

    id: str
    at: int
    actor: str
    revision: int
    follows: bytes | None
    unfollows: bytes | None
    followed_by: bytes | None
    complete: bool
    part: int | None
    of: int | None
    list: str | None


class ProfileFact(msgspec.Struct, array_like=True, gc=False, tag=4):
    """An account's stated follower count at a moment."""

    id: str
    at: int
    actor: str
    followers: int


class CountsFact(msgspec.Struct, array_like=True, gc=False, tag=5):
    """Totals a network states for a post; `None` where it stated none."""

    id: str
    at: int
    network: str
    target: str
    shares: int | None
    likes: int | None
    replies: int | None
    impressions: int | None
    clicks: int | None


class OutcomeFact(msgspec.Struct, array_like=True, gc=False, tag=6):
    """`n` clicks, applications or hires that came of the offer."""

    id: str
    at: int
    network: str
    stage: str
    n: int


class AssignFact(msgspec.Struct, array_like=True, gc=False, tag=7):
    """A person's correction: `root` belongs to `offer`."""

    id: str
    at: int
    root: str
    offer: str


class EraseFact(msgspec.Struct, array_like=True, gc=False, tag=8):
    """An account to be erased wherever it is named."""

    actor: str


class Closed(msgspec.Struct, array_like=True, gc=False, tag=9):
    """What stays of an offer whose facts have expired: its report lines, as JSON, and its curve.

    With `networks` only what happened on those has expired, and the offer goes on elsewhere; `breadths` are the living
    nodes there at each depth.
    """

    closed_at: int
    lines: list[bytes]
    curve_start: int
    curve_width: int
    curve: list[int]
    networks: list[str] = []
    breadths: list[int] = []


class Called(msgspec.Struct, array_like=True, gc=False, tag=10):
    """That people were told of a condition which began at `since` (ms), and, once it is over, that it is."""

    condition: str
    since: int
    is_over: bool


OfferFact = ActFact | DeleteFact | TiesFact | ProfileFact | CountsFact | OutcomeFact | Closed | Called
"""What an offer stores."""
Fact = OfferFact | AssignFact | EraseFact
"""What OFFERS receives."""

_CLASSES: Final[dict[int, Any]] = {POST: Post, QUOTE: Quote, REPLY: Reply, SHARE: Share}


class Segment(msgspec.Struct, array_like=True):
    """An immutable part of what is stored of one offer."""

    version: int
    facts: list[OfferFact]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Segment)


class NewerEncoding(ValueError):
    """Something was written by a newer version of Ricochet, which this one must not guess at."""


def refuse_newer(what: str, version: int) -> None:
    """Raise `NewerEncoding` for what has a version after this one."""
    if version > ENCODING:
        raise NewerEncoding(f"{what} has encoding {version}, this version of Ricochet reads up to {ENCODING}")


def encode_segment(facts: list[OfferFact]) -> bytes:
    """Facts as they are stored."""
    return _ENCODER.encode(Segment(ENCODING, facts))


def decode_segment(stored: bytes) -> list[OfferFact]:
    """Stored facts. Raises `NewerEncoding`, or `ValueError` on a damaged row."""
    try:
        segment = _DECODER.decode(stored)
    except msgspec.DecodeError as error:
        raise ValueError(f"a stored segment can't be read: {error}") from None
    refuse_newer("a stored segment", segment.version)
    return segment.facts


def act_fact(act: AnyAct) -> ActFact:
    """What is kept of a post, share, quote or reply."""
    kind = _KIND[type(act)]
    return ActFact(act.id, kind, act.network, act.at, act.actor, act.offer, act.root, act.via, act.followers)


def digest(account: str) -> int:
    """64 bits that stand for an account where only sets of accounts matter.

    BLAKE2b, without a key: accounts were hashed with one at the door.
    """
    return int.from_bytes(blake2b(account.encode(), digest_size=8).digest(), "little")


def pack(accounts: list[str]) -> bytes:
    """Accounts as sorted, distinct digests, 8 bytes each."""
    distinct = sorted({digest(account) for account in accounts})
    return np.array(distinct, dtype="<u8").tobytes()


def unpack(packed: bytes) -> Digests:
    """The digests of a packed list, sorted."""
    return np.frombuffer(packed, dtype="<u8").astype(np.uint64, copy=False)


def ties_fact(ties: Ties) -> TiesFact:
    """What an offer keeps of a list of ties."""
    return TiesFact(
        id=ties.id,
        at=ties.at,
        actor=ties.actor,
        revision=ties.revision,
        follows=_packed(ties.follows),
        unfollows=_packed(ties.unfollows),
        followed_by=_packed(ties.followed_by),
        complete=bool(ties.complete),
        part=ties.part,
        of=ties.of,
        list=ties.list,
    )


def _packed(side: list[str] | None) -> bytes | None:
    return None if side is None else pack(side)


def delete_fact(delete: Delete) -> DeleteFact:
    """What an offer keeps of a delete."""
    return DeleteFact(delete.id, delete.actor, delete.target, delete.at)


def profile_fact(profile: Profile) -> ProfileFact:
    """What an offer keeps of a profile snapshot."""
    return ProfileFact(profile.id, profile.at, profile.actor, profile.followers)
