"""Asking for pages and feeds: bounded in bytes and time, tried again where that may help.

A name is only reached at public addresses, whatever it answers from one moment to the next, unless the settings say
that it is one of a private network. An address that a person gave is reached as it is: no name stands between. A proxy
of the environment has rules of its own, and is left to them.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpcore
import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from connectors.api import reset_s
from connectors.public_network import LookUp, NotPublic, Unreachable, addresses, checked, first_answering
from spread.events import UNREADABLE

_TRIES: Final = 5
_TIMEOUT_S: Final = 20.0
_ANSWER_S: Final = 120.0
"""For one answer, however it drips."""
_LONGEST_WAIT_S: Final = 300.0
"""Who asks for more time than that is asked again by a person."""
_BYTES: Final = 64 * 2**20
_REDIRECTS: Final = 5
_GONE: Final = (404, 410)
_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
_ACCEPT: Final = "application/json, application/xml;q=0.9, text/html;q=0.8, */*;q=0.5"

_T = TypeVar("_T")


class FeedError(Exception):
    """Offers could not be read from a source. One line, without what may be secret in a link."""


class Gone(FeedError):
    """There is no such page."""


class _Passing(Exception):
    """What may be otherwise in a while."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Page(msgspec.Struct, frozen=True):
    """What was found at a link, after redirects."""

    url: str
    kind: str
    """Its media type, in lower case."""
    body: bytes


class Web:
    """Asks, one question after the other.

    `sleep` waits (seconds) between tries. `private` are hosts that may be at any address, `look_up` gives those of one.
    """

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, private: Collection[str] = (), look_up: LookUp = addresses
    ) -> None:
        self._client = httpx.Client(
            timeout=_TIMEOUT_S,
            headers={"User-Agent": "ricochet", "Accept": _ACCEPT},
            transport=None if {"http", "https", "all"} & getproxies().keys() else _transport(private, look_up),
        )
        self._again = Retrying(
            sleep=sleep,
            stop=stop_after_attempt(_TRIES),
            wait=_wait,
            retry=retry_if_exception_type(_Passing),
            reraise=True,
        )

    def __enter__(self) -> "Web":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str, **params: str | int) -> Page:
        """What is at a link. Raises `Gone` where nothing is, and `FeedError`."""
        try:
            asked = httpx.URL(url, params=params) if params else httpx.URL(url)
            for _ in range(_REDIRECTS + 1):
                found = self._again(self._try, asked)
                if isinstance(found, Page):
                    return found
                if site(str(found)) != site(str(asked)):
                    raise FeedError(f"{shown(str(asked))} leads to {shown(str(found))}: name that, if it is meant")
                asked = found
        except _Passing as error:
            raise FeedError(str(error)) from None
        except httpx.InvalidURL:
            raise FeedError(f"{shown(url)} is no link") from None
        raise FeedError(f"{shown(url)} leads on and on")

    def json(self, url: str, kind: type[_T], **params: str | int) -> _T:
        """The JSON at a link. Raises `FeedError` where it is not of this kind, and what `get` does."""
        page = self.get(url, **params)
        try:
            return msgspec.json.decode(page.body, type=kind)
        except UNREADABLE as error:
            raise FeedError(f"{shown(page.url)} is not what is expected there: {error}") from None

    def _try(self, url: httpx.URL) -> Page | httpx.URL:
        """What is at a link, or where it leads."""
        where = shown(str(url))
        try:
            with self._client.stream("GET", url) as answer:
                if answer.is_success:
                    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    return Page(str(url), kind, _body(answer, where))
                if answer.has_redirect_location:
                    return url.join(answer.headers["Location"])
                raise _refused(answer, where)
        except httpx.TimeoutException:
            raise _Passing(f"{where} does not answer") from None
        except NotPublic as error:
            raise FeedError(f"{where}: {error}; if it is meant, name it in the setting private_hosts") from None
        except Unreachable as error:
            raise _Passing(f"{where} can't be read: {error}") from None
        except httpx.UnsupportedProtocol:
            raise FeedError(f"{where} is no http link") from None
        except httpx.DecodingError:
            raise FeedError(f"{where} is not encoded as it says") from None
        except httpx.TransportError as error:
            raise _Passing(f"{where} can't be read: {' '.join(str(error).split()) or type(error).__name__}") from None


class _Network(httpcore.SyncBackend):
    """Connects names to public addresses alone, but for those of a private network."""

    def __init__(self, private: Collection[str], look_up: LookUp) -> None:
        self._private, self._look_up = {host.lower() for host in private}, look_up

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        places = [host] if self._is_named(host) else checked(host, port, self._look_up, _TIMEOUT_S)
        connect = super().connect_tcp
        return first_answering(
            host, places, lambda place, _: connect(place, port, timeout, local_address, socket_options)
        )

    def _is_named(self, host: str) -> bool:
        """Whether this very host was meant by a person, wherever it is."""
        try:
            return host.lower() in self._private or bool(ip_address(host))
        except ValueError:
            return False


def _transport(private: Collection[str], look_up: LookUp) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport()
    transport._pool.close()
    transport._pool = httpcore.ConnectionPool(httpx.create_ssl_context(), network_backend=_Network(private, look_up))
    return transport


def shown(url: str) -> str:
    """A link as it may be shown: without credentials, and without its query, that may hold a key."""
    head, sep, tail = url.partition("://")
    if not sep:
        return url
    if ":" in tail.partition("@")[0]:
        tail = tail.rpartition("@")[2]
    return head + sep + re.split("[?#]", tail)[0]


def site(url: str) -> tuple[str, int | None]:
    """The site of an http link, as its host without `www.` and its port; without a host where it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    return (host.removeprefix("www."), port) if parts.scheme in ("http", "https") else ("", None)


def _body(answer: httpx.Response, where: str) -> bytes:
    until = time.monotonic() + _ANSWER_S
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > _BYTES:
            raise FeedError(f"{where} has over {_BYTES:,} bytes")
        if time.monotonic() > until:
            raise FeedError(f"{where} takes over {_ANSWER_S:g} s")
    return bytes(body)


def _refused(answer: httpx.Response, where: str) -> Exception:
    why = f"{where}: HTTP {answer.status_code}"
    if answer.status_code in _GONE:
        return Gone(why)
    if answer.status_code not in _PASSING:
        return FeedError(why)
    after_s = reset_s(answer.headers, time.time())
    if after_s is not None and after_s > _LONGEST_WAIT_S:
        return FeedError(f"{why}, and again only in {after_s:,.0f} s")
    return _Passing(why, after_s)


_full_jitter: Final[Any] = wait_random_exponential(multiplier=1, max=60)


def _wait(tries: RetryCallState) -> float:
    """Seconds until the next try."""
    error = tries.outcome and tries.outcome.exception()
    after_s = error.after_s if isinstance(error, _Passing) else None
    return float(_full_jitter(tries)) if after_s is None else after_s
