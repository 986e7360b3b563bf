"""X in small: rules, the filtered stream, look-ups and searches, as its documentation shows them, and misbehaving."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.rehearsals import URL, Rehearsal

Post = dict[str, Any]

_EPOCH_MS = 1_288_834_974_657
COMPANY = "55500000000000001"
FIRST_SHARER = 55_500_000_000_000_100
PROBLEMS = "https://api.x.com/2/problems"
STREAM = "GET /2/tweets/search/stream "
RULES = "GET /2/tweets/search/stream/rules "
"""Calls, as `refuse` names them: to their end."""


def now_ms() -> int:
    """Read the clock."""
    return time.time_ns() // 1_000_000


def post(id: str, author: str, text: str = "", url: str | None = None, **refers: str) -> Post:
    """Write a post, in the old names. `refers` are `retweeted`, `quoted` and `replied_to`."""
    at = datetime.fromtimestamp(((int(id) >> 22) + _EPOCH_MS) // 1000, UTC)
    made: Post = {
        "id": id,
        "author_id": author,
        "text": text,
        "created_at": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "conversation_id": id,
        "edit_history_tweet_ids": [id],
        "public_metrics": {"retweet_count": 0, "reply_count": 0, "like_count": 0, "quote_count": 0},
    }
    if url is not None:
        made["entities"] = {"urls": [{"url": "https://t.co/abc", "expanded_url": url}]}
    if refers:
        made["referenced_tweets"] = [{"type": type, "id": of} for type, of in refers.items()]
    return made


def in_new_names(message: dict[str, Any]) -> dict[str, Any]:
    """Give a message as X writes it by now."""
    names = {
        "referenced_tweets": "referenced_posts",
        "edit_history_tweet_ids": "edit_history_post_ids",
        "retweet_count": "repost_count",
        "note_tweet": "note_post",
        "tweets": "posts",
    }

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(name, name): renamed(inner) for name, inner in value.items()}
        return [renamed(one) for one in value] if isinstance(value, list) else value

    told: dict[str, Any] = renamed(message)
    return told


class XNetwork:
    """The server. `silent` keeps back keep-alives; what is said `late` is published, and not streamed."""

    def __init__(self, on_call: Callable[[], None] = lambda: None) -> None:
        self._on_call = on_call
        self.posts: dict[str, Post] = {}
        self.followers: dict[str, int] = {}
        self.lists: dict[str, list[str]] = {}
        """By path, whom a list names."""
        self.hidden: dict[str, str] = {}
        """Posts that may not be shown, and the problem that X has with each."""
        self.rules: dict[str, tuple[str, str]] = {}
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.page_rows = 100
        self.alive_s = 0.2
        self._lines: list[bytes] = []
        self._changed = threading.Condition()
        self._refusals: list[tuple[str, int, dict[str, str], bytes]] = []
        self._open: dict[socket.socket, None] = {}
        self._last_ms = self._number = 0
        self._stopped = False

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"of": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Give the address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def streams(self) -> int:
        """Count the streams that are open."""
        return len(self._open)

    def id(self, at_ms: int | None = None) -> str:
        """Give an id that nobody has, of a moment."""
        self._number += 1
        return str((at_ms or now_ms()) - _EPOCH_MS << 22 | self._number & 0x3FFFFF)

    def publish(self, *posts: Post, followers: int = 10, stream: bool = True) -> None:
        """Publish posts, and stream those that match a rule."""
        for one in posts:
            self.posts[one["id"]] = one
            self.followers.setdefault(one["author_id"], followers)
            for reference in one.get("referenced_tweets", ()):
                if (original := self.posts.get(reference["id"])) is not None and reference["type"] != "replied_to":
                    kind = "retweet_count" if reference["type"] == "retweeted" else "quote_count"
                    original["public_metrics"][kind] += 1
        if stream:
            lines = [json.dumps(message).encode() for one in posts if (message := self.message(one)) is not None]
            self.say(*lines)

    def message(self, one: Post) -> dict[str, Any] | None:
        """Give the line of a post, with the rules that it matches; None where none does."""
        matching = [{"id": id, "tag": tag} for id, (value, tag) in self.rules.items() if matches(one, value)]
        return {"data": one, **self.includes([one]), "matching_rules": matching} if matching else None

    def includes(self, posts: Iterable[Post]) -> dict[str, Any]:
        """Give what is shown beside posts."""
        beside = {
            reference["id"]: self.posts[reference["id"]]
            for one in posts
            for reference in one.get("referenced_tweets", ())
            if reference["id"] in self.posts
        }
        authors = {one["author_id"] for one in [*posts, *beside.values()]}
        users = [{"id": id, "public_metrics": {"followers_count": self.followers[id]}} for id in sorted(authors)]
        return {"includes": {"users": users, "tweets": [*beside.values()]}}

    def say(self, *lines: bytes) -> None:
        """Stream lines."""
        with self._changed:
            self._lines += lines
            self._changed.notify_all()

    def refuse(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", path: str = "/") -> None:
        """Refuse the next call whose path has this in it."""
        self._refusals.append((path, status, headers or {}, body))

    def cut(self) -> None:
        """Cut the streams that there are, in the middle of a line."""
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.sendall(b'400\r\n{"data":{"id":"1')
                one.shutdown(socket.SHUT_RDWR)

    def end(self, line: bytes) -> None:
        """Say something without a line's end, and end the streams in good order."""
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.sendall(_chunk(line) + b"0\r\n\r\n")
                one.shutdown(socket.SHUT_WR)

    def refusal(self, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """Give the refusal that is due for a call."""
        due = next((one for one in self._refusals if one[0] in path), None)
        if due is None:
            return None
        self._refusals.remove(due)
        return due[1:]

    def attend(self, connection: socket.socket) -> None:
        """Stream to one connection what is said from now on."""
        with self._changed:
            at = len(self._lines)
            self._open[connection] = None
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n")
        try:
            while not self._stopped and connection in self._open:
                with self._changed:
                    if at == len(self._lines):
                        self._changed.wait(self.alive_s)
                    lines, at = self._lines[at:], len(self._lines)
                connection.sendall(b"".join(_chunk(line + b"\r\n") for line in lines or [b""]))
        except OSError:
            return
        finally:
            self._open.pop(connection, None)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any] | None:
        """Answer one call; None where there is no such thing."""
        if path == "/2/tweets/search/stream/rules":
            return self._change_rules(json.loads(body)) if method == "POST" else self._told_rules()
        if path == "/2/tweets/search/recent":
            since = datetime.fromisoformat(query["start_time"]).timestamp() * 1000
            found = [
                one
                for one in self.posts.values()
                if (int(one["id"]) >> 22) + _EPOCH_MS >= since
                and not _refers(one, "retweeted")
                and matches(one, query["query"].removesuffix(" -is:retweet")[1:-1])
            ]
            return self._paged(found, query.get("next_token"))
        if path == "/2/tweets":
            return self._looked_up(query["ids"].split(","), query.get("tweet.fields", ""))
        if (of := re.fullmatch(r"/2/tweets/(\d+)/(retweets|quote_tweets|retweeted_by)", path)) is not None:
            kind = "quoted" if of[2] == "quote_tweets" else "retweeted"
            found = [one for one in self.posts.values() if _refers(one, kind) == of[1]]
            if of[2] == "retweeted_by":
                return self._page([{"id": one["author_id"]} for one in found], query.get("pagination_token"))
            return self._paged(found, query.get("pagination_token"))
        if path in self.lists:
            return self._page([{"id": id} for id in self.lists[path]], query.get("pagination_token"))
        if path.startswith("/2/users/"):
            return {"errors": [{"type": f"{PROBLEMS}/not-authorized-for-resource", "resource_type": "user"}]}
        return None

    def _paged(self, found: list[Post], token: str | None) -> dict[str, Any]:
        newest = sorted(found, key=lambda one: int(one["id"]), reverse=True)
        page = self._page(newest, token)
        return page | self.includes(page.get("data", []))

    def _page(self, rows: list[Any], token: str | None) -> dict[str, Any]:
        at = int(token or 0)
        some = rows[at : at + self.page_rows]
        meta: dict[str, Any] = {"result_count": len(some)}
        if at + self.page_rows < len(rows):
            meta["next_token"] = str(at + self.page_rows)
        return ({"data": some} if some else {}) | {"meta": meta}

    def _looked_up(self, ids: list[str], fields: str) -> dict[str, Any]:
        found, errors = [], []
        for id in ids:
            if id in self.hidden:
                kind = self.hidden[id]
            elif id in self.posts:
                one = self.posts[id]
                found.append({name: one[name] for name in one if name != "withheld" or name in fields})
                continue
            else:
                kind = "resource-not-found"
            errors.append(
                {
                    "type": f"{PROBLEMS}/{kind}",
                    "resource_type": "tweet",
                    "resource_id": id,
                    "parameter": "ids",
                    "value": id,
                }
            )
        return ({"data": found} if found else {}) | ({"errors": errors} if errors else {})

    def _told_rules(self) -> dict[str, Any]:
        rows = [{"id": id, "value": value, "tag": tag} for id, (value, tag) in self.rules.items()]
        return ({"data": rows} if rows else {}) | {"meta": {"result_count": len(rows)}}

    def _change_rules(self, change: dict[str, Any]) -> dict[str, Any]:
        for id in change.get("delete", {}).get("ids", ()):
            self.rules.pop(id, None)
        errors, data = [], []
        for rule in change.get("add", ()):
            there = {value: id for id, (value, _) in self.rules.items()}
            if rule["value"] in there:
                problem = {"title": "DuplicateRule", "type": f"{PROBLEMS}/duplicate-rules"}
                errors.append({"value": rule["value"], "id": there[rule["value"]], **problem})
                continue
            id = self.id()
            self.rules[id] = (rule["value"], rule.get("tag", ""))
            data.append({"id": id, **rule})
        return {"data": data, "meta": {"summary": {}}} | ({"errors": errors} if errors else {})

    def called(self) -> None:
        """Note a call."""
        self._on_call()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: XNetwork

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _answer(self, body: bytes) -> None:
        network, url = self.of, urlsplit(self.path)
        network.called()
        network.asked.append(f"{self.command} {self.path}")
        network.tokens.add(self.headers["Authorization"])
        if (refusal := network.refusal(f"{self.command} {url.path} ")) is not None:
            self._send(*refusal)
        elif url.path == "/2/tweets/search/stream":
            self.close_connection = True
            network.attend(self.connection)
        else:
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            told = network.answer(self.command, url.path, query, body)
            self._send(404 if told is None else 200, {}, json.dumps(told or {}).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def matches(one: Post, value: str) -> bool:
    """Tell whether a post matches a rule: as far as the rules go that are used here."""
    return any(_matches(one, term) for term in value.split(" OR "))


def _matches(one: Post, term: str) -> bool:
    name, _, wanted = term.partition(":")
    wanted = wanted.strip('"')
    links = [url["expanded_url"] for url in one.get("entities", {}).get("urls", ())]
    links += [f"https://x.com/i/status/{quoted}"] if (quoted := _refers(one, "quoted")) else []
    found: dict[str, bool] = {
        "url": any(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", link) is not None for link in links),
        "retweets_of_tweet_id": _refers(one, "retweeted") == wanted,
        "conversation_id": one["conversation_id"] == wanted and one["id"] != wanted,
    }
    return found.get(name, False)


def _refers(one: Post, type: str) -> str | None:
    return next((of["id"] for of in one.get("referenced_tweets", ()) if of["type"] == type), None)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class XRehearsal(Rehearsal):
    """X."""

    def __init__(self) -> None:
        super().__init__()
        self.server = XNetwork(self.called)
        self._n = 0
        self._root = ""

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.options = {"api": self.server.url, "contract": "a test", "bearer_token": "geheim"}
        self.secrets = ["geheim"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def spread(self, shares: int) -> None:
        """Post once, then retweet."""
        posts = []
        if not self.acts:
            self._root = self.server.id()
            posts.append(post(self._root, COMPANY, "We hire", URL))
        for _ in range(shares):
            self._n += 1
            author = str(FIRST_SHARER + self._n)
            posts.append(post(self.server.id(), author, "RT We hire", URL, retweeted=self._root))
            self.names.add(author)
        self.acts += [f"x:{one['id']}" for one in posts]
        self.names |= {one["id"] for one in posts}
        self.server.publish(*posts)

    def garble(self) -> None:
        """Say a post of the wrong type, one whose fields have names for names, and half of a line."""
        author = "55500000000009999"
        self.names.add(author)
        bad = json.dumps({"data": post(self.server.id(), author, author) | {"created_at": author}}).encode()
        self.server.say(bad, json.dumps({"errors": author, author: author}).encode(), bad[:-9])

    def cut(self) -> None:
        """Break the stream."""
        self.server.cut()

    def limit(self, seconds: int) -> None:
        """Refuse the next call with 429, and a moment."""
        self.server.refuse(429, {"x-rate-limit-reset": str(int(time.time()) + seconds + 1)})

    @property
    def stale_cursor(self) -> str:
        """Give a moment that is further back than X searches."""
        return f"x {now_ms() - 8 * 86_400_000} 0 -"
