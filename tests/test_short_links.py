"""Short links: they lead to the long one, through shorteners alone, and never to an address that is not public."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from connectors.public_network import is_public
from connectors.short_links import SHORTENERS, ShortLinks
from tests.replay import Answer, Replay, replay

JOB = "https://careers.example/jobs/42?gh_jid=42"
PUBLIC = "8.8.8.8"


def to(location: str, status: int = 301) -> Answer:
    """Answer that something is elsewhere."""
    return Answer(status=status, headers={"Location": location})


@pytest.fixture
def server() -> Iterator[Replay]:
    """Give a server that plays the shorteners."""
    with replay() as told:
        yield told


def resolver(server: Replay, **more: Any) -> ShortLinks:
    """Give a resolver for which the server stands in for some shorteners, and no name has any other address."""
    hosts = ("t.co", "bit.ly", "grnh.se")
    more.setdefault("look_up", nowhere)
    return ShortLinks(hosts=hosts, standing_in={host: (server.host, server.port) for host in hosts}, **more)


def nowhere(host: str, port: int) -> list[str]:
    """Look up a name that has no address."""
    raise socket.gaierror(f"no {host}")


@pytest.fixture
def reached(server: Replay, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Give what is connected to: all connections of the process are noted and go to the server."""
    noted: list[tuple[str, int]] = []
    connect = socket.create_connection

    def noting(address: tuple[str, int], *args: Any, **more: Any) -> socket.socket:
        noted.append(address)
        return connect((server.host, server.port), *args, **more)

    monkeypatch.setattr(socket, "create_connection", noting)
    return noted


def test_a_short_link_leads_to_the_long_one(server: Replay) -> None:
    """Shorteners in a row are followed, relative places too; what they lead to is the answer and not asked for."""
    server.says("/a", to("https://careers.example/../jobs/42#/apply", 302))
    server.says("/b", to("http://grnh.se/a"))
    server.says("/c", to("/b", 308))
    links = resolver(server)
    assert links.resolve(" http://T.CO/c ") == "https://careers.example/jobs/42#/apply"
    assert server.asked == ["HEAD /c", "HEAD /b", "HEAD /a"]
    assert [headers["Host"] for headers in server.headers] == ["t.co", "t.co", "grnh.se"]


@pytest.mark.parametrize(
    "link",
    [
        JOB,
        "http://t.co.evil.example/a",
        "http://t.co@evil.example/a",
        "http://t.co\\@evil.example/a",
        "http://evil.example/http://t.co/a",
        "http://evil.example#@t.co/a",
        "http://127.0.0.1/a",
        "http://[::ffff:127.0.0.1]/a",
        "file:///etc/passwd",
        "file://t.co/etc/passwd",
        "ftp://t.co/a",
        "javascript:alert(1)//t.co/a",
        "//t.co/a",
        "t.co/a",
        "http://t.co:22/a",
        "http://me:secret@t.co/a",
        "http://t.co/a\r\nX: y",
        "http://[t.co]/a",
        "http://t.co/" + "a" * 5_000,
        "http://",
        "",
    ],
)
def test_what_is_no_short_link_stays(link: str, server: Replay, reached: list[tuple[str, int]]) -> None:
    """A link of any other host, scheme or port, or with credentials, is given back as it was and nothing is asked."""
    server.says("/a", to(JOB))
    assert resolver(server).resolve(link) == link
    assert reached == []


def test_get_is_asked_where_head_is_not_answered(server: Replay) -> None:
    """A shortener that refuses HEAD, or answers it without a place, is asked again with GET; its body is not read."""

    def without_end(send: Callable[[bytes], object]) -> None:
        send(b"HTTP/1.1 301 Moved\r\nLocation: https://careers.example/jobs/42?gh_jid=42\r\n\r\n")
        while True:
            send(b"x" * 65_536)

    server.says("/a", Answer(status=405), Answer(raw=without_end))
    assert resolver(server).resolve("http://bit.ly/a") == JOB
    assert server.asked == ["HEAD /a", "GET /a"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404),
        Answer(b"<script>location = 'https://careers.example'</script>"),
        Answer(status=301),
        to(""),
        to("file:///etc/passwd"),
        to("javascript:alert(1)"),
        to("data:text/html,hello"),
        to("http://"),
        to("http://[::1"),
        to("http://me:secret@t.co/b"),
        to("http://t.co:6379/b"),
        to("http://127.0.0.1/"),
        to("http://127.0.0.1:8080/jobs/42"),
        to("http://169.254.169.254/latest/meta-data/"),
        to("http://[::ffff:10.0.0.1]/"),
        to("http://[::1]/"),
        to("https://careers.example/" + "a" * 5_000),
        Answer(raw=lambda send: send(b"\xff\x00 garbage\r\n\r\n")),
        Answer(raw=lambda send: send(b"HTTP/1.1 301 Moved\r\nLocation: http://\xff\xfe/\r\n\r\n")),
        Answer(raw=lambda send: None),
    ],
)
def test_what_leads_nowhere_stays_short(answer: Answer, server: Replay, reached: list[tuple[str, int]]) -> None:
    """A link whose shortener fails, or names no public http page, is given back; only the shortener was reached."""
    server.says("/a", answer)
    server.says("/b", to(JOB))
    assert resolver(server).resolve("http://t.co/a") == "http://t.co/a"
    assert set(reached) == {(server.host, server.port)}
    assert len(reached) <= 2


