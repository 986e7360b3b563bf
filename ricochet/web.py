"""HTTP: metrics, health and the offers, as JSON. Reads the engine between two batches, in the same thread."""

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ricochet.view import View
from spread.offer import Offer

_JSON: Final = "application/json"
_LINES: Final[dict[str, Callable[[Offer], Iterable[bytes]]]] = {
    "edges": lambda offer: offer.edge_lines(),
    "nodes": lambda offer: offer.node_lines(),
    "report": lambda offer: offer.report_lines(),
}
"""What is answered in lines."""


def here(_: str) -> str:
    """The owner of every offer where there is one engine alone."""
    return ""


def application(
    view: View, metrics: CollectorRegistry, trouble: Callable[[], str | None], owner: Callable[[str], str | None]
) -> Starlette:
    """The web application over a view of the engine.

    `trouble` says in words why the engine is not ready, `owner` at which address an offer is answered for: here (an
    empty one) or elsewhere, where the question is sent; None while nobody does.
    """

    async def get_offers(_: Request) -> Response:
        return _json(list(view.offers()))

    async def get_offer(request: Request) -> Response:
        # Ids may hold slashes, so the path is taken apart before it is decoded.
        id, *rest = (unquote(part) for part in request.scope["raw_path"].decode().split("/")[2:])
        answers = owner(id)
        if answers is None:
            return Response(b'{"error":"nobody answers for this offer now"}', 503, {"Retry-After": "1"}, _JSON)
        if answers:
            return Response(status_code=307, headers={"Location": answers + request.scope["raw_path"].decode()})
        if rest == [] and (detail := view.detail(id)) is not None:
            return _json(detail)
        if len(rest) == 1 and (lines := _LINES.get(rest[0])) and (rest == ["report"] or view.engine.knows(id)):
            return _lines(lines(view.engine.offer(id)))
        return Response(b'{"error":"no such offer"}', 404, media_type=_JSON)

    async def get_alerts(_: Request) -> Response:
        return _json(view.engine.alerts())

    return Starlette(
        routes=[
            *basics(metrics, trouble),
            Route("/alerts", get_alerts),
            Route("/offers", get_offers),
            Route("/offers/{path:path}", get_offer),
        ]
    )


def basics(metrics: CollectorRegistry, trouble: Callable[[], str | None]) -> list[Route]:
    """What every process answers: its metrics, that it lives, and whether it is ready, else why not."""

    async def get_metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics), headers={"Content-Type": content_type})

    async def get_health(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def get_ready(_: Request) -> Response:
        wrong = trouble()
        return Response(f"{wrong or 'ready'}\n", 503 if wrong else 200, media_type="text/plain")

    return [Route("/metrics", get_metrics), Route("/healthz", get_health), Route("/readyz", get_ready)]


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


def _lines(lines: Iterable[bytes]) -> Response:
    # All at once: a stream would be drawn from in another thread, while the engine moves on in this one.
    return Response(b"".join(line + b"\n" for line in lines), media_type="application/x-ndjson")
