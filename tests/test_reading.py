"""Messages in turn: what was skipped is asked for, what is really gone does not hold the others up."""

from hypothesis import given
from hypothesis import strategies as st

from streams.reading import Sequence, Turn


def played(log: list[int], stale: list[int], start: int) -> list[int]:
    """Take the messages of a log from `start` on, after stale ones that were at hand; give those taken."""
    sequence, taken = Sequence(start), []
    coming = stale
    for _ in range(1_000):
        for offset in coming:
            turn = sequence.turn(offset, 0.0)
            if turn is Turn.NEXT:
                taken.append(offset)
            elif turn is Turn.EARLY:
                break
        wanted = sequence.next
        coming = [offset for offset in log if offset >= wanted]
        if not coming:
            return taken
    raise AssertionError("it never ends")


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.integers(0, 60), max_size=10))
def test_every_message_is_taken_once_in_order(start: int, more: int, stale: list[int]) -> None:
    """Whatever messages come first, from before a rebalance, each from the start on is taken once, in order."""
    log = list(range(start + more))
    assert played(log, [offset for offset in stale if offset < len(log)], start) == log[start:]


@given(st.sets(st.integers(0, 40)), st.integers(0, 10))
def test_a_hole_in_the_log_is_passed(offsets: set[int], start: int) -> None:
    """What the log does not have any more is given up in the end, and all that it has is taken."""
    log = sorted(offsets)
    assert played(log, [], start) == [offset for offset in log if offset >= start]


def test_what_is_left_is_asked_for_once_in_a_while() -> None:
    """Where more is there and nothing comes, it is asked for, and not again at once; never where all is taken."""
    sequence = Sequence(5)
    assert sequence.is_to_be_asked(8, 10.0)
    assert not sequence.is_to_be_asked(8, 11.0)
    assert sequence.is_to_be_asked(8, 14.0)
    for offset in (5, 6, 7):
        assert sequence.turn(offset, 20.0) is Turn.NEXT
    assert not sequence.is_to_be_asked(8, 40.0)
