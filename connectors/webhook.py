"""Webhooks: what a network pushes, from the receiver to the connector's `read`, and the answer once it is safe.

A connector that is pushed to has `hooks`, each with a path of its own, and an `Inbox` that its `read` empties. The
receiver is shared (ricochet.receiver); it limits sizes, and answers a delivery 2xx only after its events are safe.
"""

import hmac
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_HELD: Final = 100
"""Deliveries that wait at most; a sender comes again."""


@dataclass(frozen=True)
class Delivery:
    """A request as it came. Header names in lower case, the body as raw bytes: signatures are made over these."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer at once: to a challenge, or to what is not taken."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/plain"


@dataclass(frozen=True)
class Hook:
    """A route: `take` verifies a delivery and gives its messages, or a reply. It runs in the receiver's thread.

    `inbox` takes the messages on to the connector.
    """

    path: str
    take: Callable[[Delivery], "Reply | Sequence[Any]"]
    inbox: "Inbox"


@dataclass
class Delivered:
    """Messages that wait to become safe."""

    messages: Sequence[Any]
    _safe: threading.Event = field(default_factory=threading.Event)

    def ack(self) -> None:
        """Say that they are safe."""
        self._safe.set()

    def wait(self, seconds: float) -> bool:
        """Wait until they are safe; whether they are."""
        return self._safe.wait(seconds)


class Inbox:
    """Deliveries on their way from the receiver to the connector."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Delivered] = queue.Queue(_HELD)

    def put(self, messages: Sequence[Any]) -> Delivered | None:
        """Hand messages over; None where too many wait."""
        delivered = Delivered(messages)
        try:
            self._waiting.put_nowait(delivered)
        except queue.Full:
            return None
        return delivered

    def get(self, timeout_s: float) -> Delivered | None:
        """The next messages, None if none came in time. Its `ack` belongs into the page."""
        try:
            return self._waiting.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None


def signed(signature: str, body: bytes, secret: str, algorithm: str = "sha256") -> bool:
    """Whether `signature` (hex) is the HMAC of the raw body, compared in constant time."""
    wanted = hmac.new(secret.encode(), body, algorithm).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.strip().lower().encode())
