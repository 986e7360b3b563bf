"""`ricochet connect` and `ricochet run --connect`, as processes: what they show, refuse, read, and how they end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors import catalogue
from ricochet.connect_cli import QUESTIONS, markdown
from streams.topics import REJECTED
from tests.crew import Crew, read_all
from tests.jetstream import POST, Jetstream, commit, offer_post
from tests.processes import Child, address, ended, good, started, until

KEY = {"RICOCHET_HASH_KEY": "0123456789abcdef"}


class _AppView(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"profiles":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def appview() -> Iterator[str]:
    """Give the address of an AppView that knows nobody."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _AppView) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def jetstream() -> Iterator[Jetstream]:
    """Give a Jetstream."""
    with Jetstream() as server:
        yield server


def options(jetstream: Jetstream, appview: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Give the settings that lead the connector there."""
    return KEY | {
        "RICOCHET_CONNECTORS__BLUESKY__JETSTREAM": jetstream.url,
        "RICOCHET_CONNECTORS__BLUESKY__APPVIEW": appview,
        "RICOCHET_LOG_FORMAT": "json",
    }


def test_list_shows_every_connector(tmp_path: Path) -> None:
    """The table has a line for each connector and a column for each question, as its declaration answers."""
    shown = " ".join(good("connect", "--list", cwd=tmp_path, env={"COLUMNS": "400"}).out.split())
    for question in QUESTIONS.values():
        assert question in shown
    for kind in catalogue.connectors():
        for name in QUESTIONS:
            assert (getattr(kind.declared.abilities, name) or "no") in shown


def test_the_readme_has_the_table() -> None:
    """The README's table of abilities is the one that the declarations make."""
    assert markdown() in (Path(__file__).parents[1] / "README.md").read_text(), "python -m ricochet.connect_cli"


def test_check_says_what_will_be_seen(tmp_path: Path, jetstream: Jetstream, appview: str) -> None:
    """With both ends there all is said to be seen; without the AppView its followers are missed; without a stream 1."""
    whole = good("connect", "bluesky", "--check", cwd=tmp_path, env=options(jetstream, appview)).out
    assert f"sees    followers by {appview}" in whole
    assert "sees    all posts" in whole
    half = good("connect", "bluesky", "--check", cwd=tmp_path, env=options(jetstream)).out
    assert "misses  followers: " in half
    env = options(jetstream) | {"RICOCHET_CONNECTORS__BLUESKY__JETSTREAM": "ws://127.0.0.1:9/subscribe"}
    none = ended("connect", "bluesky", "--check", cwd=tmp_path, env=env)
    assert none.code == 1
    assert none.out == "bluesky: 127.0.0.1:9: ConnectionRefusedError\n"


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        ([], KEY, "name a connector: bluesky"),
        (["myspace"], KEY, "no connector myspace: there are bluesky"),
        (["bluesky"], KEY | {"RICOCHET_CONNECTORS__BLUESKY__SPEED": "9"}, "no option speed"),
        (["bluesky"], KEY | {"RICOCHET_CONNECTORS__BLUESKY__SOURCE": "radio"}, "jetstream or firehose"),
        (["bluesky", "bluesky"], KEY, "a connector runs once"),
        (["bluesky"], {}, "set hash_key"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(tmp_path: Path, args: list[str], env: dict[str, str], said: str) -> None:
    """No name, an unknown one, an option that there is not, one twice, and names of people that nobody would hash."""
    assert said in ended("connect", *args, cwd=tmp_path, env=env).complaint()


def test_without_topics_nothing_starts(tmp_path: Path, kafka: str, prefix: str) -> None:
    """Where the topics are missing, one line says so."""
    env = KEY | {"RICOCHET_KAFKA": kafka, "RICOCHET_TOPIC_PREFIX": prefix}
    assert "is missing" in ended("connect", "bluesky", cwd=tmp_path, env=env).complaint()


def test_without_kafka_nothing_starts(tmp_path: Path) -> None:
    """Where Kafka does not answer, one line says so, and not one more of what its client would say."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        env = KEY | {"RICOCHET_KAFKA": f"127.0.0.1:{deaf.getsockname()[1]}"}
        assert "Kafka at 127.0.0.1" in ended("connect", "bluesky", cwd=tmp_path, env=env).complaint()


def reads(child: Child, jetstream: Jetstream) -> None:
    """Hold a process to it that it reads, says so, and comes back after a cut."""
    until(lambda: child.get("/readyz").status_code == 200, f"ready: {child.said}", 0.1)
    jetstream.say(offer_post(time.time_ns() // 1000))
    bluesky = frozenset({("connector", "bluesky")})

    def metric(name: str) -> float:
        return child.samples().get((f"ricochet_connector_{name}", bluesky), 0)

    until(lambda: metric("messages_total") == 1, "the first message", 0.1)
    jetstream.cut()
    until(lambda: metric("reconnects_total") == 1, "the cut", 0.1)
    jetstream.say(commit("did:plc:a", time.time_ns() // 1000, POST, {"text": 7}, "k"))
    until(lambda: metric("messages_total") >= 2, "a message after the cut", 0.1)
    rejected = child.samples()["ricochet_connector_rejected_total", bluesky | {("reason", "mistyped field")}]
    assert rejected == 1
    assert child.samples()["ricochet_connector_reading", bluesky | {("network", "bluesky")}] == 1
    assert metric("last_message_seconds") < 60


def test_it_reads_until_it_is_told_to_stop(hands: Crew, jetstream: Jetstream) -> None:
    """It says when it is ready, counts what comes, survives a cut, and SIGTERM ends it with its cursor saved.

    What it could not read lies with the dead letters, without a name in it.
    """
    with started("connect", "bluesky", "--port", "0", cwd=hands.folder, env=hands.env | options(jetstream)) as child:
        child.base = address(child.line('"event": "connecting"'))
        reads(child, jetstream)
        assert child.end() == 0
    told = [json.loads(line) for line in child.said]
    assert "not connected" in [line["event"] for line in told]
    (letter,) = read_all(hands, REJECTED, 1)
    assert (letter["reason"], letter["topic"]) == ("mistyped field", "connector bluesky")
    assert (letter["partition"], letter["offset"]) == (None, None)
    assert letter["other_fields"] == ["commit", "did", "kind", "time_us"]
    assert "did:plc:a" not in json.dumps(letter)
    assert (hands.folder / "ricochet-journals" / "bluesky.journal").exists()


def test_refused_credentials_end_it(hands: Crew, jetstream: Jetstream) -> None:
    """Where a network refuses, waiting does not help: with no connector left the command ends in a line, code 2."""
    jetstream.refuse(401)
    done = ended("connect", "bluesky", "--port", "0", cwd=hands.folder, env=hands.env | options(jetstream))
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"ricochet: bluesky: {jetstream.host}: HTTP 401"


def test_the_embedded_engine_runs_connectors(tmp_path: Path, jetstream: Jetstream) -> None:
    """`run --connect` needs no Kafka: the connector's metrics stand beside the offers', and SIGTERM ends both."""
    with started("run", "--connect", "bluesky", "--port", "0", cwd=tmp_path, env=options(jetstream)) as child:
        child.base = address(child.line('"event": "running"'))
        reads(child, jetstream)
        assert child.get("/offers").json() == []
        rejected = ("ricochet_rejected_total", frozenset({("reason", "mistyped field")}))
        until(lambda: child.samples().get(rejected) == 1, "the rejected message to be counted", 0.1)
        assert child.end() == 0
