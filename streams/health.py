"""What the pipeline says of itself: counts of events handled since the process started."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

LATE_MS: Final = 60_000
"""An event this far behind the newest one is late."""
APPLY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Health:
    """Counts for /metrics. One for each engine; its stages share it."""

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str]] = Counter()
        """By (kind, network)."""
        self.duplicates = 0
        self.rejected: Counter[str] = Counter()
        """By reason."""
        self.foreign: Counter[str] = Counter()
        """By stage, items that had come to a wrong partition and were sent on."""
        self.late = 0
        self.expired = 0
        """Events older than the retention, left out."""
        self.newest = 0
        """The greatest event time seen, in ms."""
        self.apply_seconds: dict[str, list[int]] = {}
        """By stage, the number of batches for each of APPLY_BUCKETS_S and above."""
        self.apply_sum: Counter[str] = Counter()

    def saw(self, kind: str, network: str, at: int) -> None:
        """Count an event. When a person corrected something says nothing of how late others are."""
        self.events[kind, network] += 1
        if kind == "assign":
            return
        if at > self.newest:
            self.newest = at
        elif at < self.newest - LATE_MS:
            self.late += 1

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure one batch of a stage."""
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        counts = self.apply_seconds.setdefault(stage, [0] * (len(APPLY_BUCKETS_S) + 1))
        counts[bisect_left(APPLY_BUCKETS_S, seconds)] += 1
        self.apply_sum[stage] += seconds  # type: ignore[assignment]  # a Counter of floats
