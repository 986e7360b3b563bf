"""Asking a network over HTTPS: one client, and its answers in the words of the contract."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from connectors.clock import now_ms
from connectors.connector import ConnectorError, NotConnected, RateLimited, Refused
from spread.events import UNREADABLE

_TIMEOUT_S: Final = 30.0
"""Of silence."""
_WHOLE_S: Final = 300.0
"""For one answer, however much life it shows."""
_MOST_BYTES: Final = 32 * 2**20
_EPOCH_S: Final = 1_000_000_000
"""A reset above this is a moment, below it a number of seconds."""
_RESETS: Final = ("retry-after", "x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset")


class NotTaken(NotConnected):
    """The network does not take this question: asked again it is no other."""


class Missing(NotTaken):
    """There is no such thing, or not any more."""


Fault = Callable[[int, Mapping[str, str], bytes, str], ConnectorError]
"""What an answer that is no success means: its status, headers and body, and what was asked for."""


class Answer(NamedTuple):
    """What a network answered."""

    said: Any
    headers: Mapping[str, str]

    @property
    def at(self) -> int:
        """When, by the network's clock where it tells (ms, in whole seconds)."""
        try:
            return int(parsedate_to_datetime(self.headers["date"]).timestamp() * 1000)
        except (KeyError, ValueError, TypeError):
            return now_ms()


def fault(status: int, headers: Mapping[str, str], what: str) -> ConnectorError:
    """What an HTTP status that is no success means. `what` was asked for, in words without secrets."""
    why = f"{what}: HTTP {status}"
    if status == 429:
        return RateLimited(why, reset_s(headers, time.time()))
    if status in (401, 403):
        return Refused(why)
    if status in (404, 410):
        return Missing(why)
    if status in (400, 422):
        return NotTaken(why)
    return NotConnected(why, reset_s(headers, time.time()) if status == 503 else None)


def _by_status(status: int, headers: Mapping[str, str], body: bytes, what: str) -> ConnectorError:
    return fault(status, headers, what)


class Api:
    """A network's HTTP interface below `base`. `headers` may hold secrets: they never show.

    A network whose errors say more than their status has a `fault` of its own.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
        fault: Fault = _by_status,
    ) -> None:
        self.base: Final = base
        self._headers, self._timeout_s, self._fault = headers, timeout_s, fault
        self._open: httpx.Client | None = None

    @property
    def _client(self) -> httpx.Client:
        if self._open is None:
            self._open = httpx.Client(base_url=self.base, headers=self._headers, timeout=self._timeout_s or _TIMEOUT_S)
        return self._open

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of an answer. Raises what the contract of a connector names."""
        return self.ask("GET", path, params=params).said

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        what: str = "",
    ) -> Answer:
        """An answer with its headers. `what` stands for the path in errors, where that names an account or a post."""
        what = what or path
        try:
            with self._client.stream(method, path, params=params, data=form) as answer:
                if not answer.is_success:
                    raise self._fault(answer.status_code, answer.headers, _complaint(answer, what), what)
                return Answer(_json(_read(answer, what), what), answer.headers)
        except httpx.HTTPError as error:
            raise NotConnected(f"{what}: {type(error).__name__}") from None

    def close(self) -> None:
        """Close the connections. A question opens them again."""
        if self._open is not None:
            self._open.close()
            self._open = None


def reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds until a network takes calls again, by its headers; None if they don't say.

    Understood are Retry-After (seconds or a date) and the resets of rate limits (seconds, a moment in seconds since
    1970, or a date). Of several the latest counts.
    """
    given = {name.lower(): value for name, value in headers.items()}
    found = [_seconds(given[name], now_s) for name in _RESETS if name in given]
    return max((max(0.0, one) for one in found if one is not None), default=None)


def _seconds(value: str, now_s: float) -> float | None:
    try:
        number = float(value)
        return number - now_s if number > _EPOCH_S else number
    except ValueError:
        pass
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value)
        except (ValueError, TypeError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s
    return None


def _read(answer: httpx.Response, what: str) -> bytes:
    body, until = bytearray(), time.monotonic() + _WHOLE_S
    for part in answer.iter_bytes():
        body += part
        if time.monotonic() > until:
            raise NotConnected(f"{what}: an answer that takes over {_WHOLE_S:g} s")
        if len(body) > _MOST_BYTES:
            raise NotConnected(f"{what}: an answer of over {_MOST_BYTES:,} bytes")
    return bytes(body)


def _complaint(answer: httpx.Response, what: str) -> bytes:
    """What an error says, as far as it came: its status stands for itself."""
    try:
        return _read(answer, what)
    except httpx.HTTPError:
        return b""


def _json(body: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        raise NotConnected(f"{what}: an answer that is no JSON") from None
