"""A local server that replays answers written by hand, and misbehaves as it is told; it is no simulator."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

import msgspec


@dataclass(frozen=True)
class Answer:
    """What is sent for a question. A `body` that is no bytes goes as JSON; `cut` bytes of it are left out."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    raw: Callable[[Callable[[bytes], object]], object] | None = None
    """Sends all by itself, until the other side has had enough."""


@dataclass
class Replay:
    """The server. `answers` has by path, its query included, what is sent in turn, the last for ever."""

    host: str
    port: int
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Each question, as in `GET /jobs?page=2`."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Those of each question."""
    moments: list[float] = field(default_factory=list)
    """When each came (monotonic)."""
    respond: Callable[[str, str, bytes], Answer] | None = None
    """Answers what `answers` has nothing for, by method, path and body."""
    faults: list[Answer] = field(default_factory=list)
    """Answers that are given first, whatever is asked."""

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def says(self, path: str, *answers: Answer | Any) -> None:
        """Have it answer a path, with bodies alone or with whole answers."""
        self.answers[path] = [one if isinstance(one, Answer) else Answer(one) for one in answers]


@contextmanager
def replay(tls: SSLContext | None = None) -> Iterator[Replay]:
    """Run such a server."""
    told = Replay("127.0.0.1", 0)
    turns: defaultdict[str, int] = defaultdict(int)
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            said = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with guard:
                told.asked.append(f"{self.command} {self.path}")
                told.headers.append(dict(self.headers.items()))
                told.moments.append(time.monotonic())
                if told.faults:
                    answer = told.faults.pop(0)
                elif self.path in told.answers or told.respond is None:
                    answers = told.answers.get(self.path, [Answer(status=404)])
                    answer = answers[min(turns[self.path], len(answers) - 1)]
                else:
                    answer = told.respond(self.command, self.path, said)
                turns[self.path] += 1
            self.close_connection = True
            try:
                if answer.raw is not None:
                    answer.raw(self.wfile.write)
                else:
                    self.send(answer)
            except OSError:
                pass  # the other side has had enough

        do_GET = do_HEAD = do_POST = answer

        def send(self, answer: Answer) -> None:
            body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) - answer.cut])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer((told.host, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        told.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
