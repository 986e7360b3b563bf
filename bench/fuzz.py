"""A million mutated messages for all that reads what others wrote, in two processes; each fault with its message.

It takes some minutes, so it is run by its name alone. Other seeds are other messages.
"""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from bench.result import Result
from tests.fuzzing import Fuzzed, fuzz

MESSAGES: Final = 1_000_000
GROWTH_MB: Final = 1_024
_PARTS: Final = 40
"""Runs with a seed of their own, after each of which is told how far it is."""
_AT_ONCE: Final = 2


def measure(messages: int, seed: int) -> list[Result]:
    """Faults, of which there may be none, and the growth of the process that grew most."""
    told: Counter[str] = Counter()
    faults: list[str] = []
    grown = 0
    with ProcessPoolExecutor(_AT_ONCE, mp_context=get_context("spawn")) as pool:
        runs = pool.map(_run, ((messages // _PARTS, seed * _PARTS + part) for part in range(_PARTS)))
        for part, one in enumerate(runs, 1):
            told.update(one.messages)
            faults += one.faults
            grown = max(grown, one.grown_bytes)
            print(f"{part}/{_PARTS}: {told.total():,} messages, {len(faults)} faults", file=sys.stderr, flush=True)
    for fault in faults:
        print(fault, file=sys.stderr)
    return [
        Result("mutated messages", told.total(), "messages", at_least=messages // _PARTS * _PARTS),
        Result("  that were a surprise", len(faults), "messages", at_most=0),
        Result("  growth of a process", grown / 2**20, "MB", at_most=GROWTH_MB),
    ]


def _run(given: tuple[int, int]) -> Fuzzed:
    return fuzz(*given)
