"""A worker as a member of its consumer group: whether it still is one, and when it heard of Kafka last.

Faust tells neither: it goes on without partitions when it was put out of the group, and waits without a word for a
Kafka that is away. aiokafka, below it, knows.
"""

import time
from typing import Any

import faust


class Fenced(Exception):
    """The worker is no member of its group any more."""


class Membership:
    """The membership of an application's consumer."""

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._id = ""
        self._heard_at = time.monotonic()

    def check(self) -> None:
        """Raise `Fenced` if the group has given this member up: it was silent for too long, or its place is taken."""
        if self._consumer is None:
            return
        coordinator = self._consumer._coordinator
        if self._id and coordinator.member_id != self._id:  # it is kept as long as the group knows it
            raise Fenced("the group does not know this worker any more")
        if coordinator._coordination_task.done():  # else it would go on without ever being given anything
            raise Fenced("its membership in the group has ended")
        self._id = coordinator.member_id

    def heard_at(self) -> float:
        """When a broker answered last, by the steady clock: to a heartbeat, if nothing else is asked."""
        connections = [] if self._consumer is None else [*self._consumer._client._conns.values()]
        self._heard_at = max([self._heard_at, *(connection._last_action for connection in connections)])
        return self._heard_at

    @property
    def _consumer(self) -> Any:
        """The consumer of aiokafka inside Faust's, None until it has started."""
        return self._app.consumer._thread._consumer  # type: ignore[attr-defined]
