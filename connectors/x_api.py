"""Asking X, through tweepy: its addresses led where the options say, its faults in the words of the contract.

tweepy has X's host built in, waits in its own way where X says "too many", and logs the headers of each call, with the
token in them. So `request`, through which all its calls go, is this module's: it asks once, waits for nothing and logs
nothing. All that is assumed of X's API, but for the rules' grammar, stands here.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import tweepy

from connectors import api
from connectors.connector import ConnectorError, NotConnected, Refused
from connectors.x_rules import Present, Rule
from spread.events import UNREADABLE

FIELDS: Final = {
    "expansions": ["author_id", "referenced_tweets.id", "referenced_tweets.id.author_id"],
    "tweet_fields": [
        *("author_id", "conversation_id", "created_at", "edit_history_tweet_ids", "entities", "note_tweet"),
        *("public_metrics", "referenced_tweets"),
    ],
    "user_fields": ["public_metrics"],
}
"""What is asked for with posts. In the old names throughout: X passes over a name that it does not know."""

AT_ONCE: Final = 100
"""Posts, accounts or rules in one call."""
SEARCHED_MS: Final = 7 * 86_400_000
"""How far back X searches."""
_TIMEOUT_S: Final = 30.0
_UNPAID_S: Final = 900.0
"""When to look again whether there are credits."""
_UNPAID: Final = ("/problems/credits-depleted", "/problems/usage-capped")
_TOO_MANY_RULES: Final = "/problems/rule-cap"


class Unpaid(NotConnected):
    """X takes no call for want of credits, or over a cap on their use."""


class Forbidden(Refused):
    """These credentials may not ask this, though they may ask other things."""


class Unfit(NotConnected):
    """X does not take what was asked: it is malformed, or there is no such thing."""


class TooManyRules(Unfit):
    """X takes no more rules."""


class _Problem(msgspec.Struct):
    type: str = ""


_problem: Final = msgspec.json.Decoder(_Problem).decode


def fault(status: int, headers: Mapping[str, str], body: bytes, what: str) -> ConnectorError:
    """What an answer that is no success means."""
    try:
        kind = _problem(body).type
    except UNREADABLE:
        kind = ""
    if status == 402 or kind.endswith(_UNPAID):
        return Unpaid(f"{what}: X takes no calls, its credits have run out (HTTP {status})", _UNPAID_S)
    if kind.endswith(_TOO_MANY_RULES):
        return TooManyRules(f"{what}: X takes no more rules")
    if status == 403:
        return Forbidden(f"{what}: HTTP 403, these credentials may not")
    if status in (400, 404, 410, 422):
        return Unfit(f"{what}: HTTP {status}")
    return api.fault(status, headers, what)


class Calls(tweepy.client.BaseClient):  # type: ignore[misc]  # tweepy has no types
    """How tweepy's clients make their calls here, to the API at `base`."""

    base: str

    def request(self, method: str, route: str, params: Any = None, json: Any = None, user_auth: bool = False) -> Any:
        """Ask once. Raises what the contract of a connector names."""
        what = named(route)
        headers = {"Authorization": f"Bearer {self.bearer_token}", "User-Agent": self.user_agent}
        try:
            answer = self.session.request(
                method, self.base + route, params=params, json=json, headers=headers, timeout=_TIMEOUT_S,
                allow_redirects=False,
            )  # fmt: skip
        except OSError as error:  # requests' own errors are some of these
            raise NotConnected(f"{what}: {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise fault(answer.status_code, answer.headers, answer.content, what)
        return answer


def named(route: str) -> str:
    """A route as it may be told: without the ids in it."""
    return re.sub(r"/\d{2,}", "/…", route)


class _Client(Calls, tweepy.Client):  # type: ignore[misc]  # as above
    """Questions."""


class _Rules(Calls, tweepy.StreamingClient):  # type: ignore[misc]  # as above
    """The rules of the stream."""


class XApi:
    """X's API at `base`, asked in the name of an app."""

    def __init__(self, base: str, token: str) -> None:
        self._client = _Client(token, return_type=dict)
        self._rules = _Rules(token, return_type=dict)
        self._client.base = self._rules.base = base.rstrip("/")

    def close(self) -> None:
        """Close the connections. A question opens them again."""
        self._client.session.close()
        self._rules.session.close()

    def search(self, query: str, since_ms: int, page: str | None) -> dict[str, Any]:
        """Posts of the last days that match a query, the newest first, a hundred a page."""
        since = datetime.fromtimestamp(since_ms / 1000, UTC)
        return self._ask(
            self._client.search_recent_tweets, query, start_time=since, max_results=AT_ONCE, next_token=page, **FIELDS
        )

    def retweets(self, post: str, page: str | None) -> dict[str, Any]:
        """Retweets of a post, each with its moment, the newest first. tweepy does not have this one."""
        names = ("expansions", "max_results", "pagination_token", "tweet.fields", "user.fields")
        params = FIELDS | {"max_results": AT_ONCE, "pagination_token": page}
        return self._ask(
            self._client._make_request,
            "GET",
            f"/2/tweets/{post}/retweets",
            params=params,
            endpoint_parameters=names,
        )

    def quotes(self, post: str, page: str | None) -> dict[str, Any]:
        """Quotes of a post, the newest first."""
        return self._ask(self._client.get_quote_tweets, post, max_results=AT_ONCE, pagination_token=page, **FIELDS)

    def retweeted_by(self, post: str, page: str | None) -> dict[str, Any]:
        """Accounts that have retweeted a post: X does not say when."""
        return self._ask(self._client.get_retweeters, post, max_results=AT_ONCE, pagination_token=page)

    def posts(self, ids: list[str]) -> dict[str, Any]:
        """Some posts, at most a hundred, the withheld marked so, and what is wrong with those that are not given."""
        return self._ask(self._client.get_tweets, ids, tweet_fields=[*FIELDS["tweet_fields"], "withheld"])

    def listed(self, account: str, side: str, rows: int, page: str | None) -> dict[str, Any]:
        """Accounts that one `follows`, or is `followed_by`."""
        ask = self._client.get_users_following if side == "follows" else self._client.get_users_followers
        return self._ask(ask, account, max_results=rows, pagination_token=page)

    def rules(self) -> list[Present]:
        """The rules there are."""
        rows = self._ask(self._rules.get_rules).get("data") or ()
        return [Present(str(row["id"]), str(row["value"]), str(row.get("tag") or "")) for row in rows]

    def add_rules(self, rules: Iterable[Rule]) -> None:
        """Add rules. One that is there under another tag stays as it is, without a word."""
        self._ask(self._rules.add_rules, [tweepy.StreamRule(rule.value, rule.tag) for rule in rules])

    def remove_rules(self, ids: Iterable[str]) -> None:
        """Remove rules."""
        self._ask(self._rules.delete_rules, [*ids])

    def _ask(self, call: Any, *given: Any, **params: Any) -> dict[str, Any]:
        try:
            answer = call(*given, **params)
        except ValueError:
            raise NotConnected("an answer of X that is no JSON") from None
        if not isinstance(answer, dict):
            raise NotConnected("an answer of X of another shape")
        return answer
