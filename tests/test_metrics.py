"""/metrics: named as Prometheus wants it, documented, true to the live state, and silent about people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from ricochet import metrics, worker_metrics
from ricochet.demo import play
from ricochet.simulator import Arrival, simulate
from ricochet.view import View
from spread.registry import JobOffer
from streams.embedded import Embedded
from streams.keeping import Keeping
from tests.crowd import NOON, crowd
from tests.drive import decoded
from tests.processes import Samples, samples
from tests.worlds import Event

MINUTE = 60_000
LABELS = {
    "offer",
    "network",
    "kind",
    "basis",
    "bound",
    "stage",
    "condition",
    "state",
    "reason",
    "company",
    "title",
    "generation",
}
NOT_BASE = {"ms", "milliseconds", "minutes", "hours", "days", "kilobytes", "megabytes", "kb", "mb", "percent"}


class Scraped:
    """An engine in memory with its metrics, at a clock of its own."""

    def __init__(self, shown: int = 50, retention_ms: int | None = None) -> None:
        self.engine = Embedded(keeping=Keeping(retention_ms))
        self.now = NOON + MINUTE
        self.jobs: dict[str, JobOffer] = {}
        self.view = View(self.engine, self.jobs, lambda: self.now)
        self.registry: CollectorRegistry = metrics.registry(self.view, shown)

    def __enter__(self) -> Scraped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.close()

    def feed(self, *events: Event) -> None:
        """Take events in as one batch."""
        self.engine.feed(decoded(events))

    def text(self) -> str:
        """Scrape."""
        return generate_latest(self.registry).decode()

    def samples(self) -> Samples:
        """Scrape, parsed."""
        return samples(self.text())

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples().get((f"ricochet_{name}", frozenset(labels.items())))

    def offers(self) -> set[str]:
        """Give the offers with series of their own."""
        return {dict(labels)["offer"] for name, labels in self.samples() if name == "ricochet_offer_depth"}


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    """Give an engine with metrics."""
    with Scraped() as made:
        yield made


def post(offer: str, at: int = NOON, network: str = "x") -> Event:
    """Make the root of an offer."""
    id = f"{network}:{offer}"
    employer = f"{network}:employer"
    return {
        **{"v": 1, "id": id, "kind": "post", "network": network, "at": at},
        **{"actor": employer, "offer": offer, "root": id},
    }


def share(n: int, offer: str, at: int = NOON + 1, network: str = "x", **more: object) -> Event:
    """Make a share of the root of an offer."""
    id, root = f"{network}:{offer}/{n}", f"{network}:{offer}"
    actor = f"{network}:{n}"
    return {
        **{"v": 1, "id": id, "kind": "share", "network": network, "at": at},
        **{"actor": actor, "offer": offer, "root": root},
    } | more


def other(kind: str, id: str, **more: object) -> Event:
    """Make an event of another kind on X."""
    return {"v": 1, "id": f"x:{id}", "kind": kind, "network": "x", "at": NOON + 2} | more


def test_every_metric_says_what_it_is() -> None:
    """Every metric has a help text and a name with our prefix, base units, and `_total` on counters alone."""
    families = [*metrics.families(), *worker_metrics.families()]
    assert len({family.name for family in families}) == len(families) > 30
    for family in families:
        words = family.name.split("_")
        assert words[0] == "ricochet", family.name
        assert family.documentation.endswith("."), family.name
        assert not NOT_BASE & set(words), family.name
        assert "total" not in words, family.name  # a counter's suffix is added when it is written


def test_no_label_names_a_person_or_a_post(scraped: Scraped) -> None:
    """The labels are few and known, and no value of one is an account or a post id."""
    play(list(simulate(1, NOON, 4).events), scraped.engine)
    scraped.now = NOON + 4 * 60 * MINUTE
    for (name, labels), _ in scraped.samples().items():
        for label, value in labels:
            assert label in LABELS | ({"le"} if name.endswith("_bucket") else set())
            assert ":" not in value, (name, label, value)


def test_the_page_of_metrics_is_current() -> None:
    """docs/metrics.md is what the code says, and names every metric."""
    page = Path(__file__).parents[1] / "docs" / "metrics.md"
    assert page.read_text() == metrics.documentation(), "run `make docs`"
    for family in [*metrics.families(), *worker_metrics.families()]:
        suffix = "_total" if family.type == "counter" else ""
        assert f"| `{family.name}{suffix}` | {family.type} |" in page.read_text()


def ours(families: Iterable[Metric]) -> set[str]:
    """Name the families that are not those of any process."""
    return {family.name for family in families if not family.name.startswith("process_")}


def test_both_formats_can_be_parsed(scraped: Scraped) -> None:
    """What is written parses as Prometheus text and as OpenMetrics, with the same families, empty or full."""
    names = set(metrics.names())
    for _ in range(2):
        text = scraped.text()
        # The parser of the older format takes a counter by its name without the suffix.
        assert ours(parse(text)) == names
        strict = openmetrics.generate_latest(scraped.registry).decode()  # type: ignore[no-untyped-call]
        families = parse_openmetrics(strict)  # type: ignore[no-untyped-call]
        assert ours(families) == names
        play(list(simulate(2, NOON, 4).events), scraped.engine)
        scraped.now = NOON + 4 * 60 * MINUTE
    assert scraped("offer_cascades", offer="backend-python") is not None


def test_an_offer_is_told_in_numbers(scraped: Scraped) -> None:
    """Each number of an offer is what its report says.

    x:o (employer, 100 followers)          bluesky:o (employer)
    ├── 1  declared, 30 followers          └── 1
    │   └── 2  inferred: 2 follows 1
    └── 3  assumed
    """
    scraped.jobs["o"] = JobOffer(id="o", closes=NOON + 10)
    scraped.feed(
        post("o") | {"followers": 100},
        share(1, "o", via="x:o", followers=30),
        share(2, "o", NOON + 2),
        share(3, "o", NOON + 20),
        post("o", NOON, "bluesky"),
        share(1, "o", NOON + 1, "bluesky"),
        other("ties", "t", actor="x:2", follows=["x:1"]),
        other("reply", "r", actor="x:4", offer="o", root="x:o", via="x:o"),
        other("counts", "c", offer="o", target="x:o", likes=7, impressions=1_000),
        other("counts", "c2", offer="o", target="bluesky:o", likes=2),
        other("outcome", "y", offer="o", stage="application", n=3),
    )
    scraped.now = NOON + 10  # still open
    assert scraped("offer_cascades", offer="o") == 2
    assert scraped("offer_nodes", offer="o", network="x") == 4
    assert scraped("offer_nodes", offer="o", network="bluesky") == 2
    assert scraped("offer_participants", offer="o", network="x") == 4
    assert scraped("offer_replies", offer="o") == 1
    assert scraped("offer_depth", offer="o") == 2
    assert scraped("offer_max_breadth", offer="o") == 3
    assert scraped("offer_structural_virality", offer="o") == pytest.approx(
        (4 * 1 + 2 * 2 * 2 + 3 * 2 - 2) / 12 * 2 / 2, abs=1
    )
    assert [scraped("offer_edges", offer="o", basis=basis) for basis in ("declared", "inferred", "assumed")] == [
        1,
        1,
        2,
    ]
    assert scraped("offer_reach_accounts", offer="o", bound="known") == 1
    assert scraped("offer_reach_accounts", offer="o", bound="low") == 100
    assert scraped("offer_reach_accounts", offer="o", bound="high") is None
    assert scraped("offer_shares_after_closing", offer="o") == 1
    assert scraped("offer_outcomes", offer="o", kind="application") == 3
    assert scraped("offers", state="closing") == 1
    assert scraped("offers", state="closed") == 0
    assert scraped("newest_event_timestamp_seconds") == (NOON + 20) / 1000


def test_speed_is_told_in_event_time(scraped: Scraped) -> None:
    """Shares per minute, their change and the half-life follow the clock that the view was given."""
    at = [NOON + n * MINUTE for n in (1, 2, 12, 13, 14)]
    scraped.feed(post("o"), *(share(n, "o", when) for n, when in enumerate(at)))
    scraped.now = NOON + 20 * MINUTE
    assert scraped("offer_shares_per_minute", offer="o") == pytest.approx(0.3)
    assert scraped("offer_shares_acceleration", offer="o") == pytest.approx(0.01)
    assert scraped("offer_half_life_seconds", offer="o") == 12 * 60
    scraped.now = NOON + 60 * MINUTE
    assert scraped("offer_shares_per_minute", offer="o") == 0


def test_a_delete_lowers_what_it_takes_away(scraped: Scraped) -> None:
    """A share that is taken back leaves the gauges; the events that were counted stay counted."""
    scraped.feed(post("o"), share(1, "o"), share(2, "o", via="x:o/1"))
    assert scraped("offer_nodes", offer="o", network="x") == 3
    assert scraped("offer_depth", offer="o") == 2
    scraped.feed(other("delete", "d", actor="x:2", target="x:o/2"))
    assert scraped("offer_nodes", offer="o", network="x") == 2
    assert scraped("offer_depth", offer="o") == 1
    assert scraped("events_total", kind="share", network="x") == 2
    assert scraped("events_total", kind="delete", network="x") == 1


def test_a_shown_offer_keeps_its_series_until_it_closes() -> None:
    """The most active offers have series; one that is shown stays, whoever comes later, until it closes."""
    with Scraped(shown=2) as scraped:
        scraped.feed(post("a", NOON), post("b", NOON + 1), post("c", NOON + 2))
        assert scraped.offers() == {"b", "c"}
        assert scraped("offers_not_shown") == 1
        scraped.feed(share(1, "a", NOON + 10), post("d", NOON + 11))
        assert scraped.offers() == {"b", "c"}
        assert scraped("offers_not_shown") == 2
        scraped.jobs["b"] = JobOffer(id="b", closes=NOON)
        assert scraped.offers() == {"c", "d"}
        assert scraped("offers_not_shown") == 1
        assert (scraped("offers", state="open"), scraped("offers", state="closed")) == (3, 1)


def test_no_offer_need_be_shown() -> None:
    """With none to be shown there are no series of offers, and all are counted as not shown."""
    with Scraped(shown=0) as scraped:
        scraped.feed(post("a"), post("b"))
        assert scraped.offers() == set()
        assert scraped("offers_not_shown") == 2


def test_events_are_counted_by_kind_and_network(scraped: Scraped) -> None:
    """Every event counts once by what it is and where, also a duplicate and one that is late; those count besides."""
    hour = 60 * MINUTE
    scraped.feed(post("o"), post("o", NOON, "bluesky"), share(1, "o", NOON + hour), share(1, "o", NOON + hour))
    scraped.feed(share(2, "o", NOON + 1), share(3, "o", NOON + hour - MINUTE), share(2, "o", NOON + 1))
    scraped.feed(other("gap", "g", at=NOON + hour, to=1, why="limits") | {"from": 0})
    assert scraped("events_total", kind="post", network="x") == 1
    assert scraped("events_total", kind="post", network="bluesky") == 1
    assert scraped("events_total", kind="share", network="x") == 5
    assert scraped("events_total", kind="gap", network="x") == 1
    assert scraped("duplicates_total") == 2
    assert scraped("late_events_total") == 2
    assert scraped("expired_events_total") == 0
    assert scraped("newest_event_timestamp_seconds") == (NOON + hour) / 1000


@pytest.mark.parametrize("kind", ["post", "share", "quote", "reply", "delete", "ties", "profile", "forget"])
def test_a_second_delivery_is_a_duplicate_whatever_its_kind(scraped: Scraped, kind: str) -> None:
    """The same event twice counts one duplicate."""
    fields: dict[str, dict[str, object]] = {
        "post": {"actor": "x:1", "offer": "o", "root": "x:e"},
        "share": {"actor": "x:1", "offer": "o", "root": "x:o"},
        "quote": {"actor": "x:1", "offer": "o", "root": "x:o", "via": "x:o"},
        "reply": {"actor": "x:1", "offer": "o", "root": "x:o", "via": "x:o"},
        "delete": {"actor": "x:1", "target": "x:7"},
        "ties": {"actor": "x:1", "follows": ["x:2"]},
        "profile": {"actor": "x:1", "followers": 9},
        "forget": {"actor": "x:1"},
    }
    event = other(kind, "e", **fields[kind])
    scraped.feed(event)
    assert scraped("duplicates_total") == 0
    scraped.feed(event)
    assert scraped("duplicates_total") == 1


def test_rejections_are_counted_by_their_reason(scraped: Scraped) -> None:
    """What was no event counts by the reason that was given."""
    play([Arrival(0, post("o")), Arrival(0, {"v": 1}), Arrival(0, post("o") | {"kind": "like"})] * 2, scraped.engine)
    assert scraped("rejected_total", reason="missing field") == 2
    assert scraped("rejected_total", reason="unknown kind") == 2
    assert scraped("events_total", kind="post", network="x") == 2


def test_expired_events_are_counted() -> None:
    """What is older than the retention is left out and counted."""
    with Scraped(retention_ms=60 * MINUTE) as scraped:
        scraped.feed(post("o", NOON + 120 * MINUTE), share(1, "o", NOON))
        assert scraped("expired_events_total") == 1
        assert scraped("offer_nodes", offer="o", network="x") == 1


def test_the_time_of_each_stage_is_a_histogram(scraped: Scraped) -> None:
    """Each stage counts its batches: buckets only grow, the last holds all, and the sum is their time."""
    for n in range(3):
        scraped.feed(*(json.loads(line) for line in crowd(n, 200, offers=2)))
    sampled = scraped.samples()
    for stage in ("people", "offers"):
        buckets = sorted(
            (float(dict(labels)["le"]), n)
            for (name, labels), n in sampled.items()
            if name == "ricochet_apply_seconds_bucket" and dict(labels)["stage"] == stage
        )
        counts = [n for _, n in buckets]
        assert counts == sorted(counts)
        assert buckets[-1][0] == float("inf")
        label = frozenset({("stage", stage)})
        assert sampled["ricochet_apply_seconds_count", label] == counts[-1] >= 3
        assert 0 < sampled["ricochet_apply_seconds_sum", label] < 60
