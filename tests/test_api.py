"""What networks answer, in the words of the contract; and libraries' threads under supervision."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connectors.api import Api, Missing, NotTaken, reset_s
from connectors.connector import ConnectorError, NotConnected, RateLimited, Refused
from connectors.pump import Pump
from tests.processes import until

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 21 Sep 2026 14:13:30 GMT"}, 10),
        ({"x-rate-limit-reset": "1790000030"}, 30),
        ({"X-RateLimit-Reset": "2026-09-21T14:14:20.000Z"}, 60),
        ({"RateLimit-Reset": "1790000005"}, 5),
        ({"Retry-After": "7", "x-rate-limit-reset": "1790000030"}, 30),
        ({"x-rate-limit-reset": "1789999000"}, 0),
    ],
)
def test_resets_are_understood(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, moments and dates, under the names that networks have for them; the latest counts, none is negative."""
    found = reset_s(headers, NOW)
    assert found is None if seconds is None else found == pytest.approx(seconds)


class _Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        status, _, name = self.path.strip("/").partition("/")
        body = {"html": b"<p>", "cut": b'{"a":1'}.get(name, b'{"a":1}')
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body) + (100 if name == "cut" else 0)))
        if name == "reset":
            self.send_header("Retry-After", "3")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    """Give a client of such a server, with a secret in its headers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Api(f"http://127.0.0.1:{server.server_port}", {"Authorization": "Bearer geheim"})
        yield made
        made.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "raised", "after_s"),
    [
        ("/429", RateLimited, None),
        ("/429/reset", RateLimited, 3),
        ("/503/reset", NotConnected, 3),
        ("/500", NotConnected, None),
        ("/400", NotTaken, None),
        ("/404", Missing, None),
        ("/401", Refused, None),
        ("/403", Refused, None),
        ("/200/html", NotConnected, None),
        ("/200/cut", NotConnected, None),
    ],
)
def test_bad_answers_are_told_in_the_words_of_the_contract(
    api: Api, path: str, raised: type[ConnectorError], after_s: float | None
) -> None:
    """Each status has its meaning, a reset is passed on, and the text holds no secret."""
    with pytest.raises(raised) as caught:
        api.get(path)
    assert getattr(caught.value, "after_s", None) == after_s
    assert "geheim" not in str(caught.value)


def test_a_network_may_have_faults_of_its_own(api: Api) -> None:
    """Where errors say more than their status, what they say is told with it; and a cut one has its status still."""
    told: list[tuple[int, bytes, str]] = []

    def fault(status: int, headers: Mapping[str, str], body: bytes, what: str) -> ConnectorError:
        told.append((status, body, what))
        return Refused("no")

    own = Api(api.base, fault=fault)
    for path in ("/400", "/400/cut"):
        with pytest.raises(Refused):
            own.ask("GET", path, what="a post")
    own.close()
    assert told == [(400, b'{"a":1}', "a post"), (400, b"", "a post")]


def test_an_answer_says_when(api: Api) -> None:
    """The moment of an answer is that of the network's clock."""
    assert abs(api.ask("GET", "/200").at / 1000 - time.time()) < 60


def test_a_client_opens_again(api: Api) -> None:
    """After a close the next question connects anew."""
    assert api.get("/200") == {"a": 1}
    api.close()
    assert api.get("/200") == {"a": 1}


def test_a_pump_tells_how_its_thread_ended() -> None:
    """What a library's thread raised comes out after its items: errors of the contract as they are, others unnamed."""

    def limited(put: Callable[[Any], None]) -> None:
        put(1)
        raise RateLimited("too many", 5)

    def broken(put: Callable[[Any], None]) -> None:
        raise ValueError("token=geheim")

    def silent(put: Callable[[Any], None]) -> None:
        return

    pump = Pump("limited", limited, lambda: None)
    assert pump.get(10) == [1]
    cases = (
        (limited, RateLimited, "too many"),
        (broken, NotConnected, "ValueError"),
        (silent, NotConnected, "ended"),
    )
    for work, raised, text in cases:
        pump = Pump("other", work, lambda: None)
        with pytest.raises(raised, match=text):
            while True:
                pump.get(10)
        pump.close()


def test_a_pump_is_bounded_and_ends() -> None:
    """A library that is faster than its reader waits, and one that never returns by itself ends when it puts again."""
    put_so_far: list[int] = []

    def endless(put: Callable[[Any], None]) -> None:
        while True:
            put(len(put_so_far))
            put_so_far.append(1)

    pump = Pump("endless", endless, lambda: None)
    until(lambda: len(put_so_far) >= 1_000, "a full pump")
    first = pump.get(10)
    assert first == [*range(len(first))]
    pump.close()
    assert len(put_so_far) <= 1_000 + len(first)
    assert not [thread for thread in threading.enumerate() if thread.name == "endless"]
