"""The watch: each condition is told once when it begins and once when it is over, whatever restarts meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ricochet.metrics import registry
from ricochet.view import View
from spread.conditions import NAMES
from spread.registry import JobOffer
from spread.thresholds import DEFAULTS
from streams.embedded import Embedded
from streams.past import Past
from streams.watch import Alert, Watch
from tests.drive import Drive, decoded
from tests.worlds import NOON, Event

MINUTE = 60_000
DAY = 24 * 60
START = NOON // MINUTE * MINUTE
"""A whole minute, so that what happens at one is seen at it."""


def post(offer: str, minute: float = 0) -> Event:
    """Make the root of an offer."""
    return event("post", f"x:{offer}", minute, actor="x:company", offer=offer, root=f"x:{offer}")


def share(offer: str, n: int, minute: float) -> Event:
    """Make a share of it."""
    return event("share", f"x:{offer}/{n}", minute, actor=f"x:{n}", offer=offer, root=f"x:{offer}")


def event(kind: str, id: str, minute: float, **more: object) -> Event:
    """Make an event."""
    return {"v": 1, "id": id, "kind": kind, "network": "x", "at": START + int(minute * MINUTE), **more}


def burst(offer: str = "o", start: float = 100) -> list[Event]:
    """Make ten shares within ten minutes."""
    return [share(offer, n, start + n) for n in range(10)]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Name a state file."""
    return tmp_path / "state"


def opened(state: Path | None = None, jobs: dict[str, JobOffer] | None = None) -> Embedded:
    """Open an engine that watches."""
    engine = Embedded(state)
    engine.warm_up()
    engine.watch(lambda id: (jobs or {}).get(id) or JobOffer.unknown(id), DEFAULTS)
    return engine


def looks(engine: Embedded, start: int, end: int, step: int = 1) -> Iterator[Alert]:
    """Look at each minute, or at fewer; what is told."""
    for minute in range(start, end, step):
        yield from engine.look(START + minute * MINUTE)


