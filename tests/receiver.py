"""Somebody who is called: an HTTP server that keeps what is posted to it, by path."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Message = dict[str, Any]


class Receiver:
    """The server; `at` gives what came to a path, in order, and `tokens` what they showed."""

    def __init__(self) -> None:
        self._posted: defaultdict[str, list[Message]] = defaultdict(list)
        self.tokens: set[str | None] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._posted[self.path].append(json.loads(body))
                receiver.tokens.add(self.headers.get("Authorization"))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def at(self, path: str) -> list[Message]:
        """What came to a path."""
        return [*self._posted[path]]

    def of(self, path: str, alert: str, status: str, **labels: str) -> list[Message]:
        """The alerts of a name in a state that came to a path, one for each message that has it."""
        wanted = {"alertname": alert, **labels}.items()
        return [
            one
            for message in self.at(path)
            for one in message["alerts"]
            if one["status"] == status and wanted <= one["labels"].items()
        ]
