"""`ricochet run`: it follows files, says how it is, ends when told, and survives being killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.crowd import NOON, crowd
from tests.processes import Child, ended, good, running, until

POST: Final = {
    **{"v": 1, "id": "x:1", "kind": "post", "network": "x", "at": NOON},
    **{"actor": "x:ana", "offer": "o", "root": "x:1"},
}
KILLS: Final = 20


def share(n: int, **more: Any) -> bytes:
    """Give a share as a line."""
    event = POST | {"id": f"x:{n}", "kind": "share", "at": NOON + n, "actor": f"x:{n}"} | more
    return json.dumps(event).encode() + b"\n"


def append(path: Path, content: bytes) -> None:
    """Add to a file."""
    with open(path, "ab") as file:
        file.write(content)


def post() -> bytes:
    """Give the root as a line."""
    return json.dumps(POST).encode() + b"\n"


def position(state: Path) -> int:
    """Read how far a state file stands in its only source, 0 where nothing was committed yet."""
    if not state.exists():
        return 0
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("SELECT position FROM positions").fetchone()
        except sqlite3.OperationalError:
            return 0
    return 0 if row is None else int(row[0].split(":")[1])


def test_a_growing_file_is_followed(tmp_path: Path) -> None:
    """What is added to a file counts soon, also where the file was not there at the start."""
    tail = tmp_path / "events.jsonl"
    with running(tail, state=tmp_path / "state") as child:
        until(lambda: child.get("/readyz").status_code == 200, "ready")
        append(tail, post() + share(2))
        child.has("o", 2)
        append(tail, share(3))
        child.has("o", 3)
        assert child.end() == 0


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    """A last line without its line break is left alone until it is whole."""
    tail, clock = tmp_path / "events.jsonl", tmp_path / "clock.jsonl"
    line = share(2)
    append(tail, post() + line[:40])
    with running(tail, clock, state=tmp_path / "state") as child:
        for n in (11, 12):  # the second of these comes in a round of reading that began after the first
            append(clock, share(n))
            child.has("o", n - 9)
        append(tail, line[40:-1])
        for n in (13, 14):
            append(clock, share(n))
            child.has("o", n - 9)
        append(tail, line[-1:])
        child.has("o", 6)
        assert child.events() == 6
        assert not [name for name, _ in child.samples() if name == "ricochet_rejected_total"]
        assert child.end() == 0


@pytest.mark.parametrize("how", ["replaced", "cut"])
def test_a_new_file_is_read_from_its_beginning(tmp_path: Path, how: str) -> None:
    """A file that another one took the place of, or that was cut and written anew, is read from the start."""
    tail = tmp_path / "events.jsonl"
    append(tail, post() + share(2) + share(3))
    with running(tail, state=tmp_path / "state") as child:
        child.has("o", 3)
        if how == "replaced":
            append(tmp_path / "new", share(4) + share(5) + share(6) + share(7))
            os.replace(tmp_path / "new", tail)
            child.has("o", 7)
        else:
            tail.write_bytes(share(4))
            child.has("o", 4)
            append(tail, share(5))
            child.has("o", 5)
        assert child.end() == 0


def test_what_a_replaced_file_still_held_is_not_lost(tmp_path: Path) -> None:
    """Lines written to a file right before it was moved away are read, as log rotation needs."""
    tail = tmp_path / "events.jsonl"
    append(tail, post())
    with running(tail, state=tmp_path / "state") as child:
        child.has("o", 1)
        append(tail, share(2))
        tail.rename(tmp_path / "events.jsonl.1")
        append(tail, share(3))
        until(lambda: child.events() >= 2 and child.get("/readyz").status_code == 200, "the new file")
        append(tail, share(4))
        until(lambda: "x:4" in child.get("/offers/o/edges").text, "the new file, longer")
        assert child.nodes("o") == 4
        assert child.end() == 0


def test_several_files_are_followed_and_bad_lines_counted(tmp_path: Path) -> None:
    """Each file has a position of its own; a bad line is logged, counted by its reason, and passed over."""
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    append(one, post() + b"\nnonsense\n" + share(2))
    append(two, b"[" + share(3).strip() + b", 7]\n")
    with running(one, two, state=tmp_path / "state") as child:
        child.has("o", 3)
        rejected = {dict(labels)["reason"]: n for (name, labels), n in child.samples().items() if "rejected_t" in name}
        assert rejected == {"not JSON": 1, "mistyped field": 1}
        assert child.end() == 0
    said = [json.loads(line) for line in child.said]
    assert [line["source"] for line in said if line["event"] == "rejected"] == [f"jsonl:{one}", f"jsonl:{two}"]
    with running(one, two, state=tmp_path / "state") as child:
        append(two, share(4))
        child.has("o", 4)
        assert child.events() == 1


def test_it_is_ready_once_it_has_caught_up(tmp_path: Path) -> None:
    """/readyz says 503 while what was there at the start is being read, then 200; /healthz says 200 all along."""
    tail = tmp_path / "events.jsonl"
    tail.write_bytes(b"".join(crowd(11, 40_000)))
    with running(tail, state=tmp_path / "state") as child:
        codes = []

        def ready() -> bool:
            codes.append(child.get("/readyz").status_code)
            assert child.get("/healthz").status_code == 200
            return codes[-1] == 200

        until(ready, "ready")
        assert child.events() == 40_000
        assert codes[-1] == 200
        assert set(codes[:-1]) <= {503}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_a_restart_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with code 0; the next start reads what is new, and knows what was."""
    tail, state = tmp_path / "events.jsonl", tmp_path / "state"
    append(tail, post() + share(2))
    with running(tail, state=state) as child:
        child.has("o", 2)
        assert child.end(how) == 0
        assert json.loads(child.said[-1])["event"] == "stopped"
    append(tail, share(3))
    with running(tail, state=state) as child:
        child.has("o", 3)
        assert child.events() == 1
        assert child.end(how) == 0
    good("report", "--state", state, cwd=tmp_path)