def told(alerts: Iterator[Alert]) -> list[tuple[str, str, int]]:
    """Give what was told, and when, in minutes."""
    return [(alert.condition, alert.state, (alert.at - START) // MINUTE) for alert in alerts]


def test_a_beginning_is_told_once_and_so_is_the_end(state: Path) -> None:
    """Ten shares in half an hour are one alert with its figures; its end has the same id; restarts repeat neither."""
    with opened(state) as engine:
        engine.feed(decoded([post("o"), *burst()]))
        (fired,) = looks(engine, 100, 112)
        assert (fired.id, fired.state, fired.since) == (f"o/takes_off/{START + 109 * MINUTE}", "firing", fired.since)
        assert fired.values == {"shares_in_30_min": 10.0, "usual_in_30_min": 0.0}
        assert list(looks(engine, 112, 130)) == []
    with opened(state) as engine:
        assert list(looks(engine, 130, 150)) == []
        assert engine.offer("o").called["takes_off"].since == fired.since
    with opened(state) as engine:
        (over,) = looks(engine, 150, 300)
        assert (over.id, over.state, over.since) == (fired.id, "resolved", fired.since)
        assert engine.alerts() == [over]
    with opened(state) as engine:
        assert list(looks(engine, 300, 600)) == []


@pytest.mark.parametrize(("minute", "fires"), [(109, True), (138, True), (139, False), (500, False)])
def test_what_began_long_ago_calls_nobody(minute: int, fires: bool) -> None:
    """Facts that come half an hour after a condition began by them are history."""
    with opened() as engine:
        engine.feed(decoded([post("o"), *burst()]))
        assert bool(list(looks(engine, minute, minute + 1))) == fires


def test_a_flapping_offer_makes_no_storm() -> None:
    """An offer that takes off and falls quiet every two hours, for two days, calls four times a day at most."""
    with opened() as engine:
        numbers = iter(range(10_000))
        for start in range(0, 2 * DAY, 120):
            engine.feed(decoded([post("o"), *(share("o", next(numbers), start + n) for n in range(40))]))
        fired = [one for one in told(looks(engine, 0, 2 * DAY + 600, 5)) if one[:2] == ("takes_off", "firing")]
    assert 2 <= len(fired) <= 8
    with opened() as engine:  # within each hour up and down again: one episode
        for start in range(0, DAY, 50):
            engine.feed(decoded([post("p"), *(share("p", start + n, start + n / 2) for n in range(11))]))
        conditions = [one[:2] for one in told(looks(engine, 0, DAY))]
    assert conditions.count(("takes_off", "firing")) <= 1


def test_watching_changes_no_report(state: Path) -> None:
    """The report of an offer is the same byte for byte, watched and told of or not."""
    events = decoded([post("o"), *burst()])
    with Embedded() as engine:
        engine.feed(events)
        plain = engine.report_lines("o")
    with opened(state) as engine:
        engine.feed(events)
        assert len(list(looks(engine, 100, 300))) == 2
        assert engine.report_lines("o") == plain
    with Embedded(state) as engine:
        assert engine.report_lines("o") == plain


def test_many_offers_get_their_turn() -> None:
    """Of a hundred offers that take off at once each is told of, a few at a look."""
    offers = [f"o{n}" for n in range(100)]
    with opened() as engine:
        engine.feed(decoded([post(offer) for offer in offers] + [one for offer in offers for one in burst(offer)]))
        first = list(looks(engine, 109, 110))
        assert 0 < len(first) < 20
        everything = first + [
            alert for second in range(60) for alert in engine.look(START + 109 * MINUTE + second * 1_000)
        ]
    assert sorted(alert.offer for alert in everything) == sorted(offers)


def test_an_offer_is_held_against_its_company_s_past_ones(state: Path) -> None:
    """With five past offers of its company, in memory or not, one that falls silent far below them is quiet early."""
    jobs = {f"old{n}": JobOffer(id=f"old{n}", company="Korrigan") for n in range(5)}
    jobs |= {name: JobOffer(id=name, company=company) for name, company in (("o", "Korrigan"), ("p", "Another"))}
    with Embedded(state) as before:
        for number in range(5):
            id = f"old{number}"
            before.feed(decoded([post(id, -9 * DAY), *(share(id, n, -9 * DAY + 60 * n) for n in range(40))]))
    with Embedded(state) as engine:
        engine.watch(lambda id: jobs[id], DEFAULTS)
        engine.feed(decoded([post(id) for id in ("o", "p")]))
        alerts = list(looks(engine, 0, 2 * DAY, 10))
    assert [(alert.offer, alert.condition) for alert in alerts] == [("o", "gone_quiet_early")]
    assert float(alerts[0].values["past_offers"]) > 20


def test_stages_of_one_process_share_the_past() -> None:
    """An offer is held against its company's past ones where each of them is in another stage, as on a worker."""
    jobs = {id: JobOffer(id=id, company="Korrigan") for id in ("o", *(f"old{n}" for n in range(5)))}
    past, stages = Past(), [Drive() for _ in jobs]
    for stage, id in zip(stages, jobs, strict=True):
        start = 0 if id == "o" else -9 * DAY
        stage.feed([post(id, start), *(share(id, n, start + 60 * n) for n in range(40) if start)])
    watches = [Watch(stage.pipeline.offers, lambda id: jobs[id], DEFAULTS, past) for stage in stages]
    alerts = [
        alert
        for minute in range(0, 2 * DAY, 10)
        for watch, stage in zip(watches, stages, strict=True)
        for alert in watch.look(stage.offers, START + minute * MINUTE)
    ]
    assert [(alert.offer, alert.condition) for alert in alerts] == [("o", "gone_quiet_early")]


def test_clicks_on_a_quiet_offer_are_told_of() -> None:
    """An offer that nobody has shared for weeks is looked at again when people click it."""
    with opened() as engine:
        engine.feed(decoded([post("o", -30 * DAY)]))
        list(looks(engine, 0, 10))
        outcome = event("outcome", "x:c", 20, offer="o", stage="click", n=60)
        engine.feed(decoded([outcome]))
        assert told(looks(engine, 20, 30)) == [("clicks_without_applications", "firing", 20)]


def test_the_end_of_an_offer_comes_from_the_registry() -> None:
    """Shares after the closing date in the registry make it spread although closed."""
    jobs = {"o": JobOffer(id="o", closes=START + 50 * MINUTE)}
    with opened(jobs=jobs) as engine:
        engine.feed(decoded([post("o"), *burst()]))
        conditions = {alert.condition for alert in looks(engine, 100, 112)}
    assert conditions == {"takes_off", "spreads_although_closed"}


def test_metrics_say_what_people_were_told() -> None:
    """`ricochet_offer_condition` is 1 from the call until it is over and 0 else, for every condition."""
    with opened() as engine:
        now = START
        metrics = registry(View(engine, {}, lambda: now), 50)

        def value(condition: str) -> float | None:
            return metrics.get_sample_value("ricochet_offer_condition", {"offer": "o", "condition": condition})

        engine.feed(decoded([post("o"), *burst()]))
        assert {name: value(name) for name in NAMES} == dict.fromkeys(NAMES, 0.0)
        list(looks(engine, 100, 112))
        assert {name: value(name) for name in NAMES} == dict.fromkeys(NAMES, 0.0) | {"takes_off": 1.0}
        list(looks(engine, 112, 300))
        assert value("takes_off") == 0.0


def test_an_alert_names_nobody() -> None:
    """What is told holds the offer, the condition and figures, and no account and no post."""
    with opened() as engine:
        engine.feed(decoded([post("o"), *burst()]))
        (alert,) = looks(engine, 100, 112)
    assert "x:" not in json.dumps([alert.id, alert.values])
