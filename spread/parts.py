"""What an offer closed with on single networks, as it goes on elsewhere: totals, joined again with what lives.

Accounts of different networks are different accounts, so their numbers add up.
"""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import msgspec

from spread import report
from spread.facts import Closed
from spread.reach import Reach
from spread.report import CascadeLine, OfferLine, OnNetwork


def cascade_lines(parts: Iterable[Closed]) -> Iterator[CascadeLine]:
    """The lines of the cascades in some parts."""
    lines = (report.decode(line) for part in parts for line in part.lines)
    return (line for line in lines if isinstance(line, CascadeLine))


def whole(line: OfferLine, breadths: list[int], parts: Iterable[Closed]) -> OfferLine:
    """The line of an offer with its parts; `breadths` are the living nodes at each depth without them."""
    for part in parts:
        breadths = [*map(sum, zip_longest(breadths, part.breadths, fillvalue=0))]
        other = report.decode(part.lines[-1])
        assert isinstance(other, OfferLine)
        line = _sum(line, other, max(breadths, default=0))
    return line


def _sum(one: OfferLine, other: OfferLine, max_breadth: int) -> OfferLine:
    networks = dict(one.networks)
    for network, there in other.networks.items():
        known = networks.get(network, OnNetwork(0, 0))
        networks[network] = OnNetwork(known.nodes + there.nodes, known.participants + there.participants)
    return OfferLine(
        one.offer,
        one.cascades + other.cascades,
        one.nodes + other.nodes,
        one.participants + other.participants,
        one.replies + other.replies,
        max(one.depth, other.depth),
        max_breadth,
        _reach(one, other),
        dict(sorted(networks.items())),
    )


def _reach(one: OfferLine, other: OfferLine) -> Reach:
    for line, rest in ((one, other), (other, one)):
        if not line.nodes:
            return rest.reach
    names = ("known", "low", "estimate", "high", "beyond")
    pairs = [(getattr(one.reach, name), getattr(other.reach, name)) for name in names]
    added = [None if None in pair else sum(pair) for pair in pairs]
    return msgspec.convert(dict(zip(names, added, strict=True)), Reach)
