"""The lines of the report (contract, section 5)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from spread.reach import Reach

_PLACES: Final = 9


class Edges(msgspec.Struct, frozen=True):
    """Living nodes by the basis of the edge above them."""

    declared: int
    inferred: int
    assumed: int


class Exposure(msgspec.Struct, frozen=True):
    """Living nodes without a declared parent, by whom they could have had it from."""

    root: int
    others: int
    none: int


class CascadeLine(msgspec.Struct, frozen=True, tag_field="type", tag="cascade"):
    """One cascade. Times in ms."""

    offer: str
    root: str
    root_seen: bool
    network: str
    nodes: int
    participants: int
    depth: int
    max_breadth: int
    structural_virality: float
    edges: Edges
    exposure: Exposure
    reach: Reach
    first_at: int
    last_at: int
    anomalies: int


class OnNetwork(msgspec.Struct, frozen=True):
    """What happened on one network."""

    nodes: int
    participants: int


class OfferLine(msgspec.Struct, frozen=True, tag_field="type", tag="offer"):
    """One offer: the forest of its cascades."""

    offer: str
    cascades: int
    nodes: int
    participants: int
    replies: int
    depth: int
    max_breadth: int
    reach: Reach
    networks: dict[str, OnNetwork]


class InputLine(msgspec.Struct, frozen=True, tag_field="type", tag="input"):
    """What a file held."""

    events: int
    rejected: int
    duplicates: int
    gaps: int


class EdgeLine(msgspec.Struct, frozen=True):
    """A living node and its parent, which may be a joint. `probability` is None until an estimator gives it."""

    root: str
    child: str
    parent: str
    basis: str
    probability: float | None


class NodeLine(msgspec.Struct, frozen=True):
    """A living node: what it was, when (ms), how many hands it went through, and its account's followers if told."""

    root: str
    id: str
    kind: str
    network: str
    at: int
    depth: int
    followers: int | None


Line = CascadeLine | OfferLine | InputLine | EdgeLine | NodeLine


_READ: Final = msgspec.json.Decoder(CascadeLine | OfferLine)


def encode(line: Line) -> bytes:
    """A line as it is written, without its line break."""
    return msgspec.json.encode(line)


def decode(line: bytes) -> CascadeLine | OfferLine:
    """A written line of a cascade or an offer."""
    read: CascadeLine | OfferLine = _READ.decode(line)
    return read


def began(lines: Iterable[bytes]) -> int | None:
    """When the first node of the cascades among written lines came, in ms; None without any."""
    return min((line.first_at for line in map(decode, lines) if isinstance(line, CascadeLine)), default=None)


def rounded(value: float) -> float:
    """A float as reports have it."""
    return round(value, _PLACES)


EMPTY_REACH: Final = Reach(0, 0, 0, 0, None)
