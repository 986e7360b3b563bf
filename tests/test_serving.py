"""The web servers: who may ask, what every answer carries, and that nobody holds a server up."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.webhook import Hook, Inbox
from ricochet import receiver, serving
from tests.crew import Crew, embedded, offers_of
from tests.crowd import crowd
from tests.processes import HANG_S, Child, ended, good, running, started, until

TOKEN = "0123456789abcdef-geheim"
CLOSED = ("/metrics", "/offers", "/offers/backend", "/offers/backend/edges", "/alerts", "/nothing")
LARGE = 32 * 2**20


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Give a process that wants a token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "events").write_bytes(b"".join(crowd(1, 50)))
    env = {"RICOCHET_WEB_TOKEN_FILE": str(folder / "token")}
    with running(folder / "events", state=folder / "state", env=env) as child:
        yield child


def asked(child: Child, path: str, *authorization: str) -> httpx.Response:
    """Ask with headers of this kind."""
    headers = [("Authorization", one) for one in authorization]
    return httpx.get(child.base + path, headers=headers, timeout=HANG_S)


def basic(user: str, password: str) -> str:
    """Give the header of basic auth."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


WRONG = {
    "nothing": (),
    "empty": ("",),
    "no token": ("Bearer",),
    "another": ("Bearer 0123456789abcdef-geheiM",),
    "a part": (f"Bearer {TOKEN[:-1]}",),
    "more": (f"Bearer {TOKEN}x",),
    "another scheme": (f"Token {TOKEN}",),
    "no scheme": (TOKEN,),
    "wrong password": (basic("ricochet", "falsch"),),
    "the token as the user": (basic(TOKEN, ""),),
    "no base64": ("Basic %%%",),
    "not ASCII": ("Bearer é",),
    "basic, not ASCII": ("Basic é",),
}


@pytest.mark.parametrize("authorization", WRONG.values(), ids=WRONG)
def test_without_the_token_nothing_is_told(guarded: Child, authorization: tuple[str, ...]) -> None:
    """Whoever does not show the token learns nothing, not even what there is; health and readiness are open."""
    for path in CLOSED:
        headers = [(b"authorization", one.encode("latin-1")) for one in authorization]
        answer = httpx.get(guarded.base + path, headers=headers, timeout=HANG_S)
        assert (answer.status_code, answer.text) == (401, '{"error":"show the token"}'), path
        assert "Bearer" in answer.headers["www-authenticate"]
    assert asked(guarded, "/healthz").status_code == 200
    until(lambda: asked(guarded, "/readyz").status_code == 200, "ready")


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("anybody", TOKEN)])
def test_with_the_token_everything_is_told(guarded: Child, authorization: str) -> None:
    """The token is taken as a bearer token and as the password of basic auth."""
    for path, status in (("/metrics", 200), ("/offers", 200), ("/alerts", 200), ("/nothing", 404)):
        assert asked(guarded, path, authorization).status_code == status


def test_every_answer_says_how_it_is_to_be_handled(guarded: Child) -> None:
    """No answer is kept, sniffed, framed or run by a browser, and none tells which server it comes from."""
    for path in ("/healthz", "/offers", "/nothing"):
        for authorization in ((), (f"Bearer {TOKEN}",)):
            headers = asked(guarded, path, *authorization).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "server" not in headers


def test_the_digest_shows_the_token(guarded: Child, tmp_path: Path) -> None:
    """`ricochet digest` asks with the token of its settings; without it, it is refused in a line."""
    env = {"RICOCHET_WEB_TOKEN": TOKEN}
    assert "shares" in good("digest", "--at", guarded.base, cwd=tmp_path, env=env).out
    assert "401" in ended("digest", "--at", guarded.base, cwd=tmp_path).complaint()


def test_workers_lead_to_each_other_with_the_token(hands: Crew) -> None:
    """A report asks one worker, which leads to the other: both want the token, and a wrong one is told in a line."""
    lines = crowd(5, 200)
    report, edges = embedded(lines, hands.folder)
    hands.env["RICOCHET_WEB_TOKEN"] = TOKEN
    for child in (hands.start(), hands.start()):
        hands.ready(child)
    assert len(offers_of(lines)) > 1
    replay = ("replay", "events.jsonl", "--to", "kafka", "--report", "given", "--edges", "given.edges")

    def shared() -> bool:
        """Tell whether each has offers of its own."""
        answers = [asked(child, "/offers", f"Bearer {TOKEN}") for child in hands.hands]
        return all(answer.status_code == 200 and answer.json() for answer in answers)

    hands.command(*replay)
    until(shared, "offers on both workers", every_s=0.2)
    hands.command(*replay)
    assert (hands.folder / "given").read_bytes().splitlines()[:-1] == report.splitlines()
    assert (hands.folder / "given.edges").read_bytes() == edges
    other = hands.env | {"RICOCHET_WEB_TOKEN": TOKEN[::-1]}
    assert "web_token" in ended(*replay, cwd=hands.folder, env=other).complaint()


