"""`ricochet demo`: it says where its numbers are, shows them as they come, ends when told, and repeats itself."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ricochet.demo import picture, play
from ricochet.simulator import simulate
from streams.embedded import Embedded
from tests.crowd import NOON
from tests.processes import HANG_S, address, command, ended, environment, samples, started, until

TITLES = {offer.title for offer in simulate(3, NOON).offers}


def test_it_names_its_address_at_once_and_serves_while_it_runs(tmp_path: Path) -> None:
    """Without a terminal the address is the first line, the numbers grow there, and the table comes at the end."""
    with started("demo", "--for", "20s", "--speed", "43200", "--seed", "3", cwd=tmp_path) as child:
        first = child.line("/metrics")
        assert child.said == [first]
        child.base = address(first)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", child.base)
        assert child.get("/healthz").text == "ok\n"
        assert child.get("/readyz").text == "ready\n"
        until(lambda: child.events() > 100, "events")
        summaries = child.get("/offers").json()
        assert {offer["title"] for offer in summaries} <= TITLES
        assert samples(child.get("/metrics").text)["ricochet_state_nodes", frozenset()] > 0
        assert child.ends() == 0
    out = "\n".join(child.said)
    assert "\x1b" not in out
    for word in ("nodes", "depth", "virality", "reach"):
        assert word in out
    for title in TITLES:
        assert title in out
    assert "Traceback" not in out


def test_it_needs_no_settings_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The demo writes nothing to where it is started."""
    result = ended("demo", "--for", "0.2", cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args", ["--for 0", "--for 3d", "--for -1s", "--for nan", "--for inf", "--speed 0", "--port 70000"]
)
def test_bad_options_are_one_line(tmp_path: Path, args: str) -> None:
    """A duration, speed or port that makes no sense is refused in one line."""
    assert args.split(maxsplit=1)[0] in ended("demo", *args.split(), cwd=tmp_path).complaint()


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(self, *args: str, folder: Path) -> None:
        self.shown = ""
        self._deadline = time.monotonic() + HANG_S
        self._master, slave = pty.openpty()
        env = environment({"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"})
        del env["NO_COLOR"]
        # The leader of a new session that opens a terminal is the one whom the terminal's Ctrl-C reaches.
        opened = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *command(*args)]
        self.process = subprocess.Popen(opened, cwd=folder, env=env, start_new_session=True)
        self._slave = slave

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    def read(self) -> bool:
        """Take what has come to the screen; whether more may come."""
        while True:
            over = self.process.poll() is not None
            if select.select([self._master], [], [], 0 if over else 0.05)[0]:
                self.shown += os.read(self._master, 65_536).decode(errors="replace")
                return True
            if over:
                return False
            assert time.monotonic() < self._deadline, f"hangs: {self.shown}"

    def until(self, part: str) -> None:
        """Read until something stands on the screen."""
        while part not in self.shown:
            assert self.read(), f"ended before {part!r}: {self.shown}"
            assert time.monotonic() < self._deadline, f"hangs: {self.shown}"

    def ends(self) -> int:
        """Read to the end; give the code."""
        while self.read():
            assert time.monotonic() < self._deadline, f"hangs: {self.shown}"
        return self.process.wait(HANG_S)

    def close(self) -> None:
        """End the command if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(HANG_S)
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def terminal(*args: str, folder: Path) -> Iterator[Terminal]:
    """Open a terminal, close it with the block."""
    opened = Terminal(*args, folder=folder)
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("how", ["key", "signal"])
def test_a_terminal_has_a_live_table_until_ctrl_c(tmp_path: Path, how: str) -> None:
    """In a terminal the table is drawn again and again; Ctrl-C ends it with code 0 and leaves the screen in order."""
    with terminal("demo", "--speed", "43200", "--seed", "3", folder=tmp_path) as screen:
        screen.until("/metrics")
        drawn = screen.shown.count("Simulated offers at")
        while screen.shown.count("Simulated offers at") < drawn + 3:
            assert screen.read()
        screen.until(max(TITLES, key=len)[:10])
        if how == "key":
            screen.press(b"\x03")
        else:
            screen.process.send_signal(signal.SIGINT)
        assert screen.ends() == 0
        assert "Traceback" not in screen.shown
        assert "Aborted" not in screen.shown
        assert screen.shown.rindex("\x1b[?25h") > screen.shown.rindex("\x1b[?25l"), "the cursor is back"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_terminal_too(tmp_path: Path, how: signal.Signals) -> None:
    """SIGTERM and SIGINT end the demo with code 0 and the table."""
    with started("demo", "--speed", "43200", cwd=tmp_path) as child:
        child.base = address(child.line("/metrics"))
        until(lambda: child.events() > 0, "events")
        assert child.end(how) == 0
    assert any("Simulated offers at" in line for line in child.said)


def test_the_same_seed_gives_the_same_numbers() -> None:
    """A scenario played twice, in steps of any length, gives the same report; another seed gives another."""

    def played(seed: int, step: int) -> list[bytes]:
        arrivals = simulate(seed, NOON).events
        with Embedded() as engine:
            for first in range(0, len(arrivals), step):
                play(list(arrivals[first : first + step]), engine)
            assert not engine.health.rejected
            return [line for offer in sorted(engine.offers()) for line in engine.report_lines(offer)]

    once = played(3, 10_000)
    assert len(once) > 20
    assert played(3, 97) == once
    assert played(4, 10_000) != once


def test_the_picture_is_of_this_version() -> None:
    """The README's picture of the demo is what the demo shows."""
    page = Path(__file__).parent.parent / "docs" / "demo.svg"
    assert page.read_text() == picture(), "make docs"
