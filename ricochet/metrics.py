"""/metrics: read from live state at each scrape, so that nothing stale survives.

What derives from state is a gauge (a delete lowers it); counters count events processed since the process started.
Times are in seconds. Labels never name an account or a post.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ricochet import connector_metrics, worker_metrics
from ricochet.view import View
from spread.conditions import NAMES
from spread.offer import Offer
from spread.registry import State
from streams.health import APPLY_BUCKETS_S, Health

OFFER: Final = "offer"
_GENERATIONS: Final = 6
"""Generations with a series of their own; as good as no cascade is deeper."""

_GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "offer_cascades": ("Cascades of an offer: roots with a living node.", (OFFER,)),
    "offer_nodes": ("Living posts, shares and quotes of an offer.", (OFFER, "network")),
    "offer_participants": ("Distinct accounts behind the living nodes of an offer.", (OFFER, "network")),
    "offer_replies": ("Living replies to an offer's posts and shares.", (OFFER,)),
    "offer_depth": ("Edges from a root to its deepest living node, the greatest of the offer's cascades.", (OFFER,)),
    "offer_max_breadth": ("Most living nodes of an offer at one depth.", (OFFER,)),
    "offer_structural_virality": (
        "Mean distance between two living nodes, in edges, of the offer's largest cascade.",
        (OFFER,),
    ),
    "offer_edges": ("Living nodes of an offer by how sure their parent is.", (OFFER, "basis")),
    "offer_generation_nodes": (
        "Living nodes of an offer by their depth, 0 for the posts; the last one holds all deeper ones too.",
        (OFFER, "generation"),
    ),
    "offer_reach_accounts": (
        "Distinct accounts that follow somebody who posted or shared: known ones, bounds (low, high) and an estimate"
        " between them, and known ones beyond the authors' own followers. A bound that is not known is left out.",
        (OFFER, "bound"),
    ),
    "offer_shares_per_minute": ("Shares of an offer over the last ten minutes, per minute.", (OFFER,)),
    "offer_shares_acceleration": ("Change of the shares per minute, per minute.", (OFFER,)),
    "offer_half_life_seconds": ("Time from the first post until half of the shares so far had come.", (OFFER,)),
    "offer_shares_after_closing": ("Living shares later than the offer's closing date.", (OFFER,)),
    "offer_stated": (
        "The networks' own totals over the offer's posts: shares, likes, replies, impressions, clicks.",
        (OFFER, "kind"),
    ),
    "offer_outcomes": ("Clicks, applications and hires that came of an offer.", (OFFER, "kind")),
    "offer_condition": (
        "1 while people are told that the condition holds of the offer (docs/conditions.md), else 0.",
        (OFFER, "condition"),
    ),
    "offer_info": ("1, with what the registry says of an offer.", (OFFER, "company", "title")),
    "network_edges": (
        "Living nodes on a network by how sure their parent is, of the offers that are shown.",
        ("network", "basis"),
    ),
    "offers": ("Offers in memory, by state.", ("state",)),
    "offers_not_shown": ("Open offers in memory without metrics of their own.", ()),
    "state_nodes": ("Posts, shares, quotes and replies kept in memory, taken back ones included.", ()),
    "state_memory_bytes": ("Memory held by the offers in memory, about.", ()),
    "state_stored_bytes": ("Stored facts.", ()),
    "newest_event_timestamp_seconds": ("Event time of the newest event.", ()),
}
_COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "events": ("Social events taken in.", ("kind", "network")),
    "duplicates": ("Events about accounts that said nothing new.", ()),
    "rejected": ("Messages, or parts of them, that are no events.", ("reason",)),
    "late_events": ("Events more than 60 s behind the newest in event time.", ()),
    "expired_events": ("Events older than the retention, or of an offer whose facts have expired; left out.", ()),
}
_APPLY: Final = ("apply_seconds", "Time that a stage takes for a batch.", ("stage",))


class StateCollector(Collector):
    """Everything on /metrics, from a view of the engine."""

    def __init__(self, view: View, offers_shown: int) -> None:
        self._view, self._offers_shown = view, offers_shown

    def collect(self) -> Iterator[Metric]:
        """Read the state now."""
        gauges = {
            name: GaugeMetricFamily(f"ricochet_{name}", help_, labels=labels)
            for name, (help_, labels) in _GAUGES.items()
        }
        shown = self._view.shown(self._offers_shown)
        ids = {offer.id for offer in shown}
        for offer in self._view.engine.busy():
            # Whatever people are told of is there, so that it can call them.
            if offer.id not in ids and any(not called.is_over for called in offer.called.values()):
                self._add_conditions(gauges, offer)
        networks: Counter[tuple[str, str]] = Counter()
        for offer in shown:
            self._add_offer(gauges, offer)
            for network, bases in offer.bases_by_network().items():
                networks.update({(network, basis): edges for basis, edges in bases.items()})
        for labels, edges in networks.items():
            gauges["network_edges"].add_metric(labels, edges)
        self._add_state(gauges, len(shown))
        yield from gauges.values()
        yield from _health(self._view.engine.health)

    def describe(self) -> Iterator[Metric]:
        """What there is, without reading the state."""
        return families()

    def _add_offer(self, gauges: dict[str, GaugeMetricFamily], offer: Offer) -> None:
        id, line = offer.id, offer.line()
        largest = max(offer.cascades(), key=lambda cascade: cascade.nodes, default=None)
        velocity = offer.velocity(self._view.now())
        for network, there in line.networks.items():
            gauges["offer_nodes"].add_metric((id, network), there.nodes)
            gauges["offer_participants"].add_metric((id, network), there.participants)
        for basis, edges in offer.bases().items():
            gauges["offer_edges"].add_metric((id, basis), edges)
        generations = offer.generations()
        deepest = [sum(generations[_GENERATIONS:])] if len(generations) > _GENERATIONS else []
        for generation, nodes in enumerate(generations[:_GENERATIONS] + deepest):
            name = f"{generation}+" if generation == _GENERATIONS else str(generation)
            gauges["offer_generation_nodes"].add_metric((id, name), nodes)
        for bound in ("known", "low", "estimate", "high", "beyond"):
            accounts = getattr(line.reach, bound)
            if accounts is not None:
                gauges["offer_reach_accounts"].add_metric((id, bound), accounts)
        stated: dict[str, int] = {}
        for totals in offer.totals().values():
            for kind, n in totals.items():
                stated[kind] = stated.get(kind, 0) + n
        for kind, n in stated.items():
            gauges["offer_stated"].add_metric((id, kind), n)
        for kind, n in offer.funnel().items():
            gauges["offer_outcomes"].add_metric((id, kind), n)
        self._add_conditions(gauges, offer)
        closes = self._view.job(offer).closes
        single = {
            "offer_cascades": line.cascades,
            "offer_replies": line.replies,
            "offer_depth": line.depth,
            "offer_max_breadth": line.max_breadth,
            "offer_structural_virality": largest.structural_virality if largest else 0.0,
            "offer_shares_per_minute": velocity.shares_per_minute,
            "offer_shares_acceleration": velocity.acceleration,
            "offer_half_life_seconds": velocity.half_life_s,
            "offer_shares_after_closing": offer.shares_after(closes) if closes is not None else 0,
        }
        for name, value in single.items():
            if value is not None:
                gauges[name].add_metric((id,), value)

    def _add_conditions(self, gauges: dict[str, GaugeMetricFamily], offer: Offer) -> None:
        for condition in NAMES:
            called = offer.called.get(condition)
            holds = called is not None and not called.is_over
            gauges["offer_condition"].add_metric((offer.id, condition), int(holds))
        job = self._view.job(offer)
        gauges["offer_info"].add_metric((offer.id, job.company, job.title or offer.id), 1)

    def _add_state(self, gauges: dict[str, GaugeMetricFamily], shown: int) -> None:
        engine = self._view.engine
        states = dict.fromkeys(State, 0)
        nodes = nbytes = 0
        for offer in engine.busy():
            states[self._view.state(offer)] += 1
            nodes += offer.nodes()
            nbytes += offer.nbytes()
        for state, n in states.items():
            gauges["offers"].add_metric((state.value,), n)
        gauges["offers_not_shown"].add_metric((), sum(states.values()) - states[State.CLOSED] - shown)
        gauges["state_nodes"].add_metric((), nodes)
        gauges["state_memory_bytes"].add_metric((), nbytes)
        gauges["state_stored_bytes"].add_metric((), engine.state_bytes())
        if engine.health.newest:
            gauges["newest_event_timestamp_seconds"].add_metric((), engine.health.newest / 1000)


def _health(health: Health) -> Iterator[Metric]:
    counters = {
        name: CounterMetricFamily(f"ricochet_{name}", help_, labels=labels)
        for name, (help_, labels) in _COUNTERS.items()
    }
    for labels, n in health.events.items():
        counters["events"].add_metric(labels, n)
    for reason, n in health.rejected.items():
        counters["rejected"].add_metric((reason,), n)
    counters["duplicates"].add_metric((), health.duplicates)
    counters["late_events"].add_metric((), health.late)
    counters["expired_events"].add_metric((), health.expired)
    yield from counters.values()
    apply_seconds = HistogramMetricFamily(f"ricochet_{_APPLY[0]}", _APPLY[1], labels=_APPLY[2])
    for stage, counts in health.apply_seconds.items():
        total, buckets = 0, []
        for bound, n in zip((*map(str, APPLY_BUCKETS_S), "+Inf"), counts, strict=True):
            total += n
            buckets.append((bound, total))
        apply_seconds.add_metric((stage,), buckets, sum_value=health.apply_sum[stage])
    yield apply_seconds


def _gauge(name: str) -> GaugeMetricFamily:
    help_, labels = _GAUGES[name]
    return GaugeMetricFamily(f"ricochet_{name}", help_, labels=labels)


def _counter(name: str) -> CounterMetricFamily:
    help_, labels = _COUNTERS[name]
    return CounterMetricFamily(f"ricochet_{name}", help_, labels=labels)


def families() -> Iterator[Metric]:
    """Every metric there is, without samples."""
    yield from map(_gauge, _GAUGES)
    yield from map(_counter, _COUNTERS)
    yield HistogramMetricFamily(f"ricochet_{_APPLY[0]}", _APPLY[1], labels=_APPLY[2])


def documentation() -> str:
    """docs/metrics.md."""
    specs = [
        *((f"ricochet_{name}", "gauge", *spec) for name, spec in _GAUGES.items()),
        *((f"ricochet_{name}_total", "counter", *spec) for name, spec in _COUNTERS.items()),
        (f"ricochet_{_APPLY[0]}", "histogram", _APPLY[1], _APPLY[2]),
        *(
            (f"ricochet_{name}", "gauge", *spec)
            for of in (connector_metrics, worker_metrics)
            for name, spec in of.GAUGES.items()
        ),
        *(
            (f"ricochet_{name}_total", "counter", *spec)
            for of in (connector_metrics, worker_metrics)
            for name, spec in of.COUNTERS.items()
        ),
    ]
    rows = (f"| `{name}` | {kind} | {', '.join(labels)} | {help_} |" for name, kind, help_, labels in sorted(specs))
    return "\n".join((_HEADING, "| name | kind | labels | what it says |", "| --- | --- | --- | --- |", *rows, ""))


_HEADING: Final = """# Metrics

Made from the code by `python -m ricochet.metrics > docs/metrics.md`; a test holds it current.

`/metrics` is read from live state at each scrape. What derives from state is a gauge, since a delete lowers it;
counters count events processed since the process started. The most active open offers have series of their own, as
many as the setting `offers_shown` says, and keep them until they close; `ricochet_offers_not_shown` counts the
others.

Each worker tells of the offers and partitions that it has at that moment alone, so that sums over workers are right.
Beside these there are those of the process itself (`process_resident_memory_bytes` and the like).
Names with `worker` or `consumer_lag` in them, and `ricochet_foreign_events_total`, are there on workers only.
"""


def registry(view: View, offers_shown: int) -> CollectorRegistry:
    """A registry with everything, ready to be scraped."""
    made = CollectorRegistry()
    made.register(StateCollector(view, offers_shown))
    ProcessCollector(registry=made)
    return made


def names() -> Iterable[str]:
    """The names of all metrics, without the suffixes of counters and histograms."""
    return (family.name for family in families())


if __name__ == "__main__":
    print(documentation(), end="")