def test_whoever_is_open_beyond_this_machine_says_so(tmp_path: Path) -> None:
    """Bound beyond loopback without a token, a line warns; with a token, or on loopback, none does."""
    (tmp_path / "e").write_bytes(b"")
    token = {"RICOCHET_WEB_TOKEN": TOKEN}
    for host, env, warns in (("0.0.0.0", {}, True), ("0.0.0.0", token, False), ("127.0.0.1", {}, False)):
        with started("run", "--tail", "e", "--port", "0", "--host", host, cwd=tmp_path, env=env) as child:
            child.line("running")
            assert child.end() == 0
            assert any("open to everybody" in line for line in child.said) == warns
            assert not any(TOKEN in line for line in child.said)


# What a client may do to a server


async def fail(_: Request) -> Response:
    """Fail, as no handler should."""
    raise RuntimeError("geheim")


async def large(_: Request) -> Response:
    """Answer at length."""
    return Response(b"x" * LARGE)


async def small(_: Request) -> Response:
    """Answer in a word."""
    return Response(b"ok")


APP = Starlette(routes=[Route("/", small), Route("/large", large), Route("/fail", fail)])
Talk = Callable[[Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]], Awaitable[None]]


def talk(told: Talk, app: Starlette = APP) -> None:
    """Let a client talk to a server, by as many connections as it opens."""

    async def talking() -> None:
        sock = serving.listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        writers = []

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
            writers.append(writer)
            return reader, writer

        async with asyncio.timeout(HANG_S), serving.bare(app, sock):
            await told(connect)
            for writer in writers:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    asyncio.run(talking())


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, also a rude one."""
    got = bytearray()
    with suppress(ConnectionError):
        while part := await reader.read(2**16):
            got += part
    return bytes(got)


@pytest.mark.parametrize("beginning", [b"", b"GET ", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
@pytest.mark.parametrize("drips", [False, True])
def test_who_does_not_ask_is_let_go(monkeypatch: pytest.MonkeyPatch, beginning: bytes, drips: bool) -> None:
    """A connection that sends nothing, half a request, or a byte now and then, ends."""
    monkeypatch.setattr(serving, "REQUEST_S", 0.3)

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        writer.write(beginning)
        ending = asyncio.ensure_future(rest(reader))
        while drips and not ending.done():
            writer.write(b"x" if beginning.endswith(b": ") else b"")
            await asyncio.sleep(0.05)
        assert await ending == b""

    talk(told)


def test_who_does_not_fetch_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody fetches is thrown away, and the connection ends."""
    monkeypatch.setattr(serving, "FETCH_S", 0.3)

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read(16)).startswith(b"HTTP/1.1 200")
        while not writer.is_closing():  # the reader's buffer is full, so that a lost connection shows in writing
            with suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            await asyncio.sleep(0.05)
        assert len(await rest(reader)) < LARGE

    talk(told)


def test_a_connection_may_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests on one connection, and two at once, are both answered."""

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        for times in (1, 1, 2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * times)
            for _ in range(times):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"

    talk(told)


def test_headers_have_an_end() -> None:
    """Headers that go on and on are refused before they fill the memory."""

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 4 * serving.HEADER_BYTES)
        assert (await rest(reader)).startswith(b"HTTP/1.1 400")

    talk(told)


def test_connections_have_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection too many is closed at once; when another has gone there is room again."""
    monkeypatch.setattr(serving, "CONNECTIONS", 3)

    async def answers(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
        reader, writer = connection
        with suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return (await reader.read(2**16)).startswith(b"HTTP/1.1 200")
        return False

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        held = [await connect() for _ in range(3)]
        assert [await answers(one) for one in held] == [True] * 3
        assert not await answers(await connect())
        held[0][1].close()
        await held[0][1].wait_closed()
        while not await answers(await connect()):
            await asyncio.sleep(0.01)

    talk(told)


@pytest.mark.filterwarnings("ignore")
def test_an_error_tells_nothing() -> None:
    """Where something goes wrong, the answer is 500 and holds nothing of what went wrong."""

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await rest(reader)
        assert answer.startswith(b"HTTP/1.1 500")
        assert answer.endswith(b"Internal Server Error")

    talk(told)


def test_a_body_has_to_come_in_time() -> None:
    """A delivery whose body does not come is answered 408, and nothing of it is taken."""
    inbox = Inbox()
    app = receiver.application([Hook("/hooks/x", lambda delivery: [delivery.body], inbox)], body_s=0.3)

    async def told(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        reader, writer = await connect()
        writer.write(b"POST /hooks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert (await reader.read(64)).startswith(b"HTTP/1.1 408")
        assert inbox.get(0) is None

    talk(told, app)
