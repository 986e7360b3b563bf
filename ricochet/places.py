"""A worker's place on this machine: its name, its folder, and the lock that keeps a second worker out.

The name makes the worker's static membership, so it must be the same at the next start and nobody else's: it begins
with an id that its data folder was given once.
"""

import fcntl
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ricochet.errors import RicochetError

_PLACES: Final = 256


@dataclass(frozen=True)
class Place:
    """A place, taken as long as `lock` is open. `number` counts those without a name, from 1; else it is 0."""

    name: str
    number: int
    instance: str
    folder: Path
    lock: IO[str]

    def port(self, first: int) -> int:
        """The port of this place, if the first one has port `first`; 0 where any free one will do."""
        return first and first + max(0, self.number - 1)


def take(root: Path, name: str | None) -> Place:
    """Take the place of that name, or else the first free one. Raises `RicochetError` where it can't be had."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        installation = _installation(root)
        wanted = [(name, 0)] if name else [(str(number), number) for number in range(1, _PLACES + 1)]
        for found, number in wanted:
            folder = root / found
            if (held := lock(folder)) is not None:
                folder.mkdir(exist_ok=True)
                return Place(found, number, f"{installation}-{found}", folder, held)
    except OSError as error:
        raise RicochetError(f"{root}: {error.strerror or error}") from None
    taken = f"place {name} is" if name else f"all {_PLACES} places are"
    raise RicochetError(f"{root}: {taken} taken by another worker")


def folders(root: Path) -> list[Path]:
    """The folders of all places that were ever taken."""
    return [path.with_suffix("") for path in sorted(root.glob("*.lock"))]


def lock(folder: Path) -> IO[str] | None:
    """Hold a place for as long as the lock is open; None if somebody has it."""
    file = open(folder.with_name(f"{folder.name}.lock"), "w")  # noqa: SIM115  # held as long as the worker lives
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _installation(root: Path) -> str:
    path = root / "id"
    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        id = file.read().strip()
        if not id:
            id = secrets.token_hex(4)
            file.write(id)
    return id
