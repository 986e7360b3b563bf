"""Job offers themselves: what an employer says of one, apart from how it spreads."""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where an offer stands in its life."""

    OPEN = "open"
    CLOSED = "closed"


class JobOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One job offer. Times in ms; `closes` is None where no date is set."""

    id: str
    title: str = ""
    company: str = ""
    place: str = ""
    posted: int | None = None
    closes: int | None = None

    def state(self, now: int) -> State:
        """Its state at `now` (ms)."""
        return State.CLOSED if self.closes is not None and now > self.closes else State.OPEN
