"""A task acknowledges what came of a message once the broker has it, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from spread.events import DAY_MS
from spread.facts import ENCODING, SHARE, ActFact, EraseFact, NewerEncoding
from streams import wire
from streams.health import Health
from streams.keeping import FOREVER, Keeping
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


def test_an_erasure_that_comes_before_any_event_is_remembered_from_now_on() -> None:
    """Where a partition's first message is an erasure, its account is not kept afterwards, whatever was swept since."""
    partitions, rows, noon = {SOCIAL_EVENTS: 1, OFFER_EVENTS: 1}, PartitionRows(Rows()), 1_700_000_000_000
    keeping = Keeping(DAY_MS, logs_ms=DAY_MS, suppression_key=b"a key of sixteen")
    task = OffersTask(0, rows, partitions, Health(), str, keeping=keeping, memory=2**20)
    share = ActFact("x:2", SHARE, "x", noon, "x:a", "offer", "x:1")
    first, second = wire.pair(None, EraseFact("x:a")), wire.pair("other", replace(share, id="x:3", actor="x:b"))
    for place, pair in enumerate([first, second]):
        task.take(Incoming(wire.envelope([pair]), place, 1, True, lambda: None), noon)
        task.expire(noon)
        for _ in task.stage.expiring(rows, noon):
            pass
    task.take(Incoming(wire.envelope([wire.pair("offer", share)]), 2, 1, True, lambda: None), noon)
    assert task.stage.offer("offer", rows).named(set()) == set()
    assert task.stage.offer("other", rows).named(set()) == {"x:b"}
