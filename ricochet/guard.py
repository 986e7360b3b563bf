"""Who may ask: an optional token before a web application, and what every answer says of itself.

The token is shown as `Authorization: Bearer TOKEN`, or as the password of basic auth, whatever the user's name. Probes
stay open: whether a process lives and is ready is nobody's secret.
"""

import base64
import binascii
import hmac
from typing import Final

import httpx
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN: Final = ("/healthz", "/readyz")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNKNOWN: Final = Response(
    b'{"error":"show the token"}',
    401,
    {"WWW-Authenticate": 'Bearer realm="ricochet", Basic realm="ricochet"'},
    "application/json",
)


class Guard:
    """An ASGI application before another one. Without a token it lets everybody in."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the other one answer."""
        is_open = self._token is None or scope["path"] in OPEN
        app = self._app if is_open or shows(self._token or "", Headers(scope=scope)) else _UNKNOWN

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await app(scope, receive, say)


def shows(token: str, headers: Headers) -> bool:
    """Whether a request shows the token; compared in constant time."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    shown = given.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown, token.encode())


def asking(token: str | None, timeout: httpx.Timeout | float) -> httpx.Client:
    """A client that follows workers to each other and shows them all the token.

    One address answers for the next: whoever is asked first has to be known.
    """

    def show(request: httpx.Request) -> None:
        # Of itself the client would leave the token behind where another address is asked.
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"

    return httpx.Client(follow_redirects=True, timeout=timeout, trust_env=False, event_hooks={"request": [show]})
