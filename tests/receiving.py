"""A network that calls the receiver: deliveries as its webhooks make them, and the status that it hears."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from connectors.connector import Connector
from ricochet.receiver import application
from tests.processes import HANG_S


class Sender:
    """Calls the receiver of a connector; a delivery has `safe_s` seconds to become safe."""

    def __init__(self, connector: Connector, safe_s: float = HANG_S) -> None:
        (self._hook,) = connector.hooks
        self._app = application(connector.hooks, safe_s)

    def ask(self, method: str, **given: Any) -> httpx.Response:
        """Send a request, wait for its answer."""

        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, self._hook.path, **given)

        return asyncio.run(asking())

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Deliver a body, give the status of the answer."""
        return self.ask("POST", content=body, headers=headers).status_code

    @contextmanager
    def posting(self, body: bytes, headers: Mapping[str, str]) -> Iterator[list[int]]:
        """Deliver a body while the block runs; the status stands in the list once it was answered."""
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(self.post(body, headers)))
        thread.start()
        try:
            yield answers
        finally:
            thread.join(HANG_S)
            assert not thread.is_alive(), "no answer"
