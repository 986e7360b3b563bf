"""Where short links lead. Networks and people shorten links, and only the long one says which job is meant.

- Only shorteners on the list are asked, for nothing but where to go next. A link that leaves the list is the answer
  and is not fetched, so whoever writes a post can't have us fetch a page of their choice.
- No address is reached that is not public: the name of a shortener is looked up once, every answer is checked, and
  the connection goes to the very address that was checked. The name stays what TLS and the request are about.
- All is bounded: links in a row, bytes, time, what is remembered and for how long; and for links of strangers, of whom
  there is no end, the time that all of them together may take. Proxies of the environment are
  not used, as behind one nobody knows which address is reached.
- A link that can't be resolved stays as it is: a missed match can be corrected.
"""

import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from ipaddress import ip_address
from typing import Final

import httpcore
import httpx

from connectors.public_network import LookUp, PublicNetwork, Unreachable, addresses, is_public

SHORTENERS: Final = frozenset(
    {
        *("t.co", "lnkd.in", "fb.me", "bit.ly", "bitly.com", "j.mp", "buff.ly", "ow.ly", "ht.ly", "dlvr.it", "trib.al"),
        *("hubs.ly", "hubs.li", "spr.ly", "sprou.tt", "tinyurl.com", "rb.gy", "is.gd", "v.gd", "cutt.ly", "t.ly"),
        *("tiny.cc", "shorturl.at", "goo.gl", "grnh.se", "smrtr.io"),
    }
)
"""Those of networks, of publishing tools, of applicant tracking systems, and those that anybody uses."""

_HOPS: Final = 5
"""Shorteners in a row."""
_BYTES: Final = 128 * 1024
"""What all of them together may send."""
_STRANGERS_S: Final = 6.0
"""How long links of strangers may take in a minute, all together."""
_LEAST_S: Final = 0.1
"""What a link of theirs counts at least: so many a minute are asked about, however fast the answer."""
_LINK: Final = 4_096
"""Characters; a longer link is nobody's."""
_MOVED: Final = (301, 302, 303, 307, 308)
_HEADERS: Final[list[tuple[bytes | str, bytes | str]]] = [
    ("User-Agent", "ricochet"),  # those who take it for a browser answer with a page instead of a redirect
    ("Accept", "*/*"),
    ("Connection", "close"),
]


class ShortLinks:
    """Resolves short links, and remembers. Any thread may call it.

    `hosts` are the shorteners that are asked; `within_s` is the time for one link, all shorteners in a row together. Of
    at most `most` links it is remembered where they lead for `kept_s` seconds, and for `failed_s` that they lead
    nowhere, by `clock` (seconds). `look_up` asks for addresses. `standing_in` is for tests alone: by host, the address
    and port of a server that is asked in its place, whatever that address is.
    """

    def __init__(
        self,
        hosts: Collection[str] = SHORTENERS,
        *,
        within_s: float = 5.0,
        most: int = 16_384,
        kept_s: float = 7 * 86_400.0,
        failed_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        look_up: LookUp = addresses,
        standing_in: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._within_s, self._most, self._kept_s, self._failed_s = within_s, most, kept_s, failed_s
        self._clock, self._look_up, self._standing_in = clock, look_up, dict(standing_in or {})
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[str | None, float]] = OrderedDict()
        """By link, where it leads (None: nowhere) and until when that is believed; the last asked for at the end."""
        self._spare, self._spare_at = _STRANGERS_S, clock()
        """The seconds that links of strangers may still take, as of a moment; they come back within a minute."""

    def is_short(self, link: str) -> bool:
        """Whether a link is one of a shortener on the list."""
        url = _parsed(link)
        return url is not None and url.host in self._hosts

    def resolve(self, link: str, *, of_stranger: bool = False) -> str:
        """Where a link leads; the link itself if it is no short one, or if its shortener does not say.

        Nor is one of a stranger asked about that is not remembered once those have had what they may take.
        """
        url = _parsed(link)
        if url is None or url.host not in self._hosts:
            return link
        known, answer = self._remembered(str(url))
        if not known:
            began = self._clock()
            if of_stranger and not self._can_spare(began):
                return link
            answer = self._followed(url)
            self._remember(str(url), answer)
            if of_stranger:
                self._take(max(_LEAST_S, self._clock() - began))
        return link if answer is None else answer

    def _can_spare(self, now: float) -> bool:
        with self._lock:
            back = (now - self._spare_at) * _STRANGERS_S / 60
            self._spare, self._spare_at = min(_STRANGERS_S, self._spare + back), now
            return self._spare > 0

    def _take(self, seconds: float) -> None:
        with self._lock:
            self._spare -= seconds

    def _remembered(self, link: str) -> tuple[bool, str | None]:
        with self._lock:
            if link not in self._known or self._clock() >= self._known[link][1]:
                return False, None
            self._known.move_to_end(link)
            return True, self._known[link][0]

    def _remember(self, link: str, answer: str | None) -> None:
        with self._lock:
            self._known[link] = answer, self._clock() + (self._failed_s if answer is None else self._kept_s)
            self._known.move_to_end(link)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def _followed(self, url: httpx.URL) -> str | None:
        network = PublicNetwork(time.monotonic() + self._within_s, _BYTES, self._look_up, self._standing_in)
        seen: set[httpx.URL] = set()
        at: httpx.URL | None = url
        while at is not None and at.host in self._hosts:
            if at in seen or len(seen) == _HOPS or at.userinfo or at.port is not None:
                return None
            seen.add(at)
            at = self._next(at, network)
        return None if at is None or _is_private(at.host) else str(at)

    def _next(self, url: httpx.URL, network: PublicNetwork) -> httpx.URL | None:
        """Where a shortener says to go, None if it does not. Some answer GET alone; no body is read."""
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        for method in ("HEAD", "GET"):
            try:
                with (
                    httpcore.ConnectionPool(self._tls, network_backend=network) as pool,
                    pool.stream(method, target, headers=_HEADERS) as answer,
                ):
                    if answer.status in _MOVED:
                        return _joined(url, answer.headers)
            except Unreachable:
                return None
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                pass
        return None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


def _parsed(link: str) -> httpx.URL | None:
    """An http link, None if it is none. As it is read here it is compared and asked for, so no trick comes between."""
    try:
        url = httpx.URL(link.strip()) if len(link) <= _LINK else None
        return url if url is not None and url.scheme in ("http", "https") and url.host else None
    except (httpx.InvalidURL, UnicodeError):  # the latter where a name is none in another script
        return None


def _joined(url: httpx.URL, headers: list[tuple[bytes, bytes]]) -> httpx.URL | None:
    location = next((value for name, value in headers if name.lower() == b"location"), b"")
    try:
        return _parsed(str(url.join(location.decode()))) if location else None
    except (httpx.InvalidURL, UnicodeDecodeError):
        return None


def _is_private(host: str) -> bool:
    """Whether a host is an address that is not public: no job is there."""
    try:
        return not is_public(ip_address(host))
    except ValueError:
        return False
