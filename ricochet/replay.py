"""Replay: events from files to the embedded engine or to the door, counted on the way; and the report of an engine."""

import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from connectors import jsonl
from ricochet.errors import RicochetError
from spread import report
from spread.events import Act, AnyEvent, Assign, Counts, Gap, Outcome, Rejected, decode
from spread.names import Names

_BATCH: Final = 5_000


class Census:
    """What a file held, counted as it is read."""

    def __init__(self) -> None:
        self.events = self.rejected = 0
        self.oldest, self.newest = math.inf, 0
        """The first and the last moment of its events, in ms."""
        self.offers: dict[str, None] = {}
        self._ids, self._gaps = Names(), Names()

    def add(self, result: AnyEvent | Rejected) -> None:
        """Count one event or rejection."""
        self.events += 1
        if isinstance(result, Rejected):
            self.rejected += 1
            return
        self.newest = max(self.newest, result.at)
        self.oldest = min(self.oldest, result.at)
        self._ids.number(result.id)
        if isinstance(result, Act | Counts | Outcome | Assign):
            self.offers[result.offer] = None
        elif isinstance(result, Gap):
            self._gaps.number(result.id)

    def line(self) -> report.InputLine:
        """The `input` line of the report."""
        duplicates = self.events - self.rejected - len(self._ids)
        return report.InputLine(self.events, self.rejected, duplicates, len(self._gaps))


def replay(
    files: Iterable[str],
    feed: Callable[[list[AnyEvent]], object],
    *,
    speed: float = 0,
    progress: Callable[[int], None] = lambda _: None,
    on_rejected: Callable[[str, int, Rejected], None] = lambda *_: None,
) -> Census:
    """Feed files, a batch at a time, to whatever takes events, and count what they held.

    With a `speed` above 0 event time passes that many times faster than the clock. `progress` is told the bytes read.
    """
    census = Census()
    pace = _Pace(speed) if speed > 0 else None
    batch: list[AnyEvent] = []
    before = 0
    for file in files:
        for number, (line, position) in enumerate(_lines(file), 1):
            if not line.strip():
                continue
            for result in decode(line):
                census.add(result)
                if isinstance(result, Rejected):
                    on_rejected(file, number, result)
                    continue
                if pace is not None and pace.waits_for(result.at):
                    feed(batch)
                    batch = []
                    pace.wait()
                batch.append(result)
            if len(batch) >= _BATCH:
                feed(batch)
                batch = []
                progress(before + position)
        before += 0 if file == "-" else os.path.getsize(file)
        progress(before)
    feed(batch)
    return census


def write_lines(
    lines_of: Callable[[str], Iterable[bytes]], offers: Iterable[str], to: Path, last: report.InputLine | None = None
) -> None:
    """Write the lines of some offers, by offer, and the input line if there is one."""
    with _written(to) as out:
        for offer in sorted(offers):
            for line in lines_of(offer):
                out.write(line + b"\n")
        if last is not None:
            out.write(report.encode(last) + b"\n")


def _lines(file: str) -> Iterator[tuple[bytes, int]]:
    try:
        yield from jsonl.lines(file)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RicochetError(f"{file}: {reason}") from None


@contextmanager
def _written(to: Path) -> Iterator[BinaryIO]:
    """A file to be written, or standard output for `-`."""
    try:
        if str(to) == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        with open(to, "wb") as out:
            yield out
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RicochetError(f"{to}: {error.strerror or error}") from None


class _Pace:
    """Event time against the clock."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._start: tuple[float, int] | None = None
        self._due = 0.0

    def waits_for(self, at: int) -> bool:
        if self._start is None:
            self._start = time.monotonic(), at
        started, first = self._start
        self._due = started + (at - first) / 1000 / self._speed
        return self._due > time.monotonic()

    def wait(self) -> None:
        time.sleep(max(0.0, self._due - time.monotonic()))
