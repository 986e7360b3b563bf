"""What Facebook and Threads have in common: the Graph API with its errors and limits, signed webhooks, tokens.

Errors are told by a code in the body, with HTTP 400 for nearly all of them. How much of a limit is used stands in
headers of every answer: near its end nothing is asked any more, since calls beyond it prolong the block.
"""

import hmac
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from connectors.api import Answer, Api, Missing, NotTaken, fault, reset_s
from connectors.clock import now_ms
from connectors.connector import (
    ConnectorError,
    Known,
    Option,
    Options,
    RateLimited,
    Refused,
    Root,
)
from connectors.pushed import Pushed, pull_options
from connectors.webhook import Delivery, Hook, Reply, signed
from spread.events import UNREADABLE

GRAPH_VERSION: Final = "v26.0"
THREADS_VERSION: Final = "v1.0"
REDELIVERED_MS: Final = 36 * 3_600_000
"""For how long Meta tries to deliver a webhook; of Threads this is assumed."""
NEARLY_SPENT: Final = 95.0
"""Percent of a limit from which on nothing more is asked."""
_REST_S: Final = 300.0
"""How long, where no header says when a limit ends."""
_LIMITS: Final = {4, 17, 32, 341, 613}
_BUSINESS_LIMITS: Final = range(80_000, 80_100)
_TOKEN: Final = {102, 190, 463, 467}
_FORBIDDEN: Final = {3, 10, *range(200, 300)}
_NO_OBJECT: Final = (100, 33)
_PERCENTS: Final = ("call_count", "total_time", "total_cputime")
_PAGES: Final = 100
"""Of one list, at most."""


class _Complaint(msgspec.Struct):
    code: int = 0
    error_subcode: int = 0


class _Error(msgspec.Struct):
    error: _Complaint


def meta_fault(status: int, headers: Mapping[str, str], body: bytes, what: str) -> ConnectorError:
    """What an error of the Graph API means. Its text is not told: it may name accounts."""
    try:
        told = msgspec.json.decode(body, type=_Error).error
    except UNREADABLE:
        return fault(status, headers, what)
    why = f"{what}: error {told.code}"
    if told.code in _LIMITS or told.code in _BUSINESS_LIMITS or status == 429:
        return RateLimited(why, regained_s(headers))
    if told.code in _TOKEN:
        return Refused(f"{why}, the token does not hold any more")
    if told.code in _FORBIDDEN:
        return Refused(f"{why}, a permission is missing")
    if (told.code, told.error_subcode) == _NO_OBJECT:
        return Missing(why)
    return fault(status, headers, why)


def regained_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until calls are taken again, by `Retry-After` or the minutes in `X-Business-Use-Case-Usage`."""
    minutes = [row.get("estimated_time_to_regain_access") for row in _usage(headers)]
    waits = [60.0 * one for one in minutes if isinstance(one, int | float) and one > 0]
    if (told := reset_s(headers, time.time())) is not None:
        waits.append(told)
    return max(waits, default=None)


def spent(headers: Mapping[str, str]) -> float:
    """How much of a limit is used, in percent: the most of all that `X-App-Usage` and the other header name."""
    percents = [row.get(name) for row in _usage(headers) for name in _PERCENTS]
    return max((float(one) for one in percents if isinstance(one, int | float)), default=0.0)


def _usage(headers: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The rows of both headers."""
    for name in ("x-app-usage", "x-business-use-case-usage"):
        try:
            told = msgspec.json.decode(headers.get(name, "{}"))
        except UNREADABLE:
            continue
        if isinstance(told, dict):
            lists = [one for one in told.values() if isinstance(one, list)]
            yield from (row for some in lists for row in some if isinstance(row, dict))
            yield told


class Graph:
    """The Graph API at `base`, with one token. Near the end of a limit it asks nothing more until that is lifted."""

    def __init__(self, base: str, version: str, token: str) -> None:
        self._api = Api(base, {"Authorization": f"Bearer {token}"}, fault=meta_fault)
        self._version = version
        self._rests_until = 0.0

    def ask(self, path: str, params: Mapping[str, Any], what: str) -> Answer:
        """One answer. `what` is asked for, in words."""
        if (left := self._rests_until - time.monotonic()) > 0:
            raise RateLimited(f"{what}: the limit of calls is nearly spent", left)
        answer = self._api.ask("GET", f"/{self._version}/{path}", params=params, what=what)
        if spent(answer.headers) >= NEARLY_SPENT:
            self._rests_until = time.monotonic() + (regained_s(answer.headers) or _REST_S)
        return answer

    def listed(self, path: str, params: Mapping[str, Any], what: str) -> Iterator[list[Any]]:
        """The pages of a list. Addresses of next pages are not followed, as they hold the token."""
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            said = self.ask(path, {**params, **after}, what).said
            yield rows(said, "data")
            paging = found(said, "paging")
            cursor = found(found(paging, "cursors"), "after")
            if found(paging, "next") is None or not isinstance(cursor, str):
                return
            after = {"after": cursor}

    def gone(self, path: str, id: str, root: Root) -> list[Any]:
        """That a post is gone, if the list of posts at `path` does not have it where it was.

        That it can't be read is not enough: the same error stands for a permission that is missing.
        """
        at_s = root.at // 1000
        window = {"fields": "id", "since": at_s - 1, "until": at_s + 2, "limit": 100}
        listed = [found(post, "id") for posts in self.listed(path, window, "posts") for post in posts]
        return [] if id in listed else [{"gone": id, "at": now_ms()}]

    def close(self) -> None:
        """Close the connections."""
        self._api.close()


