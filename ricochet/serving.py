"""Serving over HTTP: sockets, and a server that nobody holds up, by sending slowly, much, or nothing at all.

Headers have a size and a time, an answer a time in which it must be fetched, connections a number.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ricochet.errors import RicochetError
from ricochet.guard import Guard
from ricochet.logs import logger

HEADER_BYTES: Final = 16 * 1024
"""Of a request's first line and headers together, about: an id of an offer takes 1.5 kilobytes at most."""
CONNECTIONS: Final = 256
REQUEST_S: Final = 10.0
"""For the headers of a request, from the connection on."""
FETCH_S: Final = 60.0
"""From an answer to the next request: for fetching what is ready, sending what is left of a body, and new headers."""

log = logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on; port 0 takes a free one. Raises `RicochetError` where it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError) as error:
        sock.close()
        why = getattr(error, "strerror", None) or error
        raise RicochetError(f"{host}:{port} can't be listened on: {why}") from None
    return sock


def address(sock: socket.socket) -> str:
    """The address of a socket as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def guarded(app: ASGIApp, sock: socket.socket, token: str | None) -> AsyncIterator[None]:
    """Serve to whoever shows the token while the block runs; to everybody, if there is none."""
    if token is None and not ip_address(sock.getsockname()[0]).is_loopback:
        log.warning("open to everybody who reaches it", web=address(sock), help="set web_token_file, or a proxy before")
    async with bare(Guard(app, token), sock):
        yield


@contextlib.asynccontextmanager
async def bare(app: ASGIApp, sock: socket.socket) -> AsyncIterator[None]:
    """Serve while the block runs."""
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """Leaves the signals to the command."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class _Connection(H11Protocol):
    """One connection, with an end to its patience; uvicorn has one only between two requests."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._within(REQUEST_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a request is there; the application has bounds of its own
            self._within(None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # and not already the next one begun
            self._within(FETCH_S)

    def _within(self, seconds: float | None) -> None:
        """Set the time in which something has to happen, in place of the last one; None is for ever."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
