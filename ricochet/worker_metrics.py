"""What a worker says of itself on /metrics, beside its offers. Only partitions that it has now are counted."""

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:  # Faust takes a second to come, and the page of all metrics does without
    from streams.worker import Worker

GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "worker_ready": ("1 if the worker is whole and gets on, 0 while it recovers, is stalled or makes no progress.", ()),
    "worker_partitions": ("Partitions that the worker has, by stage.", ("stage",)),
    "worker_topic_partitions": ("Partitions that the settings give to the topic that a stage reads.", ("stage",)),
    "consumer_lag_events": (
        "Events (or facts, for the second stage) in Kafka that are not acknowledged yet, reckoned from messages by"
        " their mean size so far.",
        ("stage",),
    ),
    "consumer_lag_seconds": (
        "Age of the newest event taken in, or time since the partition came, where there are more; the greatest.",
        ("stage",),
    ),
    "worker_unacknowledged_bytes": ("Messages taken in that the next flush will acknowledge.", ("stage",)),
    "worker_flush_seconds": ("Time that the last flush took, until the broker had all of it.", ()),
    "worker_send_seconds": ("Mean time of the latest sendings to Kafka (Faust's own measure).", ()),
    "worker_commit_seconds": ("Mean time of the latest commits (Faust's own measure).", ()),
}
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "worker_rebalances": ("Times that the group gave out its partitions anew.", ()),
    "foreign_events": ("Events that had come to another partition than their own and were sent on.", ("stage",)),
}


class WorkerCollector(Collector):
    """A worker's own metrics."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        worker, monitor = self._worker, self._worker.app.monitor
        gauges, counters = _gauges(), _counters()
        gauges["worker_ready"].add_metric((), int(worker.trouble() is None))
        stages = worker.stages()
        for stage, tasks in stages.items():
            gauges["worker_partitions"].add_metric((stage,), len(tasks))
            gauges["worker_unacknowledged_bytes"].add_metric((stage,), sum(task.pending_bytes for task in tasks))
        layout = worker.settings.layout
        gauges["worker_topic_partitions"].add_metric(("people",), layout.social_partitions)
        gauges["worker_topic_partitions"].add_metric(("offers",), layout.offer_partitions)
        lags = list(worker.lags())
        for stage in stages:
            mine = [lag for lag in lags if lag.stage == stage]
            gauges["consumer_lag_events"].add_metric((stage,), sum(lag.events for lag in mine))
            gauges["consumer_lag_seconds"].add_metric((stage,), max((lag.seconds for lag in mine), default=0.0))
        gauges["worker_flush_seconds"].add_metric((), worker.flush_seconds)
        for name, latencies in (
            ("worker_send_seconds", monitor.send_latency),
            ("worker_commit_seconds", monitor.commit_latency),
        ):
            if latencies:
                gauges[name].add_metric((), fmean(latencies))
        yield from gauges.values()
        counters["worker_rebalances"].add_metric((), worker.rebalances)
        for stage in stages:
            counters["foreign_events"].add_metric((stage,), worker.health.foreign[stage])
        yield from counters.values()

    def describe(self) -> Iterator[Metric]:
        """What there is, without reading it."""
        return families()


def families() -> Iterator[Metric]:
    """Every metric of a worker, without samples."""
    yield from _gauges().values()
    yield from _counters().values()


def _gauges() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"ricochet_{name}", help_, labels=labels) for name, (help_, labels) in GAUGES.items()
    }


def _counters() -> dict[str, CounterMetricFamily]:
    return {
        name: CounterMetricFamily(f"ricochet_{name}", help_, labels=labels)
        for name, (help_, labels) in COUNTERS.items()
    }
