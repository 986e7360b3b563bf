"""A task acknowledges what came of a message once the broker has it, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from spread.facts import ENCODING, SHARE, ActFact, NewerEncoding
from streams import wire
from streams.health import Health
from streams.keeping import FOREVER
from streams.rows import Changes, PartitionRows
from streams.table import MemoryTable
from streams.task import Incoming, OffersTask
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS


class Rows(MemoryTable):
    """What lasts of a partition, in memory."""

    def write(self, changes: Changes, offset: int) -> None:
        """Take changes in."""
        for row, value in changes.items():
            if value is None:
                self.pop(row, None)
            else:
                self[row] = value


def test_what_can_not_be_taken_in_is_not_acknowledged() -> None:
    """A message of a newer version raises, and no flush after it acknowledges it; those before it are acknowledged."""
    acknowledged: list[int] = []
    partitions = {SOCIAL_EVENTS: 1, OFFER_EVENTS: 1}
    task = OffersTask(0, PartitionRows(Rows()), partitions, Health(), str, keeping=FOREVER, memory=2**20)
    fact = ActFact("x:2", SHARE, "x", 1, "x:a", "offer", "x:1")
    good = wire.envelope([wire.pair("offer", fact)])
    newer = msgspec.msgpack.encode([ENCODING + 1, []])
    task.take(Incoming(good, 0, 1, True, lambda: acknowledged.append(0)), 1)
    with pytest.raises(NewerEncoding):
        task.take(Incoming(newer, 1, 1, True, lambda: acknowledged.append(1)), 1)
    assert task.is_due
    flush = task.flush()
    assert acknowledged == []
    task.done(flush, 7)
    assert acknowledged == [0]
