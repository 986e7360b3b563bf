"""The receiver of webhooks: who is believed, how much is taken, and when a sender is told that all is well."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from connectors.webhook import Delivered, Delivery, Hook, Inbox, Reply, signed
from ricochet.receiver import MOST_BYTES, application
from tests.processes import until

SECRET = "geheim"


def take(delivery: Delivery) -> Reply | list[bytes]:
    """Answer a challenge, refuse a wrong signature, take the rest."""
    if delivery.method == "GET":
        return Reply(200, delivery.query["challenge"].encode())
    if not signed(delivery.headers.get("x-signature", ""), delivery.body, SECRET):
        return Reply(401)
    return [delivery.body]


def signature(body: bytes) -> dict[str, str]:
    """Sign a body."""
    return {"X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


@pytest.fixture
def inbox() -> Inbox:
    """Give the inbox of a connector."""
    return Inbox()


class Sender:
    """A network that calls a receiver."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send a request, wait for its answer."""

        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, path, **given)

        return asyncio.run(asking())

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        """Deliver a body, give the status of the answer."""
        sent = {name: value.encode() for name, value in headers.items()}
        return self.ask("POST", "/hooks/x", content=body, headers=sent).status_code


@pytest.fixture
def sender(inbox: Inbox) -> Sender:
    """Give somebody who calls a receiver with one hook, where a delivery has half a second to become safe."""
    return Sender(application([Hook("/hooks/x", take, inbox)], safe_s=0.5))


def test_a_challenge_is_answered_at_once(sender: Sender) -> None:
    """What the connector replies is the answer, and nothing reaches its inbox."""
    answer = sender.ask("GET", "/hooks/x", params={"challenge": "abc"})
    assert (answer.status_code, answer.text) == (200, "abc")


def test_a_delivery_is_answered_once_it_is_safe(sender: Sender, inbox: Inbox) -> None:
    """The sender waits until the page with its messages is acknowledged, and hears 200 then."""
    taken: list[Delivered] = []

    def connector() -> None:
        delivered = inbox.get(60)
        assert delivered is not None
        taken.append(delivered)
        delivered.ack()

    reader = threading.Thread(target=connector)
    reader.start()
    status = sender.post(b"one", signature(b"one"))
    reader.join()
    assert status == 200
    assert taken[0].messages == [b"one"]


def test_what_does_not_become_safe_is_to_come_again(sender: Sender, inbox: Inbox) -> None:
    """A delivery that is not safe in time, and one too many in the inbox, are answered 503."""
    assert sender.post(b"one", signature(b"one")) == 503
    until(lambda: inbox.put([b"more"]) is None, "a full inbox")
    assert sender.post(b"two", signature(b"two")) == 503


@pytest.mark.parametrize("headers", [{}, {"X-Signature": ""}, {"X-Signature": "é"}, signature(b"other")])
def test_a_wrong_signature_is_refused(sender: Sender, inbox: Inbox, headers: dict[str, str]) -> None:
    """Without the right signature over the very bytes nothing is taken."""
    assert sender.post(b"one", headers) == 401
    assert inbox.get(0) is None


def test_a_body_has_an_end(sender: Sender, inbox: Inbox) -> None:
    """A body over the bound is refused before it is read whole, and other paths and methods are not there."""
    body = b"x" * (MOST_BYTES + 1)
    assert sender.post(body, signature(body)) == 413
    assert inbox.get(0) is None
    assert sender.ask("POST", "/hooks/y").status_code == 404
    assert sender.ask("PUT", "/hooks/x").status_code == 405
