"""The wall clock, for connectors: what a network leaves without a moment gets the one at which it came."""

import time


def now_ms() -> int:
    """Now, in ms."""
    return time.time_ns() // 1_000_000
