"""Velocity: the speed of shares at a moment, and their curve."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spread.velocity import MAX_BUCKETS, MINUTE_MS, Curve, Velocity, curve, velocity

NOON = 1_700_000_000_000
TIMES = st.lists(
    st.one_of(
        st.integers(NOON, NOON + 30 * MINUTE_MS),
        st.integers(NOON - 300 * MINUTE_MS, NOON + 300 * MINUTE_MS),
        st.integers(0, 253_402_300_799_999),
    ),
    max_size=40,
)


def array(times: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Times as they are asked about, sorted."""
    return np.array(sorted(times), dtype=np.int64)


@given(TIMES)
def test_every_share_is_in_its_bucket(times: list[int]) -> None:
    """The curve has at most 288 buckets, the narrowest that will do, and each holds the times that are in it."""
    drawn = curve(array(times))
    assert len(drawn.counts) <= MAX_BUCKETS
    assert sum(drawn.counts) == len(times)
    held = Counter((time - drawn.start) // drawn.width for time in times)
    assert +Counter(dict(enumerate(drawn.counts))) == held
    doublings, rest = divmod(drawn.width, MINUTE_MS)
    assert rest == 0
    assert doublings.bit_count() == 1
    if times:
        assert drawn.start % drawn.width == 0
        assert drawn.counts[0] > 0
        assert drawn.counts[-1] > 0
        half = drawn.width // 2
        assert drawn.width == MINUTE_MS or max(times) // half - min(times) // half >= MAX_BUCKETS


@given(TIMES, st.randoms(use_true_random=False))
def test_a_curve_is_a_function_of_the_times(times: list[int], rng: object) -> None:
    """The same times in another order of arrival draw the same curve."""
    again = list(times)
    rng.shuffle(again)  # type: ignore[attr-defined]
    assert curve(array(again)) == curve(array(times))


def test_a_curve_drawn_by_hand() -> None:
    """Buckets are whole minutes, and double once a day's minutes no longer fit."""
    start = 28_333_333 * MINUTE_MS
    assert curve(array([])) == Curve(0, MINUTE_MS, [])
    assert curve(array([start + 1, start + 59_999, start + 120_000])) == Curve(start, MINUTE_MS, [2, 0, 1])
    assert len(curve(array([start, start + 287 * MINUTE_MS])).counts) == 288
    wide = curve(array([start, start + 288 * MINUTE_MS]))
    assert wide == Curve(start - MINUTE_MS, 2 * MINUTE_MS, [1, *[0] * 143, 1])


def test_a_velocity_counted_by_hand() -> None:
    """Speed, its change and the half-life are those counted by hand; what comes after the moment is not seen."""
    minutes = [5, 12, 20, 21, 25, 30, 31]
    times = array([NOON + minute * MINUTE_MS for minute in minutes])
    # (20, 30] has 3, (10, 20] has 2; of the 6 seen, half had come with the third, 20 minutes after the post
    assert velocity(times, NOON, NOON + 30 * MINUTE_MS) == Velocity(0.3, 0.01, 1200.0)
    assert velocity(times[:-1], NOON, NOON + 30 * MINUTE_MS) == Velocity(0.3, 0.01, 1200.0)
    # without a post known, from the first share; of 2 seen, half had come with the first
    assert velocity(times, None, NOON + 12 * MINUTE_MS) == Velocity(0.2, 0.02, 0.0)
    # a post said to be later than a share is not the start
    assert velocity(times, NOON + 6 * MINUTE_MS, NOON + 12 * MINUTE_MS) == Velocity(0.2, 0.02, 0.0)
    assert velocity(times, NOON, NOON + 4 * MINUTE_MS) == Velocity(0.0, 0.0, None)
    assert velocity(array([]), None, NOON) == Velocity(0.0, 0.0, None)
    # long after, nothing moves, but the half-life stays
    assert velocity(times, NOON, NOON + 90 * MINUTE_MS) == Velocity(0.0, 0.0, 1260.0)


@given(TIMES, st.none() | st.integers(NOON - 100_000, NOON + 100_000), st.integers(NOON, NOON + 40 * MINUTE_MS))
def test_velocity_is_what_counting_finds(times: list[int], first: int | None, now: int) -> None:
    """Two windows of ten minutes are counted, each without its beginning and with its end."""
    seen = [time for time in sorted(times) if time <= now]
    recent = sum(now - 10 * MINUTE_MS < time for time in seen)
    before = sum(now - 20 * MINUTE_MS < time <= now - 10 * MINUTE_MS for time in seen)
    found = velocity(array(times), first, now)
    assert found.shares_per_minute == recent / 10
    assert found.acceleration == (recent - before) / 100
    if not seen:
        assert found.half_life_s is None
    else:
        start = min(seen[0], seen[0] if first is None else first)
        half = next(time for time in seen if 2 * bisect_right(seen, time) >= len(seen))
        assert found.half_life_s == (half - start) / 1000
