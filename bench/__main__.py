"""Runs the measurements, all or those named. The exit code tells whether every bound holds."""

import argparse
import sys
from collections.abc import Callable
from typing import Final

from bench import (
    append,
    called,
    conditions,
    connector,
    fuzz,
    latency,
    memory,
    publisher,
    rate,
    sizing,
    soak,
    worker,
)
from bench.result import Result

MEASUREMENTS: Final[dict[str, Callable[[], list[Result]]]] = {
    "rate": rate.measure,
    "memory": memory.measure,
    "append": append.measure,
    "conditions": conditions.measure,
    "publisher": publisher.measure,
    "connector": connector.measure,
    "worker": worker.measure,
    "latency": latency.measure,
    "called": called.measure,
    "sizing": sizing.measure,
}
"""What is measured unless something is named; `soak` and `fuzz`, which take ten minutes, only by their names."""


def main(arguments: list[str]) -> int:
    """Measure, print a table, and answer 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure ratios of one run.")
    parser.add_argument("name", nargs="*", help=f"{', '.join(MEASUREMENTS)}; all these without any; or soak, or fuzz")
    for option, most in (("events", soak.EVENTS), ("seconds", soak.SECONDS), ("offers", soak.OFFERS)):
        parser.add_argument(f"--{option}", type=int, default=most, help=f"of the soak (default {most:,})")
    parser.add_argument("--messages", type=int, default=fuzz.MESSAGES, help="of fuzz (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="of fuzz (default 1)")
    given = parser.parse_args(arguments)
    names = given.name or list(MEASUREMENTS)
    known = MEASUREMENTS | {
        "soak": lambda: soak.measure(given.events, given.seconds, given.offers),
        "fuzz": lambda: fuzz.measure(given.messages, given.seed),
    }
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no such measurement: {', '.join(unknown)}")
    print(f"{'what':<42} {'measured':>10}  {'bound':>12}")
    kept = True
    for name in names:
        for result in known[name]():
            what, value, bound, verdict = result.row()
            print(f"{what:<42} {value:>10}  {bound:>12}  {verdict}".rstrip(), flush=True)
            kept &= result.kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
