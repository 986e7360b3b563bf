"""How often each condition would have fired on published cascades: whether the thresholds call people too often.

Each cascade is an offer that is looked at from its first post to five days after its last share. Half of a set is held
against the other half as past offers. The data lies where RICOCHET_TEST_CASCADES says; the simulated days need none.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from bench.result import Result
from ricochet.simulator import HOUR, simulate
from spread.conditions import NAMES, Setting, history
from spread.events import DAY_MS, AnyEvent, Rejected, decode
from spread.offer import Offer
from spread.usual import Usual, totals, usual
from streams.embedded import Embedded
from tests import real_cascades

_BATCH: Final = 20_000
_DAYS: Final = 20
_START: Final = 1_767_225_600_000


def measure() -> list[Result]:
    """By set, the offers of which each condition would have fired at least once, and the most times for one offer."""
    sets: list[tuple[str, Iterable[dict[str, Any]]]] = [("simulated", _simulated())]
    data = real_cascades.folder()
    if data is None:
        print(f"{real_cascades.VARIABLE} is not set: simulated days alone", file=sys.stderr)
    else:
        files = real_cascades.figures(data)
        sets += [(name, read(data / files[name]["file"])) for name, read in real_cascades.SETS.items()]
    return [result for name, events in sets for result in _fired(name, events)]


def _fired(name: str, events: Iterable[dict[str, Any]]) -> Iterator[Result]:
    with Embedded() as engine:
        batch: list[AnyEvent] = []
        for event in events:
            batch += [one for one in decode(msgspec.json.encode(event)) if not isinstance(one, Rejected)]
            if len(batch) >= _BATCH:
                engine.feed(batch)
                batch = []
        engine.feed(batch)
        ids = engine.offers()
        against = [_usual(engine.offer(id) for id in ids[half::2]) for half in (1, 0)]
        offers, times = Counter[str](), Counter[str]()
        most = 0
        for place, id in enumerate(ids):
            offer = engine.offer(id)
            setting = Setting(usual=against[place % 2])
            found = history(offer.timeline(), setting, offer.last_at() + 5 * DAY_MS)
            for condition, spans in found.items():
                offers[condition] += bool(spans)
                times[condition] += len(spans)
            most = max(most, *map(len, found.values()))
    for condition in NAMES:
        yield Result(f"{name}: {condition}", offers[condition], f"of {len(ids):,}, {times[condition]} times")
    yield Result(f"{name}: most times for one offer", most)


def _usual(offers: Iterable[Offer]) -> Usual | None:
    return usual([totals(*past) for past in (offer.past() for offer in offers) if past is not None])


def _simulated() -> Iterator[dict[str, Any]]:
    for seed in range(_DAYS):
        for arrival in simulate(seed, _START + seed * DAY_MS, DAY_MS / HOUR).events:
            event = arrival.event
            # The same accounts and ids come each day.
            renamed = {
                field: f"{event[field]}/{seed}" for field in ("id", "root", "via", "target", "offer") if field in event
            }
            yield event | renamed
