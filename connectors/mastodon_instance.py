"""One instance of Mastodon, asked through Mastodon.py: its answers as they came, its faults in the contract's words.

The library's own objects are left aside, since what is kept of a message is what `normalise` reads again after a crash.

The token goes to the instance alone. An answer may name another host for streams: it has to lie below the instance's
own name, at public addresses, or be named by a person; and nothing but TLS leads there.
"""

import threading
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec
import requests
from mastodon import Mastodon

from connectors.api import Missing, fault
from connectors.clock import now_ms
from connectors.connector import ConnectorError, NotConnected, Refused
from connectors.mastodon_statuses import Message
from connectors.public_network import LookUp, NotPublic, Unreachable, addresses, checked
from spread.events import UNREADABLE

_TIMEOUT_S: Final = 30.0
_HTTPS: Final = 443
_SHOWN: Final = 100
"""Characters of a host that an answer names."""
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")

_T = TypeVar("_T")

_rows: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Me(msgspec.Struct):
    acct: str


class _Said(msgspec.Struct):
    domain: str = ""
    uri: str = ""  # the same, in the first version of the answer


_me: Final = msgspec.json.Decoder(_Me).decode
_said: Final = msgspec.json.Decoder(_Said).decode


class Answer(msgspec.Struct):
    """What an instance said: the bytes, and the library's object, which knows the page that follows."""

    body: bytes
    object: Any

    def rows(self) -> list[bytes]:
        """The entries of a list."""
        return [bytes(row) for row in read(self.body, _rows)]


class Instance:
    """The instance named in an allow-list, as `social.example` or an address, and a token of an account there.

    `silence_s` is how long a stream may say nothing, a sign of life included. `stream_hosts` are hosts that it may
    stream from, wherever they are; `look_up` gives the addresses of another. Any thread may ask.
    """

    def __init__(
        self,
        name: str,
        token: str,
        silence_s: float,
        stream_hosts: Collection[str] = (),
        look_up: LookUp = addresses,
    ) -> None:
        base = name if "://" in name else f"https://{name}"
        self.host: Final = urlsplit(base).netloc.lower()
        if not self.host or (urlsplit(base).scheme != "https" and self.host.partition(":")[0] not in _LOOPBACK):
            raise Refused("option instances of connector mastodon: each is a host, or an address with https")
        self._scheme: Final = urlsplit(base).scheme
        self._stream_hosts, self._look_up = {host.lower() for host in stream_hosts}, look_up
        self.silence_s: Final = silence_s
        self.domain = self.me = ""
        """How it names itself in the names of accounts, and the token's account there; known after `greet`."""
        self._last = threading.local()
        self._session = _Session(self._may_ask)
        self._session.hooks["response"].append(self._note)
        self.client: Final = Mastodon(
            access_token=token,
            api_base_url=base,
            ratelimit_method="throw",
            request_timeout=_TIMEOUT_S,
            session=self._session,
            user_agent="ricochet",
        )

    def greet(self) -> None:
        """Learn whose token it is, and how the instance names itself."""
        me = self.ask("accounts/verify_credentials", lambda client: client.account_verify_credentials())
        self.me = read(me.body, _me).acct
        try:
            said = read(self.ask("instance", lambda client: client.instance_v2()).body, _said)
        except Missing:  # before Mastodon 4, and relatives of it
            said = read(self.ask("instance", lambda client: client.instance_v1()).body, _said)
        self.domain = (said.domain or said.uri.rpartition("/")[2] or self.host).lower()

    def ask(self, what: str, call: Callable[[Mastodon], Any]) -> Answer:
        """Ask. `what` is named in errors, so it holds no name of an account or a post."""
        with self.faults(what):
            answer = call(self.client)
            return Answer(self._last.response.content, answer)

    def faults(self, what: str) -> "_Faults":
        """Turn what goes wrong in the block into what the contract of a connector names."""
        self._last.response = None
        return _Faults(self, what)

    def message(self, event: str, payload: str) -> bytes:
        """An event in its envelope."""
        now = now_ms()
        return msgspec.json.encode(Message(self.domain, self.me, event, payload, now))

    def translated(self, what: str, error: Exception) -> ConnectorError:
        """What an error of the library means, without its text: that may hold an address, and what is at it."""
        for one in (error, error.__context__):  # the library wraps what the session raises
            if isinstance(one, ConnectorError):
                return one
        response = getattr(self._last, "response", None)
        if response is None or response.ok:
            return NotConnected(f"{self.host}: {what}: {type(error).__name__}")
        return fault(response.status_code, response.headers, f"{self.host}: {what}")

    def close(self) -> None:
        """Close the connections. A question opens them again."""
        self._session.close()

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        to = urlsplit(response.headers.get("Location", "") if response.is_redirect else "")
        if to.netloc.lower() not in ("", self.host) or to.scheme not in ("", self._scheme):
            raise NotConnected(f"{self.host} leads elsewhere")
        self._last.response = response

    def _may_ask(self, url: str) -> None:
        """Raise where the token may not go."""
        to = urlsplit(url)
        if (to.scheme, to.netloc.lower()) == (self._scheme, self.host):
            return
        host, said = to.hostname or "", f"{self.host} streams from {to.netloc[:_SHOWN]!r}"
        if to.scheme != "https":
            raise Refused(f"{said} without TLS")
        if host in self._stream_hosts:
            return
        meant = "if it is meant, name it in option stream_hosts of connector mastodon"
        own = self.host.partition(":")[0]
        if host != own and not host.endswith(f".{own}"):
            raise Refused(f"{said}: {meant}")
        if {"https", "all"} & getproxies().keys():
            return  # the proxy looks names up, and keeps private addresses to itself
        try:
            checked(host, to.port or _HTTPS, self._look_up, _TIMEOUT_S)
        except NotPublic:
            raise Refused(f"{said}, which is not at a public address: {meant}") from None
        except Unreachable as error:
            raise NotConnected(f"{self.host}: streaming: {error}") from None


class _Session(requests.Session):
    """Asks `may_ask` of each address before anything is sent there, redirects included."""

    def __init__(self, may_ask: Callable[[str], None]) -> None:
        super().__init__()
        self._may_ask = may_ask

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self._may_ask(request.url or "")
        return super().send(request, **kwargs)


class _Faults:
    def __init__(self, instance: Instance, what: str) -> None:
        self._instance, self._what = instance, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            raise self._instance.translated(self._what, error) from None


def read(body: bytes, decode: Callable[[bytes], _T]) -> _T:
    """What an answer holds. Raises `NotConnected` where it is of another shape."""
    try:
        return decode(body)
    except UNREADABLE:
        raise NotConnected("an answer of another shape") from None
