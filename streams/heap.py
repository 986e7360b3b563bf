"""The garbage collector, told what state looks like.

State is millions of small objects that live long and form no cycles; going through them again and again finds
nothing. So a batch is taken in without the collector, and what is there at its end is frozen: not looked at again.
Frozen with it is whatever else happens to be alive, a request in the middle of its answer, say. To find what of that
has become garbage, everything is gone through once an hour.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

_HOUR_S: Final = 3_600
_thawed_at = [monotonic()]


@contextmanager
def growing() -> Iterator[None]:
    """While state grows: no collection meanwhile, and none of what is there now later on."""
    if not gc.isenabled():  # within another one, or by the wish of whoever runs this
        yield
        return
    if monotonic() - _thawed_at[0] >= _HOUR_S:
        gc.unfreeze()
        _thawed_at[0] = monotonic()
    gc.collect()  # cheap, as what is frozen is left out
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
