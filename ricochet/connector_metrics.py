"""What the connectors say of themselves on /metrics."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.finding import Findings
from connectors.runner import Status

_CONNECTOR: Final = "connector"
GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "connector_reading": ("1 while a connector is connected and reads.", (_CONNECTOR, "network")),
    "connector_last_message_seconds": ("Time since a connector's last message.", (_CONNECTOR,)),
    "connector_cursor_age_seconds": ("How far the saved cursor lies behind the clock, in event time.", (_CONNECTOR,)),
    "connector_last_gap_timestamp_seconds": (
        "When a connector last found that it had seen nothing for a while, if it did since it started.",
        (_CONNECTOR,),
    ),
    "lookups_waiting": ("Accounts whose followers are worth looking up and are not known yet.", (_CONNECTOR,)),
    "lookups_unaffordable": ("Of these, accounts that today's budget does not reach.", (_CONNECTOR,)),
    "lookups_budget_left_ratio": ("The part of today's budget of calls or dollars that is left.", (_CONNECTOR,)),
    "connector_credentials_seconds": ("Time until a connector's credentials end, where that is known.", (_CONNECTOR,)),
    "connector_warns": ("1 while a person should see to a connector though it reads: its log says why.", (_CONNECTOR,)),
    "connector_unsafe_pages": ("Pages that were read and are not safe and saved yet.", (_CONNECTOR,)),
}
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "connector_messages": ("Messages that came from a network.", (_CONNECTOR,)),
    "connector_events": ("Events that were made of them.", (_CONNECTOR, "kind")),
    "connector_rejected": ("Messages that could not be read.", (_CONNECTOR, "reason")),
    "connector_gaps": ("Windows of which a connector saw nothing.", (_CONNECTOR,)),
    "connector_reconnects": (
        "Times that a connection was lost or not to be had.",
        (_CONNECTOR,),
    ),
    "lookup_calls": ("Calls made to look followers up.", (_CONNECTOR,)),
    "lookup_rows": ("Accounts that look-ups gave.", (_CONNECTOR,)),
    "lookup_dollars": ("What look-ups cost, in US dollars.", (_CONNECTOR,)),
    "lookups_cut": ("Lists of followers that ended with the budget.", (_CONNECTOR,)),
    "connector_rate_limits": ("Times that a network said there were too many calls.", (_CONNECTOR,)),
}


class ConnectorCollector(Collector):
    """The metrics of the connectors of this process."""

    def __init__(self, statuses: Callable[[], Iterable[Status]], findings: Callable[[], Iterable[Findings]]) -> None:
        self._statuses, self._findings = statuses, findings

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        gauges, counters = _gauges(), _counters()
        now = time.time()
        for status in self._statuses():
            name = (status.name,)
            gauges["connector_reading"].add_metric((*name, status.network), int(status.state == "reading"))
            gauges["connector_unsafe_pages"].add_metric(name, status.unsafe_pages)
            gauges["connector_warns"].add_metric(name, int(status.warns is not None))
            if status.expires_ms is not None:
                gauges["connector_credentials_seconds"].add_metric(name, status.expires_ms / 1000 - now)
            if status.last_message is not None:
                gauges["connector_last_message_seconds"].add_metric(name, max(0.0, now - status.last_message))
            if status.last_gap is not None:
                gauges["connector_last_gap_timestamp_seconds"].add_metric(name, status.last_gap)
            if status.heard_ms is not None:
                gauges["connector_cursor_age_seconds"].add_metric(name, max(0.0, now - status.heard_ms / 1000))
            counters["connector_messages"].add_metric(name, status.messages)
            counters["connector_gaps"].add_metric(name, status.gaps)
            counters["connector_reconnects"].add_metric(name, status.reconnects)
            counters["connector_rate_limits"].add_metric(name, status.rate_limits)
            for kind, n in [*status.events.items()]:
                counters["connector_events"].add_metric((*name, kind), n)
            for reason, n in [*status.rejected.items()]:
                counters["connector_rejected"].add_metric((*name, reason), n)
        for found in self._findings():
            name = (found.name,)
            gauges["lookups_waiting"].add_metric(name, found.waiting)
            gauges["lookups_budget_left_ratio"].add_metric(name, found.budget_left)
            gauges["lookups_unaffordable"].add_metric(name, found.unaffordable)
            counters["lookup_calls"].add_metric(name, found.calls)
            counters["lookup_rows"].add_metric(name, found.rows)
            counters["lookup_dollars"].add_metric(name, max(0.0, found.dollars))
            counters["lookups_cut"].add_metric(name, found.cut)
        yield from gauges.values()
        yield from counters.values()

    def describe(self) -> Iterator[Metric]:
        """What there is, without reading it."""
        yield from _gauges().values()
        yield from _counters().values()


def _gauges() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(f"ricochet_{name}", help_, labels=of) for name, (help_, of) in GAUGES.items()}


def _counters() -> dict[str, CounterMetricFamily]:
    return {name: CounterMetricFamily(f"ricochet_{name}", help_, labels=of) for name, (help_, of) in COUNTERS.items()}
