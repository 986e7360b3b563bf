"""Commands of the documentation, run as they stand there.

`docker` is a stand-in where Docker would be: a volume is a folder, `docker run` runs its command here on those folders,
and starting and stopping is left to the test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes import HANG_S, environment


def blocks(page: Path, heading: str) -> list[str]:
    """Give the commands of each block of a section, as scripts; what they print is left out."""
    section = re.split(r"^## ", page.read_text().partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    found = re.findall(r"^```\n(\$ .*?)^```$", section, re.MULTILINE | re.DOTALL)
    return ["\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)) for block in found]


def run(script: str, folder: Path, volumes: Mapping[str, Path] | None = None) -> None:
    """Run a script in a folder, with folders in the place of volumes; it must end well."""
    there = folder / "bin"
    there.mkdir(exist_ok=True)
    (there / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.documented "$@"\n')
    (there / "docker").chmod(0o755)
    named = {name: str(place) for name, place in (volumes or {}).items()}
    here = Path(__file__).parents[1]
    env = {
        "PATH": f"{there}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(here),
        "TEST_VOLUMES": json.dumps(named),
    }
    shell = ["sh", "-euc", script]
    done = subprocess.run(
        shell, cwd=folder, env=environment(env), capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)


def docker(words: list[str], volumes: Mapping[str, str]) -> int:
    """Do what Docker would; its exit code."""
    match words:
        case ["compose", "create" | "up", *_]:
            for folder in volumes.values():
                os.makedirs(folder, exist_ok=True)
        case ["compose", "stop" | "down" | "rm", *_]:
            pass
        case ["volume", "rm", *names]:
            for name in names:
                shutil.rmtree(volumes[name])
        case ["run", "--rm", *rest]:
            mounts = {}
            while rest[0] == "--volume":
                source, target, *_ = rest[1].split(":")
                mounts[target] = volumes.get(source, source)
                rest = rest[2:]
            _image, *command = rest
            return subprocess.run([_here(word, mounts) for word in command], check=False).returncode
        case _:
            raise AssertionError(words)
    return 0


def _here(word: str, mounts: Mapping[str, str]) -> str:
    for target, source in mounts.items():
        if (word + "/").startswith(target + "/"):
            return source + word[len(target) :]
    return word


if __name__ == "__main__":
    sys.exit(docker(sys.argv[1:], json.loads(os.environ["TEST_VOLUMES"])))
