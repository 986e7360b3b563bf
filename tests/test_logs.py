"""Logs: a line for each event, that can be read by a machine and holds nobody's secret."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.processes import HANG_S, environment

FAILING = """
from ricochet import logs
logs.configure("json", "info")
def take(event):
    raise ValueError("no such thing")
try:
    take({"actor": "x:" + "secret"})
except ValueError:
    logs.logger("some").exception("ended by an error", why="told")
"""


def test_an_error_says_where_and_not_with_what() -> None:
    """An error is one JSON line with its traceback, without the values that the program had at hand."""
    done = subprocess.run(
        [sys.executable, "-c", FAILING], env=environment(), capture_output=True, text=True, timeout=HANG_S, check=True
    )
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["why"], told["level"]) == ("ended by an error", "told", "error")
    frames = [frame["name"] for one in told["exception"] for frame in one["frames"]]
    assert frames == ["<module>", "take"]
    assert "secret" not in line
