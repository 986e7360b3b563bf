"""Whether the messages of a partition come in turn, without a hole.

After a rebalance Faust may hand out messages from before it, take those that it skips by that for holes in the log,
and count them as acknowledged: they would be lost. So a message after a hole is left aside, and those before it are
asked for again. Only one that comes behind the same hole again and again shows that the log really has it.
"""

from enum import Enum, auto
from typing import Final

_TIMES: Final = 5
"""So often one message has to come out of turn until those before it are given up."""
_QUIET_S: Final = 3.0


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
