"""Waiting until the workers are done with what was sent: their committed offsets have passed it, in both topics."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ricochet.errors import RicochetError
from streams.cluster import Cluster
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS, Layout

PATIENCE_S: Final = 120.0
"""So long nothing may happen before it is called an error."""
_PAUSE_S: Final = 0.2
_ROUNDS: Final = 10
"""What an assignment or an erasure sends goes from stage to stage a few times; what others send meanwhile may go on."""
_NAMED: Final = 5


@dataclass(frozen=True)
class Left:
    """What is awaited of one topic: by partition the offset to be reached, and that which the workers have reached."""

    topic: str
    awaited: Mapping[int, int]
    reached: Mapping[int, int]

    @property
    def total(self) -> int:
        """Messages to do."""
        return sum(self.awaited.values())

    @property
    def done(self) -> int:
        """Messages done."""
        return sum(min(end, self.reached.get(number, 0)) for number, end in self.awaited.items())

    def __str__(self) -> str:
        behind = [
            f"partition {number} is at {self.reached.get(number, 0):,} of {end:,}"
            for number, end in sorted(self.awaited.items())
            if self.reached.get(number, 0) < end
        ]
        more = [f"and {len(behind) - _NAMED} more"] if len(behind) > _NAMED else []
        places = ", ".join(behind[:_NAMED] + more)
        return f"{self.total - self.done:,} of {self.total:,} messages of {self.topic} are not done ({places})"


def wait(cluster: Cluster, layout: Layout, sent: Mapping[int, int], progress: Callable[[Left], None]) -> bool:
    """Wait until the workers are done with all that was sent, by partition the offset of its last message.

    Whether all is quiet then: False where others keep sending. `progress` is told again and again what is left. Raises
    `RicochetError` if the workers make no progress.
    """
    wanted = {number: offset + 1 for number, offset in sent.items()}
    for _ in range(_ROUNDS):
        _until_committed(cluster, layout, SOCIAL_EVENTS, wanted, progress)
        ends = cluster.ends(layout.name(OFFER_EVENTS), layout.offer_partitions)
        _until_committed(cluster, layout, OFFER_EVENTS, ends, progress)
        ends = cluster.ends(layout.name(SOCIAL_EVENTS), layout.social_partitions)
        if all(end <= wanted.get(number, 0) for number, end in ends.items()):
            return True
        wanted = ends
    return False


def _until_committed(
    cluster: Cluster, layout: Layout, topic: str, wanted: Mapping[int, int], progress: Callable[[Left], None]
) -> None:
    best, moved_at = -1, time.monotonic()
    while True:
        left = Left(layout.name(topic), wanted, cluster.committed(layout.app, layout.name(topic)))
        progress(left)
        if left.done == left.total:
            return
        if left.done > best:
            best, moved_at = left.done, time.monotonic()
        elif time.monotonic() - moved_at > PATIENCE_S:
            raise RicochetError(f"the workers have made no progress for {PATIENCE_S:.0f} s: {left}; is one running?")
        time.sleep(_PAUSE_S)
