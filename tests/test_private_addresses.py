"""Offers from the web: no page, list, redirect or name server can have a machine of a private network asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpcore
import pytest

from connectors.connector import ConnectorError, NotConnected, Refused
from connectors.feeds import pages
from connectors.feeds.web import FeedError, Web
from connectors.mastodon_instance import Instance
from connectors.mastodon_streams import Stream
from tests.mastodon_instance import TOKEN
from tests.mastodon_instance import Instance as Fake
from tests.processes import ended
from tests.replay import Answer, Replay, replay

PRIVATE = {
    "loopback": "127.0.0.1",
    "loopback, IPv6": "::1",
    "IPv4-mapped": "::ffff:127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "6to4": "2002:7f00:1::",
    "none": "0.0.0.0",
    "none, IPv6": "::",
    "private": "10.1.2.3",
    "private, 172": "172.16.0.1",
    "private, 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "link-local, cloud metadata": "169.254.169.254",
    "link-local, IPv6": "fe80::1%eth0",
    "unique local": "fd00::1",
    "site-local": "fec0::1",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "documentation": "192.0.2.1",
    "reserved": "240.0.0.1",
}
LOOPBACK = "127.0.0.1"
PUBLIC = "8.8.8.8"


@pytest.fixture
def server() -> Iterator[Replay]:
    """Give a server on loopback, which is what must not be reached."""
    with replay() as told:
        told.says("/jobs", Answer({"@type": "JobPosting", "title": "Data Engineer", "identifier": "1"}))
        yield told


def asked(url: str, *answers: list[str], private: tuple[str, ...] = ()) -> bytes:
    """Ask for a page; a name server gives these answers, one after the other, the last for ever."""
    left = list(answers)

    def look_up(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    with Web(lambda seconds: None, private, look_up) as web:
        return web.get(url).body


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE)
def test_a_name_at_a_private_address_is_not_reached(server: Replay, address: str) -> None:
    """Whatever kind of address that is not public a name has, alone or beside a public one, nothing is asked."""
    for found in ([address], [PUBLIC, address]):
        with pytest.raises(FeedError, match=r"is not at a public address; .* private_hosts"):
            asked(f"http://jobs.example:{server.port}/jobs", found)
    assert server.asked == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "2130706433", "0x7f000001", "127.1", "0", "017700000001"])
def test_a_disguised_address_is_a_name(server: Replay, host: str) -> None:
    """What only the system's look-up takes for this machine is judged by the address that the system gives."""
    with (
        pytest.raises(FeedError, match=r"not at a public address|is no link|can't be read"),
        Web(lambda _: None) as web,
    ):
        web.get(f"http://{host}:{server.port}/jobs")
    assert server.asked == []


