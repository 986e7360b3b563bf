"""Connections to public addresses alone, for links that strangers wrote.

- A name is looked up once and every answer is checked; if one is not public, none is reached. The connection goes to
  the very address that was checked: what the name answers a moment later changes nothing.
- Time (look-ups and TLS included) and bytes are bounded over all connections together.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from socket import SOCK_STREAM, getaddrinfo
from typing import Any, Final, TypeVar

import httpcore

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NOBODYS: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))
"""Set aside by the registries, which `ipaddress` of some Python versions does not know."""
_AT_ONCE: Final = threading.BoundedSemaphore(16)
"""Look-ups; one that hangs can't be given up, only left behind."""

_P = TypeVar("_P")

LookUp = Callable[[str, int], Iterable[str]]
"""Gives the addresses of a host and port. Raises `OSError` where there are none."""


class Unreachable(Exception):
    """What was asked for is not at a public address, or is over what is allowed of time or bytes."""


class NotPublic(Unreachable):
    """An address is not public."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the internet may have this address; of one that stands for an IPv4 address, whether that."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOBODYS)


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a host as the system knows them."""
    return [str(found[4][0]) for found in getaddrinfo(host, port, type=SOCK_STREAM)]


def checked(host: str, port: int, look_up: LookUp, within_s: float) -> list[str]:
    """The addresses of a host, all of them public. Raises `NotPublic` where one is not, and `Unreachable`."""
    found = [ip_address(address.partition("%")[0]) for address in _looked_up(host, port, look_up, within_s)]
    if not all(map(is_public, found)):
        raise NotPublic(f"{host} is not at a public address")
    return [str(address) for address in found]


def first_answering(
    host: str, places: Sequence[_P], connect: Callable[[_P, int], httpcore.NetworkStream]
) -> httpcore.NetworkStream:
    """The connection to the first of a host's places that answers.

    `connect` is told a place and how many are left with it. Raises what it raises for the last one, and `Unreachable`
    where there is none.
    """
    for number, place in enumerate(places):
        left = len(places) - number
        try:
            return connect(place, left)
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            if left == 1:
                raise
    raise Unreachable(f"{host} has no address")


def _looked_up(host: str, port: int, look_up: LookUp, within_s: float) -> list[str]:
    """Look up in a thread, as the system may take longer than there is time."""
    until = time.monotonic() + within_s
    answers: SimpleQueue[list[str]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(look_up(host, port)))
        except (OSError, UnicodeError):  # the latter for what can't be a name
            answers.put([])
        finally:
            _AT_ONCE.release()

    if not _AT_ONCE.acquire(timeout=within_s):
        raise Unreachable("too many names are looked up")
    threading.Thread(target=ask, name=f"look-up of {host}", daemon=True).start()
    try:
        return answers.get(timeout=max(0.0, until - time.monotonic()))
    except Empty:
        raise Unreachable(f"nobody says where {host} is") from None


class PublicNetwork(httpcore.NetworkBackend):
    """What connects for httpcore, until `deadline` (`time.monotonic`), and receives at most `nbytes`.

    Raises `Unreachable`, and what httpcore raises for connections that fail. `standing_in` is for tests alone: by host,
    the address and port to connect to in its place, unchecked.
    """

    def __init__(
        self,
        deadline: float,
        nbytes: int,
        look_up: LookUp = addresses,
        standing_in: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self._deadline, self._nbytes = deadline, nbytes
        self._look_up, self._standing_in = look_up, standing_in or {}
        self._system = httpcore.SyncBackend()

    def left_s(self) -> float:
        """Seconds until the deadline. Raises `Unreachable` once there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unreachable("it takes too long")
        return left

    def received(self, nbytes: int) -> None:
        """Count what was received. Raises `Unreachable` once it is too much."""
        self._nbytes -= nbytes
        if self._nbytes < 0:
            raise Unreachable("it sends too much")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of a host's addresses that answers."""
        given = self._standing_in.get(host)
        places = (
            [given] if given else [(address, port) for address in checked(host, port, self._look_up, self.left_s())]
        )

        def connect(place: tuple[str, int], left: int) -> httpcore.NetworkStream:
            address, at = place
            inner = self._system.connect_tcp(address, at, self.left_s() / left, local_address, socket_options)
            return _Stream(inner, self)

        return first_answering(host, places, connect)


class _Stream(httpcore.NetworkStream):
    """A connection that keeps the bounds of its network."""

    def __init__(self, inner: httpcore.NetworkStream, network: PublicNetwork) -> None:
        self._inner, self._network = inner, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        got = self._inner.read(max_bytes, self._network.left_s())
        self._network.received(len(got))
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._network.left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._network.left_s()), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
