"""Ricochet as a child process: started, waited for, ended by its own pid, never left behind.

Every wait is for something that can be seen (a line, an answer, the end), and has a hang guard instead of a guess.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

HANG_S: Final = 60.0
"""Whatever takes longer than this hangs."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """Give the one line on stderr of a command that was refused."""
        assert self.code == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self
        assert lines[0].startswith("ricochet: "), self
        return lines[0]


def command(*args: str | Path) -> list[str]:
    """Give the command line of a child."""
    return [sys.executable, "-m", "ricochet", *map(str, args)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give an environment without anybody's settings and without colours."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RICOCHET_")}
    plain |= {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    return plain | dict(more or {})


def ended(
    *args: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] = b"",
    stdout: IO[bytes] | None = None,
    hang_s: float = HANG_S,
) -> Ended:
    """Run a command to its end. The folder matters: settings are read from there."""
    given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run(
        command(*args),
        cwd=cwd,
        env=environment(env),
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=hang_s,
        check=False,
        **given,
    )
    return Ended(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())


def good(
    *args: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] = b"",
    stdout: IO[bytes] | None = None,
    hang_s: float = HANG_S,
) -> Ended:
    """Run a command that must end well."""
    result = ended(*args, cwd=cwd, env=env, stdin=stdin, stdout=stdout, hang_s=hang_s)
    assert result.code == 0, result
    return result


def until(true: Callable[[], bool], what: str, every_s: float = 0.01, hang_s: float = HANG_S) -> None:
    """Look again and again until something is seen to be so."""
    deadline = time.monotonic() + hang_s
    while not true():
        assert time.monotonic() < deadline, f"hangs: {what}"
        time.sleep(every_s)


class Child:
    """A running command, with the lines that it has said so far. Killed at the end of its block if it still lives."""

    def __init__(self, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.said: list[str] = []
        self.base = ""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            args, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # A connection for each question, as a scrape has; no certificates, which take longer to read than an answer.
        self._web = httpx.Client(timeout=HANG_S, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._web.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(HANG_S)
        self._reader.join(HANG_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def lives(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def line(self, part: str) -> str:
        """Wait for a line that has `part` in it."""
        for said in self.said:
            if part in said:
                return said
        deadline = time.monotonic() + HANG_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {part!r} in {self.said}") from None
            if line is None:
                raise AssertionError(f"ended with {self._process.wait(HANG_S)} before {part!r}: {self.said}")
            self.said.append(line)
            if part in line:
                return line

    def get(self, path: str) -> httpx.Response:
        """Ask the child's web server."""
        return self._web.get(self.base + path)

    def samples(self) -> Samples:
        """Read the child's metrics."""
        return samples(self.get("/metrics").text)

    def events(self) -> int:
        """Count the events that this process has taken in."""
        return round(sum(n for (name, _), n in self.samples().items() if name == "ricochet_events_total"))

    def nodes(self, offer: str) -> int:
        """Count the living nodes of an offer, 0 for an unknown one."""
        answer = self.offer(offer)
        return int(answer.json()["nodes"]) if answer.status_code == 200 else 0

    def offer(self, id: str) -> httpx.Response:
        """Ask for an offer, without following where the child sends the question."""
        return self.get(f"/offers/{quote(id, safe='')}")

    def has(self, offer: str, nodes: int) -> None:
        """Wait until an offer has so many living nodes."""
        until(lambda: self.nodes(offer) == nodes, f"{nodes} nodes of {offer}")

    def kill(self, which: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(which)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, give the code."""
        self.kill(how)
        return self.ends()

    def ends(self) -> int:
        """Wait for the end and give the code; all lines are then in `said`."""
        code = self._process.wait(HANG_S)
        self._reader.join(HANG_S)
        while (line := self._lines.get(timeout=HANG_S)) is not None:
            self.said.append(line)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)


@contextmanager
def started(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Start a command, end it with the block."""
    with Child(command(*args), cwd, environment(env)) as child:
        yield child


@contextmanager
def running(*tails: Path, state: Path, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Start `ricochet run` on files and wait for its address."""
    options = [option for tail in tails for option in ("--tail", tail)]
    more = {"RICOCHET_LOG_FORMAT": "json"} | dict(env or {})
    with started("run", *options, "--state", state, "--port", "0", cwd=state.parent, env=more) as child:
        child.base = address(child.line('"event": "running"'))
        yield child


def address(line: str) -> str:
    """Find the address of the web server in a line."""
    start = line.index("http://")
    host = line[start + len("http://") :]
    end = next((place for place, sign in enumerate(host) if not (sign.isalnum() or sign in ".:[]")), len(host))
    return line[start : start + len("http://") + end]


def samples(text: str) -> Samples:
    """Parse metrics into values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