def test_a_name_that_changes_its_mind_is_not_followed(server: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public, and is this machine for the next page of its list, is not reached there.

    The public address is played by the server: whoever connects there, connects to it.
    """
    reached: list[str] = []
    connect = httpcore.SyncBackend.connect_tcp

    def played(backend: Any, host: str, *given: Any, **more: Any) -> httpcore.NetworkStream:
        reached.append(host)
        return connect(backend, LOOPBACK if host == PUBLIC else host, *given, **more)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", played)
    server.says("/list", Answer({"items": [{"url": "/jobs"}]}, headers={"Connection": "close"}))
    answers = [[PUBLIC], [LOOPBACK]]
    with (
        Web(lambda _: None, (), lambda host, port: answers.pop(0)) as web,
        pytest.raises(FeedError, match=r"/jobs: jobs.example is not at a public address"),
    ):
        pages.read(web, f"http://jobs.example:{server.port}/list")
    assert reached == [PUBLIC]
    assert server.asked == ["GET /list"]


def test_a_redirect_to_a_private_address_is_an_error(server: Replay) -> None:
    """Nothing that is found at a page leads to another machine, by address, by name, or with a name before an @."""
    targets = [
        "http://169.254.169.254/latest",
        "http://localhost/jobs",
        f"http://127.0.0.1@localhost:{server.port}/jobs",
        f"http://[::1]:{server.port}/jobs",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ]
    server.says("/moved", *(Answer(status=302, headers={"Location": one}) for one in targets))
    for _ in targets:
        with pytest.raises(FeedError, match=r"leads to|no http link"):
            asked(server.base + "/moved", [LOOPBACK])
    assert server.asked == ["GET /moved"] * len(targets)


@pytest.mark.parametrize("link", ["ftp://jobs.example/", "file:///etc/passwd", "http://", "http://[::1", "//x/jobs"])
def test_what_is_no_http_link_is_not_followed(link: str) -> None:
    """Only http and https are spoken."""
    with pytest.raises(FeedError):
        asked(link, [PUBLIC])


def test_a_private_host_is_reached_where_it_was_named(server: Replay) -> None:
    """What the settings name may be anywhere; and an address itself is what a person gave."""
    url = f"http://jobs.intranet:{server.port}/jobs"
    with pytest.raises(FeedError):
        asked(url, [LOOPBACK])
    assert server.asked == []
    assert asked(server.base + "/jobs", [PUBLIC])


def test_the_setting_reaches_the_command(server: Replay, tmp_path: Path) -> None:
    """`offers check` refuses localhost, and takes it once `private_hosts` names it."""
    link = f"http://localhost:{server.port}/jobs"
    refused = ended("offers", "check", link, cwd=tmp_path)
    assert "private_hosts" in refused.out
    assert server.asked == []
    taken = ended("offers", "check", link, cwd=tmp_path, env={"RICOCHET_PRIVATE_HOSTS": "localhost"})
    assert taken.out == "1 offers, nothing is wrong with them\n"


def test_an_instance_of_mastodon_cannot_lead_elsewhere(server: Replay) -> None:
    """An instance that answers with a redirect to another machine is not followed, and no token goes there."""
    with replay() as other:
        server.says("/api/v1/accounts/verify_credentials", Answer(status=302, headers={"Location": other.base + "/x"}))
        instance = Instance(server.base, "geheim", 1.0)
        with pytest.raises(NotConnected, match=r"leads elsewhere"):
            instance.greet()
        instance.close()
        assert other.asked == []


def streamed(told: Fake, url: str, *hosts: str, answer: str = LOOPBACK) -> ConnectorError:
    """Give how a stream of an instance on loopback fails that says to stream from there."""
    told.answers["/api/v1/instance"] = {"uri": "d", "version": "4.5.0", "urls": {"streaming_api": url}}
    base = told.base.replace(LOOPBACK, "localhost")
    instance = Instance(base, TOKEN, 1.0, hosts, lambda host, port: [answer])
    instance.greet()
    stream = Stream(instance, "home", Event())
    with pytest.raises(ConnectorError) as caught:
        stream.attached()
    stream.close()
    instance.close()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ws://{}", "without TLS"),
        ("http://localhost:{port}", "without TLS"),
        ("ws://streaming.localhost:{port}", "without TLS"),
        ("wss://{}", "stream_hosts"),
        ("wss://localhost.example:{port}", "stream_hosts"),
        ("wss://xlocalhost:{port}", "stream_hosts"),
        ("wss://localhost@{}", "stream_hosts"),
        ("wss://localhost:{port}", "not at a public address"),
        ("wss://streaming.localhost:{port}", "not at a public address"),
    ],
)
def test_an_instance_of_mastodon_cannot_have_its_token_sent_elsewhere(server: Replay, url: str, why: str) -> None:
    """A stream on another host, port or without TLS is refused in a line before anything is sent there."""
    port = server.base.rpartition(":")[2]
    with Fake() as told:
        found = streamed(told, url.format(f"{LOOPBACK}:{port}", port=port))
    assert isinstance(found, Refused) and why in str(found)
    assert server.asked == []


@pytest.mark.parametrize("named", [(), ("streaming.localhost",)])
def test_an_instance_of_mastodon_may_stream_below_its_name(server: Replay, named: tuple[str, ...]) -> None:
    """At public addresses, or where a person named the host, whatever its addresses, it is asked, over TLS alone."""
    port = server.base.rpartition(":")[2]
    with Fake() as told:
        found = streamed(told, f"wss://streaming.localhost:{port}", *named, answer=LOOPBACK if named else PUBLIC)
    assert isinstance(found, NotConnected) and str(found).startswith("localhost:")
    assert server.asked == []