def test_loops_end(server: Replay) -> None:
    """Links in a circle are asked for once each, and a chain without end for a few steps."""
    server.says("/a", to("/b"))
    server.says("/b", to("http://t.co/a"))
    for number in range(20):
        server.says(f"/{number}", to(f"/{number + 1}"))
    links = resolver(server)
    assert links.resolve("http://t.co/a") == "http://t.co/a"
    assert server.asked == ["HEAD /a", "HEAD /b"]
    server.asked.clear()
    assert links.resolve("http://t.co/0") == "http://t.co/0"
    assert len(server.asked) == 5


def test_slow_and_endless_answers_are_left(server: Replay) -> None:
    """A shortener that says nothing, drips, or sends headers without end costs the time and the bytes that are set."""
    leaving = threading.Event()

    def silent(send: Callable[[bytes], object]) -> None:
        leaving.wait()

    def dripping(send: Callable[[bytes], object]) -> None:
        send(b"HTTP/1.1 301 Moved\r\n")
        while not leaving.wait(0.01):
            send(b"X: y\r\n")

    def flood(send: Callable[[bytes], object]) -> None:
        for _ in range(1_000):
            send(b"HTTP/1.1 100 Continue\r\n\r\n" * 400)
        send(b"HTTP/1.1 301 Moved\r\nLocation: https://careers.example/\r\n\r\n")

    server.says("/silent", Answer(raw=silent))
    server.says("/drip", Answer(raw=dripping))
    server.says("/flood", Answer(raw=flood))
    links = resolver(server, within_s=0.5)
    for name in ("silent", "drip"):
        assert links.resolve(f"http://t.co/{name}") == f"http://t.co/{name}"
        assert server.asked.count(f"GET /{name}") == 0
    assert resolver(server, within_s=60).resolve("http://t.co/flood") == "http://t.co/flood"
    assert server.asked[-1] == "HEAD /flood"
    leaving.set()


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["192.168.0.1"],
        ["172.16.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.251"],
        ["255.255.255.255"],
        ["192.0.0.8"],
        ["::1"],
        ["::"],
        ["::ffff:10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["fe80::1%lo"],
        ["fd00::1"],
        ["fec0::1"],
        ["ff02::1"],
        ["64:ff9b::a00:1"],
        ["64:ff9b:1::a00:1"],
        ["2002:a00:1::1"],
        ["2001:0:a00:1::1"],
        ["2001:db8::1"],
        [PUBLIC, "127.0.0.1"],
        ["2606:4700::1111", "::1"],
        [],
    ],
    ids=" ".join,
)
def test_no_private_address_is_reached(found: list[str], server: Replay, reached: list[tuple[str, int]]) -> None:
    """A shortener of which any address is not public, in whatever form, is not asked at all."""
    server.says("/a", to(JOB))
    links = ShortLinks(hosts=("short.example",), look_up=lambda host, port: found)
    assert links.resolve("http://short.example/a") == "http://short.example/a"
    assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:10.0.0.1]"])
def test_a_listed_address_is_checked_too(host: str, server: Replay, reached: list[tuple[str, int]]) -> None:
    """Who lists this machine as a shortener, under any of its names, does not have it asked."""
    server.says("/a", to(JOB))
    links = ShortLinks(hosts=(host.strip("[]"),))
    assert links.resolve(f"http://{host}/a") == f"http://{host}/a"
    assert reached == []


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_the_address_that_was_checked_is_reached(address: str, server: Replay, reached: list[tuple[str, int]]) -> None:
    """The connection goes to what was looked up and checked; a name that answers otherwise later is of no use."""
    answers = iter([[address]])
    asked = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return next(answers, ["127.0.0.1"])

    server.says("/a", to("http://two.example/b"))
    server.says("/b", to(JOB))
    links = ShortLinks(hosts=("one.example", "two.example"), look_up=look_up)
    assert links.resolve("http://one.example/a") == "http://one.example/a"
    assert asked == [("one.example", 80), ("two.example", 80)]
    assert [(ip_address(host), port) for host, port in reached] == [(ip_address(address), 80)]
    assert server.headers[0]["Host"] == "one.example"


