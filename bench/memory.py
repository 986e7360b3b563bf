"""Bytes of memory for each node of an offer with a million of them.

Each figure is the growth in a process of its own, from the empty offer to the one that has answered for its line:
once as traced by Python, once as the system sees it, since tracing takes memory itself.
"""

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import msgspec

from bench.result import Result
from bench.trees import Cascade
from spread.offer import Offer

NODES: Final = 1_000_000
BYTES_A_NODE: Final = 300
_STATM: Final = Path("/proc/self/statm")


class _Grown(msgspec.Struct):
    """Bytes that an offer took, and at the most meanwhile."""

    held: int
    peak: int | None


def measure() -> list[Result]:
    """Traced memory, which is bound, and for comparison its peak and what the system sees."""
    traced = _in_child("traced")
    assert traced.peak is not None
    results = [
        Result("memory of a node, of 1,000,000", traced.held / NODES, "bytes", at_most=BYTES_A_NODE),
        Result("  at the most while settling", traced.peak / NODES, "bytes"),
    ]
    if _STATM.exists():
        results.append(Result("  as the system sees it", _in_child("resident").held / NODES, "bytes"))
    return results


def _in_child(how: str) -> _Grown:
    done = subprocess.run([sys.executable, "-m", "bench.memory", how], check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=_Grown)


def _grow(how: str) -> _Grown:
    _fill(Cascade("offer", 1_000, 1), 1_000)  # so that what is loaded or made once is there
    cascade = Cascade("offer", NODES, 2)
    gc.collect()
    if how == "traced":
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if how == "traced" else _resident()
    offer = _fill(cascade, NODES)
    gc.collect()
    held, peak = tracemalloc.get_traced_memory() if how == "traced" else (_resident(), None)
    assert offer.nodes() == NODES
    return _Grown(held - before, None if peak is None else peak - before)


def _fill(cascade: Cascade, nodes: int) -> Offer:
    offer = Offer("offer")
    for _ in range(nodes):
        offer.add([cascade.next()])
    assert offer.line().nodes == nodes
    return offer


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_grow(sys.argv[1])))
