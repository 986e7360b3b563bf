"""The end of a worker, which takes no longer than so long, whatever Kafka does.

Faust ends only once Kafka has answered: until then it commits again and again, and passes over being cancelled. What it
leaves behind, tasks and a thread, would keep the process from ending.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from typing import Any, Final

import faust
from mode.threads import WorkerThread

PART_S: Final = 4.0
"""For the last flush, and for the end of Faust."""
_THREAD_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


class Ending:
    """The end of one worker, part by part."""

    def __init__(self) -> None:
        self._is_in_time = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left behind."""
        return self._is_in_time and not any(isinstance(thread, WorkerThread) for thread in threading.enumerate())

    async def wait(self, part: Coroutine[Any, Any, None]) -> None:
        """Wait for a part, but not for ever. Raises what it raises."""
        task = asyncio.create_task(part)
        await asyncio.wait([task], timeout=PART_S)  # not `timeout`, which waits for what it cancels
        if not task.done():
            task.cancel()
            self._is_in_time = False
            _log.warning("Kafka is away at the end; what is not acknowledged comes again")
        elif not task.cancelled():
            task.result()


def bound(app: faust.App) -> None:
    """Have an application's thread waited for no longer than so long. Before the application starts."""
    app.consumer._thread.Worker = _Thread  # type: ignore[attr-defined]


class _Thread(WorkerThread):
    def stop(self) -> None:  # it holds up the event loop
        self.join(_THREAD_S)
