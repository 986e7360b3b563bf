"""A websocket that is only read: one connection, its faults in the words of the contract."""

from contextlib import ExitStack
from typing import Final
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from connectors.api import fault
from connectors.connector import NotConnected

_MOST_BYTES: Final = 8 * 2**20
_FRAMES_HELD: Final = 256
_OPEN_S: Final = 20.0


class Socket:
    """A connection to `url`. Raises what the contract of a connector names; what it says shows the host alone."""

    def __init__(self, url: str) -> None:
        self.host: Final = urlsplit(url).netloc.rpartition("@")[2]
        self._stack = ExitStack()
        try:
            opened = connect(
                url,
                max_size=_MOST_BYTES,
                max_queue=_FRAMES_HELD,
                open_timeout=_OPEN_S,
                close_timeout=1,
                compression=None,
            )
            self._connection: ClientConnection = self._stack.enter_context(opened)
        except InvalidStatus as error:
            raise fault(error.response.status_code, dict(error.response.headers.raw_items()), self.host) from None
        except (OSError, WebSocketException, ValueError) as error:
            raise NotConnected(f"{self.host}: {type(error).__name__}") from None

    def read(self, timeout_s: float, most: int) -> list[bytes]:
        """Messages that have come, waiting for the first; empty if none came in time."""
        messages: list[bytes] = []
        try:
            while len(messages) < most:
                messages.append(self._connection.recv(0 if messages else timeout_s, decode=False))
        except TimeoutError:
            return messages
        except (ConnectionClosed, OSError) as error:
            if messages:
                return messages  # the end shows again at the next read
            raise NotConnected(f"{self.host}: {_told(error)}") from None
        return messages

    def close(self) -> None:
        """Close the connection."""
        self._stack.close()


def _told(error: Exception) -> str:
    """How a connection ended, without what the other side says in words."""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        return f"closed with {error.rcvd.code}"
    return type(error).__name__
