"""What is to be seen of an engine at a moment: for /metrics, the web and the live table alike."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from spread.offer import Offer
from spread.registry import JobOffer, State
from streams.clock import wall_clock
from streams.health import Health
from streams.watch import Alert

_UNKNOWN = JobOffer(id="")
_TOP = 10
"""Accounts that an offer's detail tells of."""


class Engine(Protocol):
    """What is asked of an engine, whichever it is: of a worker about its own offers alone."""

    health: Health

    def offer(self, id: str) -> Offer:
        """One offer, to ask it. An unknown one is empty."""
        ...

    def knows(self, id: str) -> bool:
        """Whether anything has come of an offer."""
        ...

    def offers(self) -> list[str]:
        """The ids of all offers."""
        ...

    def busy(self) -> Iterable[Offer]:
        """The offers in memory."""
        ...

    def alerts(self) -> list[Alert]:
        """What was told lately."""
        ...

    def state_bytes(self) -> int:
        """Bytes of what is stored."""
        ...


class View:
    """Questions to an engine, at `now`. The registry says what the offers are; a live `now` is the wall clock.

    `names` gives the names of those who agreed to be named, by account; nobody else's account or name shows.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Mapping[str, JobOffer] | None = None,
        now: Callable[[], int] = wall_clock,
        names: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.engine = engine
        self.now = now
        self._names = names
        self._registry = {} if registry is None else registry
        self._shown: set[str] = set()

    def job(self, offer: Offer) -> JobOffer:
        """What the registry says of an offer."""
        return self.about(offer.id)

    def about(self, id: str) -> JobOffer:
        """What the registry says of an offer that has this id."""
        return self._registry.get(id) or JobOffer.unknown(id)

    def state(self, offer: Offer) -> State:
        """The state of an offer: closed by its date, or because all about it has expired."""
        return State.CLOSED if offer.closed is not None else self.job(offer).state(self.now())

    def shown(self, limit: int) -> list[Offer]:
        """The most active open offers, at most `limit`. One that was shown stays until it closes."""
        open_ = {offer.id: offer for offer in self.engine.busy() if self.state(offer) is not State.CLOSED}
        self._shown &= open_.keys()
        free = max(0, limit - len(self._shown))
        others = (offer for id, offer in open_.items() if id not in self._shown)
        self._shown.update(offer.id for offer in heapq.nlargest(free, others, key=lambda o: (o.last_at(), o.nodes())))
        return [open_[id] for id in sorted(self._shown)]

    def offers(self) -> Iterable[dict[str, Any]]:
        """A short account of every offer."""
        for id in self.engine.offers():
            yield self.summary(self.engine.offer(id))

    def summary(self, offer: Offer) -> dict[str, Any]:
        """A short account of one offer."""
        job = self.job(offer)
        about = {"title": job.title, "company": job.company, "place": job.place, "state": self.state(offer)}
        if offer.closed is not None:
            return {**msgspec.json.decode(offer.closed.lines[-1]), **about}
        speed = msgspec.to_builtins(offer.velocity(self.now()))
        return {**msgspec.to_builtins(offer.line()), **about, "velocity": speed}

    def detail(self, id: str) -> dict[str, Any] | None:
        """All there is to say of one offer, or None if nothing of it is known."""
        if not self.engine.knows(id):
            return None
        offer = self.engine.offer(id)
        summary = self.summary(offer)
        if offer.closed is not None:
            closed = offer.closed
            cascades = [msgspec.json.decode(line) for line in closed.lines[:-1]]
            curve = {"start": closed.curve_start, "width": closed.curve_width, "counts": closed.curve}
            return {**summary, "cascades_by_root": cascades, "curve": curve}
        job = self.job(offer)
        return {
            **summary,
            "posted": job.posted,
            "closes": job.closes,
            "shares_after_closing": offer.shares_after(job.closes) if job.closes is not None else 0,
            "cascades_by_root": msgspec.to_builtins(offer.cascades()),
            "told": {
                name: {"since": called.since, "is_over": called.is_over}
                for name, called in sorted(offer.called.items())
            },
            "bases": offer.bases(),
            "passed_on": self._passed_on(offer),
            "reach_by_generation": offer.reach_by_generation(),
            "curve": msgspec.to_builtins(offer.curve()),
            "totals": offer.totals(),
            "funnel": offer.funnel(),
        }

    def _passed_on(self, offer: Offer) -> list[dict[str, Any]]:
        """Through whom most had it: how many, by the basis of that, with the name of who agreed to it."""
        found = offer.passed_on()
        names = self._names()
        top = heapq.nsmallest(_TOP, found, key=lambda account: (-sum(found[account].values()), account))
        return [{"name": names.get(account), **found[account]} for account in top]
