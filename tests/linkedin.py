"""LinkedIn in small: a replay of the documented shapes, which keeps posts and notifications and can misbehave."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from spread.events import DAY_MS
from tests.pulled import Pulled, PulledRehearsal
from tests.rehearsals import URL
from tests.replay import Answer

ORGANIZATION = "urn:li:organization:42"
ROOT = "urn:li:share:7000"
ACTIVITY = "urn:li:activity:7001"
SECRET = "geheim-of-the-application"


def now_ms() -> int:
    """Give the wall clock."""
    return time.time_ns() // 1_000_000


def offer_post(urn: str = ROOT, at: int = 0, **more: Any) -> dict[str, Any]:
    """Write a post as the Posts API has it: the address of the offer in the form that LinkedIn gives texts."""
    at = at or now_ms()
    return {
        "id": urn,
        "author": ORGANIZATION,
        "commentary": f"We hire \\(m/f/x\\) {{hashtag|\\#|jobs}}: {URL}",
        "visibility": "PUBLIC",
        "lifecycleState": "PUBLISHED",
        "createdAt": at,
        "publishedAt": at,
        "lastModifiedAt": at,
        "distribution": {"feedDistribution": "MAIN_FEED"},
    } | more


def notification(n: int, action: str, who: str, at: int = 0, post: str = ROOT, **more: Any) -> dict[str, Any]:
    """Write what somebody did with a post, as it is pushed and pulled."""
    kind = "share" if action.startswith("SHARE") else "comment"
    comment = f"urn:li:comment:(urn:li:activity:7001,{n})"
    entity = f"urn:li:share:{n}" if kind == "share" else comment
    return {
        "notificationId": n,
        "organizationalEntity": ORGANIZATION,
        "action": action,
        "sourcePost": ACTIVITY,
        "decoratedSourcePost": {"entity": post, "owner": ORGANIZATION, "mediaCategory": "NONE", "text": "We hire"},
        "lastModifiedAt": at or now_ms(),
        "generatedActivity": f"urn:li:activity:{n}9"
        if kind == "share"
        else comment.replace("urn:li:activity", "activity"),
        "decoratedGeneratedActivity": {kind: {"entity": entity, "owner": f"urn:li:person:{who}", "text": "Nice"}},
        "subscriber": "urn:li:person:administrator",
    } | more


def delivery(*notifications: dict[str, Any]) -> bytes:
    """Write the body of a push."""
    return json.dumps({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": notifications}).encode()


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Sign a push as LinkedIn does."""
    signed = hmac.new(secret.encode(), b"hmacsha256=" + body, hashlib.sha256).hexdigest()
    return {"X-LI-Signature": signed, "Content-Type": "application/json"}


