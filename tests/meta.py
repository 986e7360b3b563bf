"""Facebook and Threads in small: a replay of the documented shapes, which keeps posts and can misbehave."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from connectors.meta import GRAPH_VERSION, THREADS_VERSION
from tests.pulled import Pulled, PulledRehearsal
from tests.rehearsals import URL
from tests.replay import Answer

PAGE = "1000"
ROOT = f"{PAGE}_1"
COMPANY = "acme"
SECRET = "geheim-of-the-app"
VERIFY = "geheim-to-verify"
TOKENS = ("a-token", "a-page-token")


def date(at: float) -> str:
    """Write a moment as Meta does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def error(code: int, subcode: int = 0, status: int = 400, headers: dict[str, str] | None = None) -> Answer:
    """Write an error."""
    told = {"message": "no, acme", "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "x"}
    return Answer({"error": told}, status, headers or {})


def usage(**business: int) -> dict[str, str]:
    """Write how much of the limits is used."""
    row = {"type": "pages", "call_count": 1, "total_cputime": 1, "total_time": 1, "estimated_time_to_regain_access": 0}
    app = {"call_count": 28, "total_time": 25, "total_cputime": 25}
    return {"X-App-Usage": json.dumps(app), "X-Business-Use-Case-Usage": json.dumps({PAGE: [row | business]})}


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Sign a delivery as Meta does."""
    return {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def change(item: str, verb: str, who: str | None, n: int, **more: Any) -> dict[str, Any]:
    """Write what happened on the Page: a comment on its post, or a post."""
    named = (
        {"comment_id": f"1_{n}", "post_id": ROOT, "parent_id": ROOT}
        if item == "comment"
        else {"post_id": f"{PAGE}_{n}"}
    )
    value = {"item": item, "verb": verb, "created_time": int(time.time()), "message": "Nice", **named}
    return value | ({} if who is None else {"from": {"id": who, "name": "Ann"}}) | more


def page_delivery(*changes: dict[str, Any], page: str = PAGE) -> bytes:
    """Write a delivery for a Page."""
    told = [{"field": "feed", "value": value} for value in changes]
    return json.dumps({"object": "page", "entry": [{"id": page, "time": int(time.time()), "changes": told}]}).encode()


def media(id: str, username: str = COMPANY, text: str = "Nice", at: float = 0, **more: Any) -> dict[str, Any]:
    """Write a media object of Threads."""
    return {
        "id": id,
        "username": username,
        "text": text,
        "timestamp": date(at or time.time()),
        "media_type": "TEXT_POST",
        "permalink": f"https://www.threads.net/@{username}/post/{id}",
    } | more


def reply(id: str, username: str, **more: Any) -> dict[str, Any]:
    """Write a reply to the post of the offer."""
    return media(id, username, replied_to={"id": "1"}, root_post={"id": "1", "username": COMPANY}, **more)


def threads_delivery(field: str, value: dict[str, Any]) -> bytes:
    """Write a delivery of Threads."""
    told = {"value": value, "field": field}
    return json.dumps({"app_id": "1", "topic": "moderate", "target_id": "9", "time": 1, "values": told}).encode()


class Graph(Pulled):
    """What both APIs have in common."""

    version: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.posts: dict[str, dict[str, Any]] = {}
        self.edges: dict[str, list[dict[str, Any]]] = {}
        """Lists below an object, by path."""
        self.faults: dict[str, Answer] = {}
        """What questions for an object or a list are answered with, by path."""
        self.headers: dict[str, str] = {}
        self.token: dict[str, Any] = {"is_valid": True, "expires_at": 0, "scopes": []}

    def options(self) -> dict[str, Any]:
        """Give the options that lead a connector here."""
        return {
            "access_token": "a-token",
            "app_secret": SECRET,
            "verify_token": VERIFY,
            "api": self.http.base,
            "pull_every_s": "0.05",
            "count_every_s": "86400",
        }

    def asked(self, path: str) -> int:
        """Count the questions for an object or a list."""
        return sum(urlsplit(one.split()[1]).path == f"/{self.version}/{path}" for one in self.http.asked)

    def _respond(self, method: str, path: str, body: bytes) -> Answer:
        parts = urlsplit(path)
        version, _, asked = parts.path.lstrip("/").partition("/")
        assert version == self.version
        assert "token" not in parts.query.replace("fields=id%2Caccess_token", ""), "no address holds a token"
        authorised = self.http.headers[-1]["Authorization"].removeprefix("Bearer ")
        if asked == "debug_token":
            form = parse_qs(body.decode())
            assert (method, form["method"], authorised) == ("POST", ["get"], f"an-app|{SECRET}")
            assert form["input_token"] == ["a-token"]
            return Answer({"data": self.token})
        if authorised not in TOKENS:
            return error(190, status=401)
        if asked in self.faults:
            return self.faults[asked]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        object, _, edge = asked.partition("/")
        if self.broken and edge in ("posts", "threads"):
            return self.broken.pop(0)
        answer = self._edge(object, edge, query) if edge else self._object(object, query)
        return Answer(answer.body, answer.status, {**answer.headers, **self.headers})

    def _page(self, found: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        """Answer with a page of a list; the next one's address holds the token, as Meta's do."""
        at, limit = int(query.get("after", 0)), int(query["limit"])
        paging: dict[str, Any] = {"cursors": {"before": str(at), "after": str(at + limit)}}
        if at + limit < len(found):
            paging["next"] = f"{self.http.base}/{self.version}/x?access_token=a-token&after={at + limit}"
        return Answer({"data": found[at : at + limit], "paging": paging, "unknown": [1]})

    def _listed(self, moment: str, query: dict[str, str]) -> Answer:
        """Answer with posts of a window, the newest first; `moment` is where theirs stands."""
        since, until = (date(int(query[name])) if name in query else "" for name in ("since", "until"))
        found = [post for post in [*self.posts.values()] if since <= post[moment] <= (until or "9")]
        return self._page(sorted(found, key=lambda post: str(post[moment]), reverse=True), query)

    @abstractmethod
    def publish(self, id: str) -> None:
        """Have the company publish the offer."""

    @abstractmethod
    def _object(self, id: str, query: dict[str, str]) -> Answer:
        """Answer a question for an object."""

    @abstractmethod
    def _edge(self, id: str, edge: str, query: dict[str, str]) -> Answer:
        """Answer a question for a list."""


class Facebook(Graph):
    """The Graph API, with a Page."""

    version = GRAPH_VERSION

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, dict[str, Any]] = {}
        self.counted: list[str] = []
        """The posts whose totals were asked for."""
        self.limited_at = 0
        """The question for totals, counted from 1, that is one too many."""
        self.subscribed = True

    def options(self) -> dict[str, Any]:
        """Give the options that lead a connector here."""
        return super().options() | {"pages": PAGE}

    def publish(self, id: str = ROOT, at: float = 0, **more: Any) -> None:
        """Have the Page publish the offer."""
        post = {
            "id": id,
            "created_time": date(at or time.time()),
            "from": {"id": PAGE, "name": "Acme"},
            "message": "We hire",
        }
        self.posts[id] = post | {"attachments": {"data": [{"unshimmed_url": URL}]}} | more

    def _object(self, id: str, query: dict[str, str]) -> Answer:
        if id == PAGE:
            return Answer({"id": PAGE, "access_token": "a-page-token", "followers_count": 900})
        if id not in self.posts:
            return error(100, 33)
        if "shares" not in query["fields"]:
            return Answer(self.posts[id])
        self.counted.append(id)
        if len(self.counted) == self.limited_at:
            return error(4)
        return Answer({"id": id, **self.totals.get(id, {})})

    def _edge(self, id: str, edge: str, query: dict[str, str]) -> Answer:
        if edge == "subscribed_apps":
            return Answer({"data": [{"id": "1", "subscribed_fields": ["feed"]}] if self.subscribed else []})
        if edge != "posts":
            return self._page(self.edges.get(f"{id}/{edge}", []), query)
        return self._listed("created_time", query)


class Threads(Graph):
    """The Threads API, with an account."""

    version = THREADS_VERSION

    def __init__(self) -> None:
        super().__init__()
        self.insights: dict[str, dict[str, int]] = {}

    def publish(self, id: str = "1") -> None:
        """Have the account publish the offer."""
        self.posts[id] = media(id, text="We hire", link_attachment_url=URL)

    def _object(self, id: str, query: dict[str, str]) -> Answer:
        if id == "me":
            return Answer({"id": "9", "username": COMPANY})
        return Answer(self.posts[id]) if id in self.posts else error(100, 33)

    def _edge(self, id: str, edge: str, query: dict[str, str]) -> Answer:
        if edge == "threads_insights":
            return Answer({"data": [{"name": "followers_count", "total_value": {"value": 900}}]})
        if edge == "insights":
            if id not in self.posts:
                return error(100, 33)
            told = [{"name": name, "values": [{"value": n}]} for name, n in self.insights.get(id, {}).items()]
            return Answer({"data": told})
        if edge != "threads":
            return self._page(self.edges.get(f"{id}/{edge}", []), query)
        return self._listed("timestamp", query)


class GraphRehearsal(PulledRehearsal):
    """A network of Meta by its pull. Neither tells who shared, so each share is another post of the offer's company."""

    server: Graph
    network: ClassVar[str]

    @abstractmethod
    def id(self, n: int) -> str:
        """Name a post."""

    def spread(self, shares: int) -> None:
        """Publish once, and again for each share."""
        for _ in range(shares + (not self.acts)):
            id = self.id(len(self.acts) + 1)
            self.server.publish(id)
            self.acts.append(f"{self.network}:{id}")
            self.names.add(id)

    def garble(self) -> None:
        """Publish a post of the wrong type, and one whose fields have names for names."""
        self.names.add("garbled")
        for n, wrong in enumerate(("message", "text", "from", "username", "attachments", "link_attachment_url")):
            id = self.id(90_000 + n)
            self.server.publish(id)
            self.server.posts[id] |= {wrong: {"garbled": "garbled"}, "garbled": 1}

    def limit(self, seconds: int) -> None:
        """Answer the next question as Meta does when too many came."""
        self.server.http.faults.append(error(32, headers={"Retry-After": str(seconds)}))

    @property
    def stale_cursor(self) -> str:
        """Give a cursor from before Meta gave up to deliver."""
        now = time.time_ns() // 1_000_000
        return f"{now - 40 * 3_600_000} {now - 40 * 3_600_000} {now}"


class FacebookRehearsal(GraphRehearsal):
    """Facebook."""

    network = "facebook"

    def __init__(self) -> None:
        super().__init__()
        self.server = Facebook()

    def id(self, n: int) -> str:
        """Name a post of the Page."""
        return f"{PAGE}_7{n:05}"


class ThreadsRehearsal(GraphRehearsal):
    """Threads."""

    network = "threads"

    def __init__(self) -> None:
        super().__init__()
        self.server = Threads()

    def id(self, n: int) -> str:
        """Name a post of the account."""
        return f"1799{n:05}"
