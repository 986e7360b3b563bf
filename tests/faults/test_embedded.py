"""The embedded engine: its disk fills up, its file is damaged, and it is killed amid a merger of segments."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import IN_CI
from tests.crew import assert_same, embedded
from tests.crowd import crowd
from tests.processes import Child, ended, good, running, until
from tests.test_run import position

HANG_S = 400.0
PAGE = 4096
KILLED_AMID = """
import os
import signal
from streams import segments

mergers = int(os.environ["TEST_MERGERS"])
append = segments.Segments.append


def killed(self, table, news, merged):
    def amid(stored):
        global mergers
        mergers -= 1
        whole = merged(stored)
        if mergers == 0 and os.environ["TEST_WHERE"] == "in memory":
            os.kill(os.getpid(), signal.SIGKILL)
        return whole

    append(self, table, news, amid)
    if mergers <= 0:
        table.write()  # the merged segment is on its way to the disk, and what it replaces is not deleted
        os.kill(os.getpid(), signal.SIGKILL)


segments.Segments.append = killed
"""
"""Kills the process that it is loaded into at one of its mergers; nothing else of it is changed."""


def state_of(tail: Path, state: Path, env: Mapping[str, str] | None = None) -> None:
    """Follow a file to its end, and stop in good order."""
    with running(tail, state=state, env=env) as child:
        until(lambda: position(state) == tail.stat().st_size, f"the end: {child.said}", every_s=0.1, hang_s=HANG_S)
        assert child.end() == 0


def holds_all(state: Path, lines: list[bytes], folder: Path) -> None:
    """Hold that a state file's report and edges are those of the batch."""
    good("report", "--state", state, "--out", "mine", "--edges", "my-edges", cwd=folder, hang_s=HANG_S)
    given = (folder / "mine").read_bytes(), (folder / "my-edges").read_bytes()
    assert_same(given, embedded(lines, folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 3 MiB."""
    (folder := tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        (pytest.fail if IN_CI else pytest.skip)(f"a small disk can't be mounted, root may: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    """On a full disk the engine ends with a line that says so, and with more room it goes on to the same end."""
    lines = crowd(141, 30_000)
    (tail := tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    state = small_disk / "state"
    for _ in range(2):  # started again without more room it says so again
        full = ended("run", "--tail", tail, "--state", state, "--port", "0", cwd=tmp_path, hang_s=HANG_S)
        assert (full.code, "Traceback" in full.err) == (2, False), full
        assert full.err.splitlines()[-1].endswith("the disk is full; nothing is lost, make room and start again"), full
    subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
    assert 0 < position(state) < tail.stat().st_size
    state_of(tail, state)
    holds_all(state, lines, tmp_path)


def test_a_damaged_state_is_restored_from_its_backup(tmp_path: Path) -> None:
    """A backup made while it runs, as the operations page says, takes the place of a damaged file and catches up."""
    lines = crowd(142, 20_000)
    (tail := tmp_path / "events.jsonl").write_bytes(b"".join(lines[:12_000]))
    state, backup = tmp_path / "state", tmp_path / "state.backup"
    with running(tail, state=state) as child:
        until(lambda: position(state) > 0, "something to keep", hang_s=HANG_S)
        back_up(state, backup)
        until(lambda: position(state) == tail.stat().st_size, "the end", every_s=0.1, hang_s=HANG_S)
        assert child.end() == 0
    with open(tail, "ab") as more:
        more.writelines(lines[12_000:])
    with open(state, "r+b") as file:
        for page in range(state.stat().st_size // PAGE // 2, state.stat().st_size // PAGE):
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)
    damaged = ended("run", "--tail", tail, "--state", state, "--port", "0", cwd=tmp_path, hang_s=HANG_S)
    assert (damaged.code, "Traceback" in damaged.err) == (2, False), damaged
    assert "is damaged" in damaged.err.splitlines()[-1]
    assert "restore a backup or replay the events" in damaged.err.splitlines()[-1]
    for rest in tmp_path.glob("state-*"):
        rest.unlink()
    shutil.copy(backup, state)
    state_of(tail, state)
    holds_all(state, lines, tmp_path)


def back_up(state: Path, to: Path) -> None:
    """Do what docs/operations.md says."""
    with closing(sqlite3.connect(state)) as one:
        one.execute(f"VACUUM INTO '{to}'")


@pytest.mark.parametrize("where", ["in memory", "half written"])
def test_a_kill_amid_a_merger_loses_and_doubles_nothing(tmp_path: Path, where: str) -> None:
    """Killed while segments are merged, before or after the merged one is written, it goes on to the same end."""
    (hook := tmp_path / "hook").mkdir()
    (hook / "sitecustomize.py").write_text(KILLED_AMID)
    lines = crowd(143, 25_000)
    (tail := tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    state = tmp_path / "state"
    for mergers in (1, 4, 12):
        env = {"PYTHONPATH": str(hook), "TEST_MERGERS": str(mergers), "TEST_WHERE": where}
        with running(tail, state=state, env=env) as child:
            assert_killed(child)
    assert position(state) < tail.stat().st_size
    state_of(tail, state)
    holds_all(state, lines, tmp_path)


def assert_killed(child: Child) -> None:
    """Wait for the end of a child that kills itself."""
    assert child.ends() == -signal.SIGKILL, child.said
