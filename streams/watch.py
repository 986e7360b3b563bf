"""Who calls people: the conditions of the offers that move, looked at on the tick, each told once when it begins.

That people were told is a fact of the offer like any other, so a restart or another owner neither tells it again nor
takes it for over. A message that was lost with a crash is sent again under the same id.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from spread.conditions import Setting, Standing, Values, standings
from spread.episodes import REST_MS
from spread.facts import Called
from spread.offer import Offer
from spread.registry import JobOffer
from spread.thresholds import Thresholds
from spread.usual import PAST_MS, totals
from streams.offers import Offers
from streams.past import Past
from streams.table import Table

AT_ONCE: Final = 10
"""Offers that one tick looks at."""
_ROUND_MS: Final = 1_000
_SOON_MS, _LATER_MS = 60_000, 600_000
_LIVELY_MS: Final = 2 * 3_600_000
"""After its last act an offer is looked at each minute for so long."""
_WATCHED_MS: Final = 5 * 86_400_000
"""After its last act an offer is looked at for so long, or while people believe that something holds."""
_LEARN_EVERY_MS: Final = 3_600_000
_RECENT: Final = 1_000


class Alert(msgspec.Struct, frozen=True):
    """What is told in the topic `alerts`. Times in ms; `id` is the same for the beginning and the end."""

    v: int
    id: str
    offer: str
    condition: str
    state: str
    """`firing` or `resolved`."""
    since: int
    at: int
    values: Values


class Watch:
    """The offers of one stage. `about` says what is known of an offer beside how it spreads.

    Stages may share what is `past`.
    """

    def __init__(
        self, stage: Offers, about: Callable[[str], JobOffer], thresholds: Thresholds, past: Past | None = None
    ) -> None:
        self._stage, self._about, self._thresholds = stage, about, thresholds
        self._past = past or Past()
        self._watched: dict[str, int] = {}
        """Each offer with when it is looked at next (ms)."""
        self._looked: dict[str, int] = {}
        self._round: list[str] = []
        self._round_at: int | None = None
        self._unlearnt: list[str] = []
        self._learnt_at: int | None = None
        self.recent: deque[Alert] = deque(maxlen=_RECENT)
        stage.acted = {}

    def look(self, table: Table, now: int) -> list[Alert]:
        """Look at some offers that are due at `now` (ms); what is to be told, noted as told."""
        told: list[Alert] = []
        self._learn(table, now)
        for id in self._next(now):
            offer = self._stage.offer(id, table)
            del self._watched[id]
            if offer.closed is not None or not _is_watched(offer, now):
                self._looked.pop(id, None)
                continue
            alerts = list(self._news(offer, now))
            for alert in alerts:
                self._stage.note(id, Called(alert.condition, alert.since, alert.state == "resolved"))
            told += alerts
            self._watch_on(offer, now)
        self.recent.extend(told)
        return told

    def _next(self, now: int) -> list[str]:
        """Some offers that are due."""
        if not self._round and self._round_at != now // _ROUND_MS:
            if self._round_at is None:
                self._watched = dict.fromkeys((offer.id for offer in self._stage.loaded()), 0)
            self._round_at = now // _ROUND_MS
            acted, self._stage.acted = self._stage.acted, {}
            for id in acted or ():
                self._watched[id] = min(self._watched.get(id, now), self._looked.get(id, 0) + _SOON_MS)
            self._round = [id for id, at in self._watched.items() if at <= now]
        some, self._round = self._round[:AT_ONCE], self._round[AT_ONCE:]
        return some

    def setting(self, id: str) -> Setting:
        """What the conditions of an offer are told beside how it spreads."""
        job = self._about(id)
        ends = [at for at in (job.closes, job.closed) if at is not None]
        return Setting(min(ends, default=None), self._past.usual(job.company), self._thresholds)

    def _watch_on(self, offer: Offer, now: int) -> None:
        self._looked[offer.id] = now
        idle = now - offer.moved_at()
        self._watched[offer.id] = now + (_SOON_MS if idle < _LIVELY_MS else _LATER_MS)

    def _news(self, offer: Offer, now: int) -> Iterator[Alert]:
        for standing in standings(offer.timeline(), self.setting(offer.id), now):
            called = offer.called.get(standing.condition)
            if called is not None and not called.is_over:
                if standing.since is None:
                    yield _alert(offer.id, standing, called.since, now)
            elif standing.since is not None and standing.is_fresh(now):
                # Late facts may have moved the beginning of what people were told of before.
                is_new = called is None or called.since <= standing.since - REST_MS // 2
                if is_new:
                    yield _alert(offer.id, standing, standing.since, now)

    def _learn(self, table: Table, now: int) -> None:
        """Learn what is usual from all offers: looked through once an hour, a few at a time."""
        if not self._unlearnt and (self._learnt_at is None or now - self._learnt_at >= _LEARN_EVERY_MS):
            self._learnt_at = now
            self._unlearnt = [id for id in self._stage.ids(table) if id not in self._past]
        if not self._unlearnt:
            return
        some, self._unlearnt = self._unlearnt[:AT_ONCE], self._unlearnt[AT_ONCE:]
        for id in some:
            past = self._stage.offer(id, table).past()
            if past is not None and past[0] < now - PAST_MS:
                self._past.learn(id, self._about(id).company, totals(*past))
        if not self._unlearnt:
            self._past.compare()


def _is_watched(offer: Offer, now: int) -> bool:
    """Whether anything can begin or end: it moved of late, or people believe that something holds."""
    believed = any(not called.is_over for called in offer.called.values())
    return believed or now - offer.moved_at() < _WATCHED_MS


def _alert(offer: str, standing: Standing, since: int, now: int) -> Alert:
    state = "firing" if standing.since is not None else "resolved"
    id = f"{offer}/{standing.condition}/{since}"
    return Alert(1, id, offer, standing.condition, state, since, now, standing.values)
