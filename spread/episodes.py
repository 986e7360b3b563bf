"""When something holds, told from its score at each whole minute: hysteresis that depends on the past alone.

A condition begins where its score reaches 1. It ends once the score has been below `END` for `CALM_MS` without a break.
After it began, it does not begin anew for `REST_MS`: a condition that still, or again, holds then, begins then. So
however a value flaps, there is one beginning in six hours at most, and who asks when, or how often, changes nothing.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from spread.velocity import MINUTE_MS

END: Final = 0.5
"""Half the threshold: the noise of small counts (of ten, the square root is three) does not cross both."""
CALM_MS: Final = 60 * MINUTE_MS
"""A pause in the shares of less than an hour is part of how people look at their phones, not an end."""
REST_MS: Final = 360 * MINUTE_MS
"""Who was told in the morning need not be told again before the afternoon."""

Scores = NDArray[np.float64]
"""One for each whole minute; 1 is the threshold."""


class Episode(msgspec.Struct, frozen=True):
    """From the minute in which something began (its place) to the one in which it ended; None while it holds."""

    start: int
    end: int | None


def episodes(scores: Scores) -> list[Episode]:
    """All episodes within the minutes that there are scores for."""
    high = scores >= 1
    if not high.any():
        return []
    places = np.arange(len(scores))
    calm = places - np.maximum.accumulate(np.where(scores < END, -1, places)) >= CALM_MS // MINUTE_MS
    decisive = (high | calm).nonzero()[0]
    is_on = high[decisive]
    turns = decisive[np.diff(is_on, prepend=False).nonzero()[0]].tolist()
    found: list[Episode] = []
    allowed = 0
    for start, end in zip(turns[::2], [*turns[1::2], None][: len(turns[::2])], strict=True):
        begins = max(start, allowed)
        if begins < (len(scores) if end is None else end):
            found.append(Episode(begins, end))
            allowed = begins + REST_MS // MINUTE_MS
    return found
