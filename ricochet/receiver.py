"""The receiver: webhooks of all networks on one small server, apart from metrics and offers.

It listens on loopback unless told otherwise, takes no body of over a mebibyte, and answers 2xx only after the events of
a delivery are safe. A delivery that does not become so in time is answered 503: its sender comes again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.webhook import Delivery, Hook, Reply

MOST_BYTES: Final = 2**20
SAFE_S: Final = 25.0
BODY_S: Final = 20.0
_BUSY: Final = Reply(503)


def application(hooks: Iterable[Hook], safe_s: float = SAFE_S, body_s: float = BODY_S) -> Starlette:
    """The web application with the routes of the connectors.

    A delivery has `body_s` seconds to come, and `safe_s` to become safe.
    """
    return Starlette(
        routes=[Route(hook.path, _endpoint(hook, safe_s, body_s), methods=["GET", "POST"]) for hook in hooks]
    )


def _endpoint(hook: Hook, safe_s: float, body_s: float) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        body = bytearray()
        try:
            async with asyncio.timeout(body_s):
                async for part in request.stream():
                    body += part
                    if len(body) > MOST_BYTES:
                        return Response(status_code=413)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = Delivery(request.method, dict(request.query_params), headers, bytes(body))
        reply = await run_in_threadpool(_answer, hook, delivery, safe_s)
        return Response(reply.body, reply.status, media_type=reply.media_type)

    return receive


def _answer(hook: Hook, delivery: Delivery, safe_s: float) -> Reply:
    taken = hook.take(delivery)
    if isinstance(taken, Reply):
        return taken
    delivered = hook.inbox.put(taken)
    if delivered is None:
        return _BUSY
    return Reply(200) if delivered.wait(safe_s) else _BUSY
