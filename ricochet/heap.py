"""The garbage collector, told what state looks like."""

import gc


def expect_state() -> None:
    """Look for garbage more rarely in this process.

    State is millions of small objects that live long and form no cycles; going through them again and again finds
    nothing, and took half of the time.
    """
    gc.set_threshold(100_000, 500, 1_000)
