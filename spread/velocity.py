"""How fast an offer spreads, in event time."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

MINUTE_MS: Final = 60_000
WINDOW_MS: Final = 10 * MINUTE_MS
"""Long enough that a handful of shares does not look like a wave, short enough to call one within minutes."""
MAX_BUCKETS: Final = 288

Times = NDArray[np.int64]


class Velocity(msgspec.Struct, frozen=True):
    """Shares per minute over the last ten minutes, their change per minute, and the half-life in seconds.

    The half-life is the time from the first post until half of the shares so far had come; None without shares.
    """

    shares_per_minute: float
    acceleration: float
    half_life_s: float | None


class Curve(msgspec.Struct, frozen=True):
    """Shares in equal buckets of time: the first starts at `start`, each is `width` long (ms)."""

    start: int
    width: int
    counts: list[int]


def velocity(times: Times, first: int | None, now: int) -> Velocity:
    """The speed at `now` of shares at sorted `times` (ms) of an offer first posted at `first`.

    Shares after `now` are not seen.
    """
    times = times[: int(np.searchsorted(times, now, side="right"))]
    recent = len(times) - int(np.searchsorted(times, now - WINDOW_MS, side="right"))
    before = len(times) - recent - int(np.searchsorted(times, now - 2 * WINDOW_MS, side="right"))
    minutes = WINDOW_MS / MINUTE_MS
    half_life = None
    if len(times):
        start = int(times[0]) if first is None else min(first, int(times[0]))
        half_life = (int(times[(len(times) - 1) // 2]) - start) / 1000
    return Velocity(recent / minutes, (recent - before) / minutes**2, half_life)


def curve(times: Times) -> Curve:
    """Shares at sorted `times` (ms) in at most 288 buckets, of one minute or a doubling of it.

    A function of the times alone.
    """
    if not len(times):
        return Curve(0, MINUTE_MS, [])
    first, last, width = int(times[0]), int(times[-1]), MINUTE_MS
    while last // width - first // width >= MAX_BUCKETS:
        width *= 2
    start = first // width * width
    return Curve(start, width, np.bincount((times - start) // width).tolist())
