"""An installation under load to which bad things happen, so that a scenario reads as the story that it is.

A worker that ends by itself for a reason that its supervisor is meant for (fenced, or Kafka away) is started again in
its place, as a supervisor would; one that ends for any other reason is a fault of the program, and fails the story.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from tests.crew import PARTITIONS, Crew, assert_same, embedded, offers_of
from tests.faults.load import Load, Marks
from tests.processes import Child

HANG_S = 400.0
FENCED, REFUSED = 75, 2
ALL_PARTITIONS = 2 * PARTITIONS
"""Of both stages."""


class Story:
    """One scenario. Workers go by names, and come back at the addresses that they had."""

    def __init__(self, hands: Crew) -> None:
        self.hands = hands
        self.workers: dict[str, Child] = {}
        self.ended: Counter[int] = Counter()
        """How often a worker ended by itself and was started again, by its exit code."""
        self._ports: dict[str, int] = {}
        self._lines: list[bytes] = []
        self._load: Load | None = None

    def __enter__(self) -> Story:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._load is not None:
            self._load.give_up()

    # What goes on

    def events(self, lines: Sequence[bytes]) -> None:
        """Let more events come from now on, once those before are sent."""
        if self._load is not None:
            self.reaches(1.0)
        self._lines += lines
        self._load = Load(self.hands, lines)
        self._load.start()

    def start(self, *names: str) -> None:
        """Start workers, each in its place, at the address that it had before if it had one."""
        for name in names:
            child = self.workers[name] = self.hands.start(name, port=self._ports.get(name, 0))
            self._ports[name] = int(child.base.rpartition(":")[2])

    def reaches(self, part: float) -> None:
        """Wait until the workers are done with a part of the events that come now."""
        load = self._load
        assert load is not None
        self.until(lambda: load.acknowledged >= part * load.total, f"{part:.0%} of the events")

    def until(self, true: Callable[[], bool], what: str, hang_s: float = HANG_S) -> None:
        """Wait until something is seen, while the supervisor does its work."""
        deadline = time.monotonic() + hang_s
        while not true():
            self.supervise()
            assert self._load is None or self._load.error is None, self._load.error
            assert time.monotonic() < deadline, f"hangs: {what}; {self._state()}"
            time.sleep(0.05)

    def supervise(self) -> None:
        """Start again what has ended by itself for a good reason."""
        for name, child in [*self.workers.items()]:
            if child.lives():
                continue
            code = child.ends()
            told = child.said[-5:]
            assert code == FENCED or (code == REFUSED and "Kafka" in told[-1]), (name, code, told)
            self.ended[code] += 1
            self.hands.gone(child)
            self.start(name)

    def ready(self) -> None:
        """Wait until all workers are whole and get on."""
        self.until(lambda: all(self._is_ready(child) for child in self.workers.values()), "all are ready")

    def partitions(self, name: str) -> int:
        """Count the partitions that a worker has, of both stages."""
        samples = self.workers[name].samples()
        return round(sum(n for (metric, _), n in samples.items() if metric == "ricochet_worker_partitions"))

    def unacknowledged(self, name: str) -> float:
        """Bytes that a worker has taken in and not acknowledged, of both stages."""
        samples = self.workers[name].samples()
        return sum(n for (metric, _), n in samples.items() if metric == "ricochet_worker_unacknowledged_bytes")

    def recovers(self, name: str) -> bool:
        """Tell whether a worker is up and its tables are not whole yet."""
        answer = self.workers[name].get("/readyz")
        return answer.text == "recovering\n"

    def says(self, why: str) -> bool:
        """Tell whether a worker says that it is not ready, and why."""
        return any(child.get("/readyz").text == f"{why}\n" for child in self.workers.values())

    def place(self, name: str) -> Path:
        """Give the folder of a worker's tables."""
        return Path(self.hands.env["RICOCHET_DATA"]) / name

    # What happens to workers

    def kill(self, *names: str) -> None:
        """Kill workers at once, as a power cut would."""
        for name in names:
            self.workers[name].kill(signal.SIGKILL)
        for name in names:
            child = self.workers.pop(name)
            assert child.ends() == -signal.SIGKILL, child.said
            self.hands.gone(child)

    def stop(self, *names: str) -> None:
        """Stop workers in good order."""
        for name in names:
            self.hands.stop(self.workers.pop(name))

    def moves(self, name: str) -> None:
        """Let a worker that is away come back at another address."""
        del self._ports[name]

    def hang(self, name: str) -> None:
        """Let a worker hang: it is there and does nothing."""
        self.workers[name].kill(signal.SIGSTOP)

    def wake(self, name: str) -> None:
        """Let a worker that hung go on."""
        self.workers[name].kill(signal.SIGCONT)

    # How it ends

    def also(self, lines: Sequence[bytes]) -> None:
        """Count events among those of the story that come another way."""
        self._lines += lines

    def settles(self) -> None:
        """Wait until all that was sent is acknowledged."""
        marks = Marks(self.hands)
        self.reaches(1.0)
        self.until(marks.nothing_left, "no message is left")
        marks.close()

    def ends_well(self) -> None:
        """Hold that report and edges are those of the batch, and that no message is left anywhere."""
        self.settles()
        self.ready()
        marks = Marks(self.hands)
        assert_same(self.hands.report(offers_of(self._lines)), embedded(self._lines, self.hands.folder))
        ends = marks.ends()
        self.stop(*self.workers)
        assert marks.ends() == ends, "a worker still had something to send"
        assert marks.nothing_left()
        marks.close()

    def _is_ready(self, child: Child) -> bool:
        return child.lives() and child.get("/readyz").status_code == 200

    def _state(self) -> str:
        load = self._load
        far = "" if load is None else f"{load.acknowledged} of {load.total} messages done, {load.sent} sent; "
        return far + str({name: (child.lives(), child.said[-3:]) for name, child in self.workers.items()})
