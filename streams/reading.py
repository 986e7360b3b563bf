"""Reading the messages of a worker's partitions in turn, each once, from what is committed on.

Faust alone does not see to that. It hands out messages from before a rebalance, and notes how far it has read only
after it has handed a message out: a note from before a rebalance, or from before a seek, then makes it pass over what
comes next, which it books as a hole in the log and commits past. So its notes are not kept at all (`_NoNotes`), and
what may be taken is decided here: a message that others are missing before is left aside, and those are asked for.
Only one that comes behind the same hole again and again shows that the log really has it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.types import TP

_TIMES: Final = 5
"""So often one message has to come out of turn until those before it are given up."""
_QUIET_S: Final = 3.0
_SEEK_S: Final = 10.0
_LOOK_S: Final = 5.0
_log: Final = logging.getLogger(__name__)


class Turn(Enum):
    """What a message is, by its place."""

    NEXT = auto()
    SEEN = auto()
    EARLY = auto()
    """Those before it have not come: they are to be asked for again."""


class Sequence:
    """The offsets of one partition since it was assigned; `start` is the one that is to come first."""

    def __init__(self, start: int) -> None:
        self.next = start
        self._early, self._times = -1, 0
        self._moved_at = 0.0

    def turn(self, offset: int, moment: float) -> Turn:
        """Place a message that has come at a moment of the steady clock (s)."""
        if offset < self.next:
            return Turn.SEEN
        if offset > self.next and (offset, self._times) != (self._early, _TIMES):
            self._times = self._times + 1 if offset == self._early else 1
            self._early = offset
            return Turn.EARLY
        self.next, self._early, self._times = offset + 1, -1, 0
        self._moved_at = moment
        return Turn.NEXT

    def is_to_be_asked(self, end: int, moment: float) -> bool:
        """Whether more is there, up to `end`, and for some seconds nothing has come: then to be asked for again.

        It is said once in so many seconds.
        """
        if end <= self.next or moment - self._moved_at <= _QUIET_S:
            return False
        self._moved_at = moment
        return True


class Reading:
    """The partitions that an application reads now: none from a rebalance's start until `begin`."""

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._sequences: dict[TP, Sequence] = {}
        self._ends: Mapping[TP, int] = {}

    def attach(self) -> None:
        """Take Faust's notes from it. Before the application starts."""
        self._consumer._read_offset = _NoNotes()

    async def starts(self) -> Mapping[TP, int | None]:
        """Where each assigned partition goes on: the offset that is committed, None without one."""
        starts: Mapping[TP, int | None] = await self._consumer.seek_to_committed()
        return starts

    def begin(self, starts: Mapping[TP, int | None], partitions: Iterable[TP]) -> None:
        """Read these partitions from there."""
        self._sequences = {tp: Sequence(starts.get(tp) or 0) for tp in partitions}

    def end(self) -> None:
        """Read none: they may be another's."""
        self._sequences, self._ends = {}, {}

    def end_of(self, tp: TP) -> int:
        """The offset behind the last message of a partition, as far as Kafka has told."""
        return max(self._consumer.highwater(tp) or 0, self._ends.get(tp, 0))

    async def look_on(self) -> None:
        """Ask now and then where the partitions end: fetches tell it too, but not where they get no answer."""
        while True:
            await asyncio.sleep(_LOOK_S)
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    self._ends = await self._consumer.highwaters(*self._sequences)

    async def is_next(self, tp: TP, offset: int, moment: float) -> bool:
        """Whether a message may be taken; if others are missing before it, they are asked for."""
        sequence = self._sequences.get(tp)
        if sequence is None:
            return False
        wanted, turn = sequence.next, sequence.turn(offset, moment)
        if turn is Turn.EARLY:
            await self._seek(tp, wanted)
        elif turn is Turn.NEXT and offset > wanted:
            _log.warning("%s-%d: %d messages are gone from the log", tp.topic, tp.partition, offset - wanted)
            await self._consumer._add_gap(tp, wanted, offset - 1)  # else nothing after them could be acknowledged
        return turn is Turn.NEXT

    async def ask_again(self, moment: float) -> None:
        """Where more is known to be there and nothing comes, ask for it: it was left aside amid a rebalance."""
        for tp, sequence in [*self._sequences.items()]:
            if sequence.is_to_be_asked(self.end_of(tp), moment):
                await self._seek(tp, sequence.next)

    @property
    def _consumer(self) -> Any:
        return self._app.consumer

    async def _seek(self, tp: TP, offset: int) -> None:
        # Not `seek`: that reaches into the consumer from another thread than its own, which may move on meanwhile. In a
        # rebalance the partition may be another's, or no answer come: then whoever has it next knows where to begin.
        with contextlib.suppress(IllegalStateError, TimeoutError):
            async with asyncio.timeout(_SEEK_S):
                await self._consumer.seek_wait({tp: offset})


class _NoNotes(dict[TP, int | None]):
    """Never tells how far a partition was read, whatever is noted."""

    def __getitem__(self, tp: TP) -> None:
        return None
