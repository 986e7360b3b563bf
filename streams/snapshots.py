"""What anybody may read of an offer in the topic `spread`: bounded in size, whatever the offer has grown to."""

from collections.abc import Iterable
from typing import Final

import msgspec

from spread import report
from spread.offer import Offer

EVERY_S: Final = 5.0
AT_ONCE: Final = 25
NETWORKS: Final = 16
"""A snapshot tells of this many networks, the largest: their names come with the events, so there may be any number."""


class Due:
    """The offers that are due for a snapshot: each in a round that it was touched since, a few at a time."""

    def __init__(self) -> None:
        self._touched: dict[str, None] = {}
        self._round: list[str] = []
        self._began = -EVERY_S

    def touch(self, offers: Iterable[str]) -> None:
        """Something has come of these offers."""
        self._touched.update(dict.fromkeys(offers))

    def next(self, moment: float) -> list[str]:
        """Some that are due at a moment of the steady clock, in seconds."""
        if not self._round and self._touched and moment - self._began >= EVERY_S:
            self._round, self._touched, self._began = [*self._touched], {}, moment
        some, self._round = self._round[:AT_ONCE], self._round[AT_ONCE:]
        return some


def snapshot(offer: Offer, now: int, worker: str) -> bytes:
    """An offer at `now` (ms) as JSON: its report line, its shares over time, and where its worker answers."""
    if offer.closed is None:
        curve = offer.curve()
        line = offer.line()
        velocity = msgspec.to_builtins(offer.velocity(now))
        history = {"start": curve.start, "width": curve.width, "counts": curve.counts}
    else:
        line = msgspec.json.decode(offer.closed.lines[-1], type=report.OfferLine)
        velocity = None
        history = {
            "start": offer.closed.curve_start,
            "width": offer.closed.curve_width,
            "counts": offer.closed.curve,
        }
    return msgspec.json.encode(
        {
            "v": 1,
            "at": now,
            "worker": worker,
            "state": "open" if offer.closed is None else "closed",
            "line": _bounded(line),
            "velocity": velocity,
            "history": history,
        }
    )


def _bounded(line: report.OfferLine) -> report.OfferLine:
    if len(line.networks) <= NETWORKS:
        return line
    largest = sorted(line.networks, key=lambda network: (-line.networks[network].nodes, network))[:NETWORKS]
    return msgspec.structs.replace(line, networks={network: line.networks[network] for network in largest})
