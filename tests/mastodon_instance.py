"""An instance of Mastodon in small: timelines, notifications and streams of the documented shapes, that misbehave.

It is a replay of what the documentation of Mastodon shows, not the network: nobody federates here.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

from tests.rehearsals import URL, Rehearsal

DOMAIN = "social.example"
ME = "acme"
TOKEN = "geheim-zugang"
THUMP_S = 0.1
Json = dict[str, Any]


def now_ms() -> int:
    """Give the time."""
    return time.time_ns() // 1_000_000


def written(ms: int) -> str:
    """Write a moment as Mastodon does."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def account(acct: str, followers: int = 7) -> Json:
    """Write an account, as an instance names it."""
    name, _, host = acct.partition("@")
    at = f"https://{host or DOMAIN}/@{name}"
    return {
        "id": str(crc32(acct.encode())), "username": name, "acct": acct, "display_name": "", "locked": False,
        "bot": False, "url": at, "uri": at, "note": "", "followers_count": followers, "following_count": 3,
        "statuses_count": 9, "fields": [], "emojis": [],
    }  # fmt: skip


def status(
    number: int | str, acct: str = ME, content: str = "<p>hello</p>", at: int | None = None, **more: Any
) -> Json:
    """Write a status that nobody boosted."""
    name, _, host = acct.partition("@")
    uri = f"https://{host or DOMAIN}/users/{name}/statuses/{number}"
    return {
        "id": str(number), "created_at": written(now_ms() if at is None else at), "uri": uri, "url": uri,
        "in_reply_to_id": None, "sensitive": False, "spoiler_text": "", "visibility": "public", "language": "en",
        "content": content, "reblog": None, "quote": None, "account": account(acct), "media_attachments": [],
        "mentions": [], "tags": [], "emojis": [], "card": None, "poll": None, "reblogs_count": 0,
        "favourites_count": 0, "replies_count": 0, "quotes_count": 0,
    } | more  # fmt: skip


def offer(number: int | str, acct: str = ME, at: int | None = None, **more: Any) -> Json:
    """Write a post of the offer, its link as Mastodon lays links out."""
    text = (
        f'<p>We hire &amp; train <a href="{URL}" rel="nofollow noopener"><span class="invisible">https://</span>'
        '<span class="">jobs.example/42</span></a></p>'
    )
    return status(number, acct, text, at, **more)


def boost(number: int | str, acct: str, of: Json, at: int | None = None) -> Json:
    """Write a boost."""
    told = status(number, acct, "", at, reblog=of)
    return told | {"uri": f"{told['uri']}/activity"}


def notification(number: int, kind: str, acct: str, of: Json | None = None, at: int | None = None) -> Json:
    """Write a notification; that of a boost has the status that was boosted."""
    told = {"id": str(number), "type": kind, "created_at": written(now_ms() if at is None else at)}
    return told | {"account": account(acct)} | ({} if of is None else {"status": of})


def id_of(told: Json, domain: str = DOMAIN) -> str:
    """Give the id that a status, or a boost, has in events."""
    acct = told["account"]["acct"]
    if told.get("reblog") is None:
        return f"mastodon:{told['uri']}"
    return boost_id(acct, told["reblog"], domain)


def boost_id(acct: str, of: Json, domain: str = DOMAIN) -> str:
    """Give the id that a boost has in events."""
    return f"mastodon:{acct if '@' in acct else f'{acct}@{domain}'}/boosts/{of['uri']}"