def test_the_next_address_is_tried(server: Replay, reached: list[tuple[str, int]]) -> None:
    """Where the first address of a shortener does not answer the next is asked."""
    noting = socket.create_connection

    def refusing(address: tuple[str, int], *args: Any, **more: Any) -> socket.socket:
        connection = noting(address, *args, **more)
        if address[0] == PUBLIC:
            connection.close()
            raise ConnectionRefusedError
        return connection

    server.says("/a", to(JOB))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", refusing)
        links = ShortLinks(hosts=("short.example",), look_up=lambda host, port: [PUBLIC, "8.8.4.4"])
        assert links.resolve("http://short.example/a") == JOB
    assert reached == [(PUBLIC, 80), ("8.8.4.4", 80)]


def test_look_ups_that_hang_are_left(server: Replay) -> None:
    """A name server that does not answer costs the time that is set."""
    leaving = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        leaving.wait()
        return [PUBLIC]

    links = ShortLinks(hosts=("short.example",), look_up=hang, within_s=0.2)
    assert links.resolve("http://short.example/a") == "http://short.example/a"
    leaving.set()


def test_tls_is_about_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The certificate of the shortener's name is asked for and checked, not one of the address."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    named: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("short.example").configure_cert(tls)
    tls.sni_callback = lambda connection, name, context: named.append(name)
    with replay(tls) as server:
        server.says("/a", to(JOB))
        at = (server.host, server.port)
        links = ShortLinks(
            hosts=("short.example", "other.example"), standing_in={"short.example": at, "other.example": at}
        )
        assert links.resolve("https://short.example/a") == JOB
        assert links.resolve("https://other.example/a") == "https://other.example/a"
        assert server.asked == ["HEAD /a"]
    assert named[0] == "short.example"


def test_the_proxies_of_the_environment_are_not_used(server: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy, that would reach any address, is not asked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.says("/a", to(JOB))
    assert resolver(server).resolve("http://t.co/a") == JOB


def test_what_is_known_is_not_asked_again(server: Replay) -> None:
    """An answer is believed for as long as is set, a failure for less; then the shortener is asked again."""
    now = 0.0
    server.says("/a", to(JOB), to("https://careers.example/jobs/43"))
    server.says("/b", Answer(status=503), Answer(status=503), to(JOB))
    links = resolver(server, kept_s=100, failed_s=10, clock=lambda: now)

    def both() -> tuple[str, str]:
        return links.resolve("http://t.co/a"), links.resolve("http://t.co/b")

    assert both() == both() == (JOB, "http://t.co/b")
    assert server.asked == ["HEAD /a", "HEAD /b", "GET /b"]
    now = 10.0
    assert both() == (JOB, JOB)
    assert server.asked[3:] == ["HEAD /b"]
    now = 100.0
    assert both()[0] == "https://careers.example/jobs/43"
    assert server.asked[4:] == ["HEAD /a"]


def test_what_is_known_is_bounded(server: Replay) -> None:
    """Of more links than are kept, the one that was asked for longest ago is forgotten."""
    for name in "abc":
        server.says(f"/{name}", to(f"{JOB}&{name}"))
    links = resolver(server, most=2)
    for name in "abacb":
        assert links.resolve(f"http://t.co/{name}") == f"{JOB}&{name}"
    assert [asked[-1] for asked in server.asked] == ["a", "b", "c", "b"]


def test_many_threads_may_ask(server: Replay) -> None:
    """Links asked for by many at once all get their own answers."""
    for number in range(40):
        server.says(f"/{number}", to(f"{JOB}&n={number}"))
    links = resolver(server)
    got: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda number=number: got.update({number: links.resolve(f"http://t.co/{number}")}))
        for number in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {number: f"{JOB}&n={number}" for number in range(40)}


@given(st.ip_addresses())
def test_public_addresses_are_global(address: Any) -> None:
    """Nothing that the standard library knows to be private, local, reserved or multicast counts as public."""
    if is_public(address):
        inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
        judged = ip_address(inner or address)
        assert str(address).startswith("64:ff9b::") or judged.is_global
        assert not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def test_the_list_holds_names_alone() -> None:
    """The shorteners of the list are plain host names as they are compared."""
    assert {"t.co", "bit.ly", "lnkd.in", "grnh.se", "buff.ly", "ow.ly", "tinyurl.com"} <= SHORTENERS
    assert all(host == host.lower() and "." in host and "/" not in host for host in SHORTENERS)