class LinkedIn(Pulled):
    """The API."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.notifications: list[dict[str, Any]] = []
        self.statistics: dict[str, dict[str, int]] = {}
        self.subscribed = True
        self.expires_at: int | None = None
        self.refusals: dict[str, int] = {}
        """The status that questions for a resource are answered with."""

    def asked(self, resource: str) -> int:
        """Count the questions for a resource."""
        return sum(one.split()[1].split("?")[0].startswith(f"/rest/{resource}") for one in self.http.asked)

    def options(self) -> dict[str, Any]:
        """Give the options that lead a connector here."""
        return {
            "organizations": "42",
            "access_token": "a-token",
            "client_secret": SECRET,
            "api": self.http.base,
            "oauth": self.http.base,
            "pull_every_s": "0.05",
            "count_every_s": "86400",
        }

    def _respond(self, method: str, path: str, body: bytes) -> Answer:
        parts = urlsplit(path)
        if parts.path == "/oauth/v2/introspectToken":
            asked = parse_qs(body.decode())
            known = asked["client_id"] == ["an-application"] and asked["client_secret"] == [SECRET]
            return Answer({"active": True, "expires_at": self.expires_at} if known else {"active": False})
        resource, _, key = parts.path.removeprefix("/rest/").partition("/")
        if resource in self.refusals:
            return Answer({"message": "no"}, self.refusals[resource])
        if self.broken and resource == "posts":
            return self.broken.pop(0)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        answered: Answer = getattr(self, f"_{resource}")(unquote(key), query, parts.query)
        return answered

    def _page(self, elements: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        start, count = int(query["start"]), int(query["count"])
        paging = {"start": start, "count": count, "links": [], "total": len(elements)}
        return Answer({"paging": paging, "elements": elements[start : start + count], "unknown": {"field": 1}})

    def _posts(self, key: str, query: dict[str, str], raw: str) -> Answer:
        if key:
            return Answer(self.posts[key]) if key in self.posts else Answer(status=404)
        if "ids" in query:
            urns = unquote(query["ids"][5:-1]).split(",")
            errors = {urn: {"status": 404, "message": "gone"} for urn in urns if urn in self.gone}
            return Answer({"results": {urn: self.posts[urn] for urn in urns if urn in self.posts}, "errors": errors})
        assert (query["q"], query["author"], query["sortBy"]) == ("author", ORGANIZATION, "LAST_MODIFIED")
        newest_first = sorted([*self.posts.values()], key=lambda post: -post["lastModifiedAt"])
        return self._page(newest_first, query)

    def _organizationalEntityNotifications(self, key: str, query: dict[str, str], raw: str) -> Answer:
        assert "actions=List(COMMENT," in raw, "the API takes no escaped parentheses"
        assert (query["q"], query["organizationalEntity"]) == ("criteria", ORGANIZATION)
        window = re.fullmatch(r"\(start:(\d+),end:(\d+)\)", query["timeRange"])
        assert window is not None
        since = max(int(window[1]), now_ms() - 60 * DAY_MS)
        found = [one for one in self.notifications if since <= one["lastModifiedAt"] <= int(window[2]) + 60_000]
        return self._page(found, query)

    def _organizationalEntityShareStatistics(self, key: str, query: dict[str, str], raw: str) -> Answer:
        urns = [urn for name in ("shares", "ugcPosts") for urn in query.get(name, "List()")[5:-1].split(",") if urn]
        elements = [
            {
                "organizationalEntity": ORGANIZATION,
                "share" if urn.startswith("urn:li:share:") else "ugcPost": urn,
                "totalShareStatistics": self.statistics[urn] | {"engagement": 0.1},
            }
            for urn in urns
            if urn in self.statistics
        ]
        return Answer({"elements": elements})

    def _networkSizes(self, key: str, query: dict[str, str], raw: str) -> Answer:
        assert (key, query["edgeType"]) == (ORGANIZATION, "COMPANY_FOLLOWED_BY_MEMBER")
        return Answer({"firstDegreeSize": 900})

    def _eventSubscriptions(self, key: str, query: dict[str, str], raw: str) -> Answer:
        assert query["eventType"] == "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
        one = {"entity": ORGANIZATION, "webhook": "https://receiver.example/hooks/linkedin"}
        return Answer({"elements": [one] if self.subscribed else []})


class LinkedInRehearsal(PulledRehearsal):
    """LinkedIn by its pull."""

    server: LinkedIn

    def __init__(self) -> None:
        super().__init__()
        self.server = LinkedIn()
        self._n = 0

    def spread(self, shares: int) -> None:
        """Publish once, then share; the post and the newest notification may come in either order."""
        if not self.acts:
            self.server.posts[ROOT] = offer_post()
            self.acts.append(f"linkedin:{ROOT}")
        for _ in range(shares):
            self._n += 1
            self.server.notifications.append(notification(self._n, "SHARE", f"sharer{self._n}"))
            self.acts.append(f"linkedin:notification:{self._n}")
            self.names.add(f"urn:li:person:sharer{self._n}")

    def garble(self) -> None:
        """Have notifications of the wrong type, and one whose fields have names for names."""
        who = "garbled"
        self.names.add(f"urn:li:person:{who}")
        bad = notification(900_001, "SHARE", who, decoratedSourcePost=f"urn:li:person:{who}")
        named = notification(900_002, "SHARE", who) | {f"urn:li:person:{who}": 1, "generatedActivity": {who: 1}}
        self.server.notifications += [bad, named]

    def limit(self, seconds: int) -> None:
        """Answer the next question with 429."""
        self.server.http.faults.append(Answer(status=429, headers={"Retry-After": str(seconds)}))

    @property
    def stale_cursor(self) -> str:
        """Give a cursor from before all that LinkedIn keeps."""
        return f"{now_ms() - 61 * DAY_MS} {now_ms() - 61 * DAY_MS} {now_ms()}"