def test_a_state_file_has_one_process(tmp_path: Path) -> None:
    """A second process on the same state file is refused in one line, and harms nothing."""
    tail, state = tmp_path / "events.jsonl", tmp_path / "state"
    append(tail, post())
    with running(tail, state=state) as child:
        child.has("o", 1)
        for args in (
            ("run", "--tail", tail, "--state", state, "--port", "0"),
            ("replay", tail, "--state", state),
            ("report", "--state", state),
        ):
            assert "in use" in ended(*args, cwd=tmp_path).complaint()
        append(tail, share(2))
        child.has("o", 2)
        assert child.end() == 0


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """A port that another process has is named in one line."""
    tail = tmp_path / "events.jsonl"
    with running(tail, state=tmp_path / "state") as child:
        port = child.base.rpartition(":")[2]
        line = ended("run", "--tail", tail, "--state", tmp_path / "s", "--port", port, cwd=tmp_path).complaint()
        assert port in line


def test_what_cannot_be_followed_is_one_line(tmp_path: Path) -> None:
    """Nothing to follow, or a folder, is said in one line."""
    assert "--tail" in ended("run", "--state", "s", "--port", "0", cwd=tmp_path).complaint()
    (tmp_path / "folder").mkdir()
    last = ended("run", "--tail", "folder", "--state", "s", "--port", "0", cwd=tmp_path)
    assert last.code == 2
    assert "Traceback" not in last.err
    assert "folder" in last.err.splitlines()[-1]


class Feed:
    """A file that grows ahead of whoever reads it, so that there is always something left to read."""

    LEAD: Final = 1_500
    """Lines."""

    def __init__(self, path: Path, lines: list[bytes]) -> None:
        self.path = path
        self._lines = lines
        self._ends = [0]
        for line in lines:
            self._ends.append(self._ends[-1] + len(line))
        self._written = 0
        path.touch()

    @property
    def end(self) -> int:
        """The size of the file when all is written."""
        return self._ends[-1]

    @property
    def size(self) -> int:
        """The size of the file so far."""
        return self._ends[self._written]

    def lead(self, read: int) -> None:
        """Write on until the file is some lines ahead of what was read."""
        first = self._written
        while self._written < len(self._lines) and self._ends[max(0, self._written - self.LEAD)] <= read:
            self._written += 1
        append(self.path, b"".join(self._lines[first : self._written]))


def test_twenty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Killed 20 times at seeded points while it reads, it reports at the end what one replay reports, byte for byte."""
    rng = random.Random(20)
    feed = Feed(tmp_path / "events.jsonl", crowd(12, 50_000))
    state = tmp_path / "state"
    points = sorted(rng.sample(range(feed.end * 9 // 10), KILLS))
    stood: list[int] = []
    lives = 0
    while len(stood) < KILLS:
        lives += 1
        feed.lead(position(state))
        with running(feed.path, state=state) as child:
            _read_up_to(points[len(stood)], child, feed, state, more=rng.randrange(20))
            assert child.lives()
            assert child.end(signal.SIGKILL) == -signal.SIGKILL
        if position(state) < feed.size:  # else it had nothing to read for the moment, which does not count
            stood.append(position(state))
        assert lives < 3 * KILLS, "it is always idle when it is killed"
    assert stood == sorted(stood)
    assert len(set(stood)) > KILLS // 3, "hardly a life got anywhere"

    feed.lead(feed.end)
    with running(feed.path, state=state) as child:
        until(lambda: position(state) == feed.end, "the end of the file")
        assert child.end() == 0
    got = good("report", "--state", state, cwd=tmp_path).out.encode()
    good("replay", feed.path, "--report", tmp_path / "expected", cwd=tmp_path)
    assert got.splitlines() == (tmp_path / "expected").read_bytes().splitlines()[:-1]


def _read_up_to(point: int, child: Child, feed: Feed, state: Path, *, more: int) -> None:
    """Feed a child until it stands behind a point of the file, and for some looks more."""
    passed = 0

    def far_enough() -> bool:
        nonlocal passed
        read = position(state)
        feed.lead(read)
        passed += read >= point
        return passed > more or not child.lives()

    until(far_enough, f"reading up to {point}", every_s=0.001)
