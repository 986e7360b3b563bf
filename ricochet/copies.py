"""Copies of partitions on this machine that no worker has: the partition is another's now, or the place nobody's.

Erasures do not reach them. So they go once they are old, within a step, as what is erased leaves the others. Until then
they spare a worker that comes back reading everything anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ricochet import places
from ricochet.logs import logger
from streams.tables import erase, old_copies

_LOOKS: Final = 4
"""In a step. A copy is old when it was not in use for all of them but one."""

log = logger(__name__)


@asynccontextmanager
async def erasing(mine: Path, in_use: Callable[[], Set[str]], step_ms: int) -> AsyncIterator[None]:
    """Delete old copies for the length of the block, in a worker's folder and in those that nobody has beside it.

    `in_use` names the copies in its own that it has.
    """
    task = asyncio.create_task(_erase_on(mine, in_use, step_ms))
    try:
        yield
    finally:
        task.cancel()


async def _erase_on(mine: Path, in_use: Callable[[], Set[str]], step_ms: int) -> None:
    while True:
        await asyncio.sleep(step_ms / _LOOKS / 1000)
        erase_old(mine, in_use(), step_ms - step_ms // _LOOKS)


def erase_old(mine: Path, in_use: Set[str], old_ms: int) -> None:
    """Delete the copies that were not written to for so long (ms)."""
    for folder in places.folders(mine.parent):
        try:
            if folder == mine:
                _erase([path for path in old_copies(mine, old_ms) if path.name not in in_use], folder)
            elif old_copies(folder, old_ms) and (lock := places.lock(folder)) is not None:
                with lock:
                    _erase(old_copies(folder, old_ms), folder)  # somebody may have been there until now
        except OSError as error:
            log.warning("old copies not deleted", place=folder.name, why=str(error))


def _erase(copies: list[Path], place: Path) -> None:
    if copies:
        erase(copies)
        log.info("old copies deleted", place=place.name, copies=len(copies))