def found(said: Any, name: str) -> Any:
    """A field of an answer, None where it has none."""
    return said.get(name) if isinstance(said, dict) else None


def rows(said: Any, name: str) -> list[Any]:
    """A list in an answer, empty where it has none."""
    one = found(said, name)
    return one if isinstance(one, list) else []


def meta_options(api: str) -> tuple[Option, ...]:
    """The options that both have."""
    return (
        Option("access_token", "Token, one that holds long.", secret=True, required=True),
        Option("app_id", "Id of your app, to ask how long the token holds."),
        Option("app_secret", "Secret of your app; it signs webhooks, without it none is taken.", secret=True),
        Option("verify_token", "What you gave as verify token when you registered the webhook.", secret=True),
        Option("api", "Address of the API.", api),
        *pull_options(),
    )


class Meta(Pushed):
    """What both connectors share."""

    version: ClassVar[str]
    hook_path: ClassVar[str]
    kept_ms = REDELIVERED_MS

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._secret = options.text("app_secret")
        self._token: Any = None
        """What the network says of the token."""
        if self._secret:
            self.hooks = (Hook(self.hook_path, self._take, self._inbox),)

    @abstractmethod
    def opened(self, said: Any) -> list[Any]:
        """The messages in the body of a delivery."""

    def graph(self, token: str = "") -> Graph:
        """A client with a token, the one of the options if none is given."""
        return Graph(self.options.text("api"), self.version, token or self.options.text("access_token"))

    def ends_ms(self) -> int | None:
        """Ask how long the token holds, if the app says who it is."""
        id = self.options.text("app_id")
        if not id or not self._secret:
            return None
        headers = {"Authorization": f"Bearer {id}|{self._secret}"}
        app = Api(self.options.text("api"), headers, fault=meta_fault)
        # Assumed of Threads: asked in a form, since an address with a token in it would stand in logs.
        form = {"method": "get", "input_token": self.options.text("access_token")}
        try:
            said = app.ask("POST", f"/{self.version}/debug_token", form=form, what="the token").said
        finally:
            app.close()
        self._token = found(said, "data")
        if found(self._token, "is_valid") is False:
            raise Refused("the token does not hold any more")
        ends = [found(self._token, name) for name in ("expires_at", "data_access_expires_at")]
        return min((1000 * one for one in ends if isinstance(one, int) and one > 0), default=None)

    def _take(self, delivery: Delivery) -> Reply | Sequence[Any]:
        """Answer the challenge of who knows the verify token, and take what is signed."""
        if delivery.method == "GET":
            return self._challenged(delivery.query)
        signature = delivery.headers.get("x-hub-signature-256", "")
        if not signature.startswith("sha256=") or not signed(signature[7:], delivery.body, self._secret):
            return Reply(401)
        try:
            return self.opened(msgspec.json.decode(delivery.body))
        except UNREADABLE:
            return Reply(400)

    def _challenged(self, query: Mapping[str, str]) -> Reply:
        wanted, given = self.options.text("verify_token"), query.get("hub.verify_token", "")
        if not wanted or not hmac.compare_digest(wanted.encode(), given.encode()):
            return Reply(403)
        return Reply(200, query.get("hub.challenge", "").encode())

    def lacking(self, permissions: Mapping[str, str]) -> list[str]:
        """What can't be seen for want of a permission, by what the network says of the token."""
        scopes = found(self._token, "scopes")
        if not isinstance(scopes, list):
            return []
        return [f"{what}: the token has no {name}" for name, what in permissions.items() if name not in scopes]


def looked_up(ask: Callable[[], Any]) -> Any:
    """An answer, None where there is no such thing or it may not be seen."""
    try:
        return ask()
    except (NotTaken, Refused):
        return None


def tried(ask: Callable[[], object]) -> str | None:
    """Why something can't be asked, None if it can."""
    try:
        ask()
    except ConnectorError as error:
        return str(error)
    return None
