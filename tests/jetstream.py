"""A Jetstream in small: keeps lines by their moment, replays from a cursor on, and can misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from tests.rehearsals import URL, Rehearsal

_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
COMPANY = "did:plc:company"


def tid(us: int) -> str:
    """Write a moment as atproto's servers write the revisions of commits."""
    number = us << 10
    return "".join(_DIGITS[number >> 5 * place & 31] for place in range(12, -1, -1))


def commit(did: str, us: int, collection: str, record: dict[str, Any] | None, rkey: str, rev_us: int = 0) -> bytes:
    """Write a commit as a Jetstream does; without a record it is a deletion."""
    told: dict[str, Any] = {"rev": tid(rev_us or us), "operation": "delete", "collection": collection, "rkey": rkey}
    if record is not None:
        told |= {"operation": "create", "record": {"$type": collection, **record}, "cid": "bafy"}
    return json.dumps({"did": did, "time_us": us, "kind": "commit", "commit": told}, separators=(",", ":")).encode()


def account(did: str, us: int, status: str | None) -> bytes:
    """Write what happened to an account."""
    told = {"active": status is None, "did": did, "seq": 1} | ({} if status is None else {"status": status})
    return json.dumps({"did": did, "time_us": us, "kind": "account", "account": told}).encode()


def uri(did: str, collection: str, rkey: str) -> str:
    """Name a record."""
    return f"at://{did}/{collection}/{rkey}"


def ref(uri: str) -> dict[str, str]:
    """Point at a record."""
    return {"uri": uri, "cid": "bafy"}


POST, REPOST, FOLLOW = "app.bsky.feed.post", "app.bsky.feed.repost", "app.bsky.graph.follow"


def offer_post(us: int, did: str = COMPANY, rkey: str = "job") -> bytes:
    """Write a post of the offer."""
    facet = {"features": [{"$type": "app.bsky.richtext.facet#link", "uri": URL}], "index": {}}
    return commit(did, us, POST, {"text": "We hire", "facets": [facet], "createdAt": "2026-01-01T00:00:00Z"}, rkey)


class Jetstream:
    """The server. `keeps_us` is its look-back: an older cursor is clamped without a word."""

    def __init__(self, keeps_us: int = 36 * 3_600_000_000, on_call: Callable[[], None] = lambda: None) -> None:
        self.keeps_us, self._on_call = keeps_us, on_call
        self.requests: list[str] = []
        self._lines: list[tuple[int, bytes]] = []
        self._changed = threading.Condition()
        self._refusals: list[tuple[int, dict[str, str]]] = []
        self._open: set[ServerConnection] = set()
        self._server: Server | None = None
        self._stopped = False

    def __enter__(self) -> Self:
        self._server = serve(self._attend, "127.0.0.1", 0, process_request=self._admit, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        self.cut()

    @property
    def host(self) -> str:
        """Give the address without a scheme."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.socket.getsockname()[1]}"

    @property
    def url(self) -> str:
        """Give the address."""
        return f"ws://{self.host}/subscribe"

    def say(self, *lines: bytes) -> None:
        """Add lines; their moments only grow."""
        with self._changed:
            self._lines += [
                (json.loads(line)["time_us"] if line.startswith(b"{") else self.last(), line) for line in lines
            ]
            self._changed.notify_all()

    def last(self) -> int:
        """Give the moment of the last line."""
        return self._lines[-1][0] if self._lines else 0

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        """Refuse the next connection."""
        self._refusals.append((status, headers or {}))

    def cut(self) -> None:
        """Cut the connections that there are, in the middle of a message."""
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.socket.sendall(b'\x81\x7e\x03\xe8{"did":"did:plc:cut')  # 19 of 1,000 bytes
                one.socket.shutdown(socket.SHUT_RDWR)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request.path)
        self._on_call()
        if not self._refusals:
            return None
        status, headers = self._refusals.pop(0)
        refusal = connection.respond(HTTPStatus(status), "no\n")
        for name, value in headers.items():
            refusal.headers[name] = value
        return refusal

    def _attend(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        asked = parse_qs(urlsplit(connection.request.path).query).get("cursor")
        now = time.time_ns() // 1000
        since = max(int(asked[0]), now - self.keeps_us) if asked else None
        with self._changed:
            at = len(self._lines) if since is None else sum(moment < since for moment, _ in self._lines)
        self._open.add(connection)
        try:
            while not self._stopped:
                with self._changed:
                    while at == len(self._lines) and not self._stopped:
                        self._changed.wait(0.2)
                        if connection.close_code is not None:
                            return
                    lines, at = self._lines[at:], len(self._lines)
                for _, line in lines:
                    connection.send(line, text=True)
        except (ConnectionClosed, OSError):
            return
        finally:
            self._open.discard(connection)


class JetstreamRehearsal(Rehearsal):
    """Bluesky through a Jetstream."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Jetstream(on_call=self.called)
        self._n = 0

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.options = {"jetstream": self.server.url}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def spread(self, shares: int) -> None:
        """Post once, then repost; every other repost names the one before as the one it came through."""
        root = uri(COMPANY, POST, "job")
        now = time.time_ns() // 1000
        lines = []
        if not self.acts:
            lines.append(offer_post(now))
            self.acts.append(f"bluesky:{root}")
        for _ in range(shares):
            self._n += 1
            did, rkey = f"did:plc:sharer{self._n}", f"r{self._n}"
            record: dict[str, Any] = {"subject": ref(root), "createdAt": "2026-01-01T00:00:00Z"}
            if self._n % 2 == 0:
                record["via"] = ref(uri(f"did:plc:sharer{self._n - 1}", REPOST, f"r{self._n - 1}"))
            lines.append(commit(did, now + self._n, REPOST, record, rkey))
            self.acts.append(f"bluesky:{uri(did, REPOST, rkey)}")
            self.names.add(did)
        self.server.say(*lines)

    def garble(self) -> None:
        """Say a record of the wrong type, one whose fields have names for names, and half of a line."""
        did, now = "did:plc:garbled", time.time_ns() // 1000
        self.names.add(did)
        bad = commit(did, now, POST, {"text": [did]}, did)
        named = json.dumps({"did": 7, "time_us": now, did: did}).encode()
        self.server.say(bad, named, bad[:-9].replace(b"{", b"[", 1))

    def cut(self) -> None:
        """Break the connection."""
        self.server.cut()

    def limit(self, seconds: int) -> None:
        """Refuse the next connection with 429."""
        self.server.refuse(429, {"Retry-After": str(seconds)})

    @property
    def stale_cursor(self) -> str:
        """Give a moment that is further back than a Jetstream keeps."""
        return f"jetstream {self.server.host} {time.time_ns() // 1000 - 40 * 3_600_000_000}"