class Instance:
    """The server. `answers` has by path what it says there, and timelines by their names; rows the newest last."""

    def __init__(self, on_call: Callable[[], None] = lambda: None, domain: str = DOMAIN) -> None:
        self.domain, self.token, self._on_call = domain, TOKEN, on_call
        self.rows: defaultdict[str, list[Json]] = defaultdict(list)
        self.answers: dict[str, Any] = {}
        """Of other paths; a callable gets the query, and may give headers too."""
        self.refuses: dict[str, int] = {}
        """By path, with what status each question is refused."""
        self.asked: list[str] = []
        self.is_mute = False
        self.ids = iter(range(1, 1_000_000))
        self._lock = threading.Lock()
        self._streams: dict[queue.Queue[bytes], tuple[str, socket.socket]] = {}
        self._refusals: list[tuple[int, dict[str, str]]] = []
        self._stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self.cut()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def number(self, at: int | None = None) -> int:
        """Give a status number that holds its moment, as Mastodon makes them."""
        return (now_ms() if at is None else at) << 16 | next(self.ids) % 65_536

    def say(self, timeline: str, event: str, told: Json, *, streamed: bool = True, kept: bool = True) -> None:
        """Tell a status or a notification: in its timeline, and on the stream of that."""
        with self._lock:
            if kept:
                self.rows["notifications" if event == "notification" else timeline].append(told)
            if streamed:
                self._put(timeline, event, json.dumps(told))

    def stream(self, timeline: str, event: str, payload: str) -> None:
        """Say something on a stream alone, as it stands."""
        with self._lock:
            self._put(timeline, event, payload)

    def streams(self) -> int:
        """Count the streams that are attached."""
        return len(self._streams)

    def refuse(self, status: int, headers: dict[str, str] | None = None, times: int = 1) -> None:
        """Refuse the next calls."""
        self._refusals += [(status, headers or {})] * times

    def cut(self) -> None:
        """Cut the streams off, in the middle of a line."""
        with self._lock:
            for _, connection in self._streams.values():
                with contextlib.suppress(OSError):
                    connection.sendall(b'2000\r\nevent: update\ndata: {"id":"1')
                    connection.shutdown(socket.SHUT_RDWR)

    def _put(self, timeline: str, event: str, payload: str) -> None:
        said = f"event: {event}\ndata: {payload}\n\n".encode()
        for waiting, (of, _) in self._streams.items():
            if of == timeline:
                waiting.put(said)

    def _handler(instance) -> type[BaseHTTPRequestHandler]:  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    self.answer()

            def answer(self) -> None:
                instance.asked.append(self.path)
                instance._on_call()
                if instance._refusals:
                    return self.reply({"error": "no"}, *instance._refusals.pop(0))
                if self.headers["Authorization"] != f"Bearer {instance.token}":
                    return self.reply({"error": "The access token is invalid"}, 401)
                url = urlsplit(self.path)
                query = {name.removesuffix("[]"): values[-1] for name, values in parse_qs(url.query).items()}
                place = url.path.removeprefix("/api/v1/")
                if place.startswith("streaming/"):
                    return self.streaming("home" if place == "streaming/user" else f"tag/{query['tag']}")
                if place.startswith("timelines/") or place == "notifications":
                    types = parse_qs(url.query).get("types[]")
                    return self.reply(instance._page(place.removeprefix("timelines/"), query, types))
                if url.path in instance.refuses:
                    return self.reply({"error": "no"}, instance.refuses[url.path])
                found = instance._fixed().get(url.path.rstrip("/"))
                body, headers = found(query) if callable(found) else (found, {})
                return self.reply(
                    body if body is not None else {"error": "Record not found"}, 404 if body is None else 200, headers
                )

            def reply(self, body: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(sent))}.items():
                    self.send_header(name, value)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            def streaming(self, timeline: str) -> None:
                self.close_connection = True
                waiting: queue.Queue[bytes] = queue.Queue()
                with instance._lock:
                    instance._streams[waiting] = timeline, self.connection
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.chunk(b":)\n")
                    while not instance._stopped:
                        try:
                            said = waiting.get(timeout=THUMP_S)
                        except queue.Empty:
                            said = b":thump\n"
                        if not instance.is_mute:
                            self.chunk(said)
                finally:
                    with instance._lock:
                        del instance._streams[waiting]

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def _page(self, timeline: str, query: dict[str, str], types: list[str] | None) -> list[Json]:
        """A page of a timeline: right after `min_id`, or the newest before `max_id`; the newest first."""
        with self._lock:
            rows = sorted(self.rows[timeline], key=lambda row: int(row["id"]))
        if types is not None:
            rows = [row for row in rows if row["type"] in types]
        limit = int(query.get("limit", 20))
        if "min_id" in query:
            return [row for row in rows if int(row["id"]) > int(query["min_id"])][:limit][::-1]
        before = int(query["max_id"]) if "max_id" in query else None
        return [row for row in rows if before is None or int(row["id"]) < before][::-1][:limit]

    def _fixed(self) -> dict[str, Any]:
        urls = {"streaming_api": self.base.replace("http", "ws")}
        return {
            "/api/v1/accounts/verify_credentials": account(ME),
            "/api/v1/instance": {"uri": self.domain, "version": "4.5.0", "urls": urls},
            "/api/v2/instance": {"domain": self.domain, "version": "4.5.0", "api_versions": {"mastodon": 7}},
        } | self.answers


class MastodonRehearsal(Rehearsal):
    """An employer's account that is notified of boosts, and follows every third of those who boost."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Instance(self.called)
        self._root: Json | None = None
        self._n = 0

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.options = {"instances": self.server.base, "token": TOKEN}
        self.secrets = [TOKEN]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def spread(self, shares: int) -> None:
        """Post once, then boost; of a boost by one whom the employer follows its home timeline tells too."""
        if self._root is None:
            self._root = offer(self.server.number())
            self.server.say("home", "update", self._root)
            self.acts.append(id_of(self._root))
        for _ in range(shares):
            self._n += 1
            acct, at = f"sharer{self._n}@else.example", now_ms()
            self.server.say("home", "notification", notification(self._n, "reblog", acct, self._root, at))
            if self._n % 3 == 0:
                self.server.say("home", "update", boost(self.server.number(at), acct, self._root, at))
            self.acts.append(boost_id(acct, self._root))
            self.names.add(f"sharer{self._n}")

    def garble(self) -> None:
        """Say a status of the wrong type, one whose fields have names for names, and half of one."""
        self.names.add("garbled")
        acct = "garbled@else.example"
        bad = json.dumps(offer(self.server.number(), acct) | {"tags": acct})
        for told in (bad, json.dumps({"id": {acct: acct}, acct: acct}), bad[:-9]):
            self.server.stream("home", "update", told)

    def cut(self) -> None:
        """Break the streams."""
        self.server.cut()

    def limit(self, seconds: int) -> None:
        """Refuse the next call with 429, and the moment when the limit is lifted, to the second."""
        self.server.refuse(
            429, {"X-RateLimit-Reset": written(now_ms() + 1_000 * seconds), "X-RateLimit-Remaining": "0"}
        )

    @property
    def stale_cursor(self) -> str:
        """Give a cursor of an instance that is not on the list any more."""
        return 'mastodon {"gone.example":{"home":["1",1700000000000]}}'
