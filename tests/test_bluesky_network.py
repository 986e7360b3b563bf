"""Bluesky for real: accounts act on a network of their own, a connector brings it to Kafka, workers say what was done.

acme: job ── bo ── cy ── di        bo, cy and di repost through each other
├── ed: quote ── fay       fay reposts the quote
├── gil                    takes it back
├── hal                    deletes the account; ira had it through hal
│    └── ira
└── (jo answers)
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.journal import Journal
from spread.events import Gap, Post
from spread.hashing import Hashing
from streams.topics import SOCIAL_EVENTS
from tests import bluesky_network
from tests.bluesky_network import Network, Record
from tests.conftest import IN_CI
from tests.connecting import KEY, Shelf, made, running
from tests.crew import Crew
from tests.processes import HANG_S, environment, until
from tests.rehearsals import OFFER, URL

HASHING = Hashing(KEY)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Give a network. Where it can't be had the tests are skipped, in CI they fail."""
    lacking = bluesky_network.missing()
    if lacking is not None:
        if IN_CI:
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)
    with Network() as started:
        yield started


class Connector:
    """A connector in a process, that reads the network's firehose into Kafka."""

    def __init__(self, network: Network, hands: Crew) -> None:
        topic = hands.env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
        options = json.dumps({"source": "firehose", "firehose": f"ws://{network.host}"})
        args = ["bluesky", options, str(hands.folder / "journal"), hands.env["RICOCHET_KAFKA"], topic, "nowhere"]
        self._command = [sys.executable, "-m", "tests.connecting", *args]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it reads."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"reading\n"

    def gone(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def end(self, how: signal.Signals | None = None) -> None:
        """Stop it cleanly, or kill it."""
        assert self._process is not None
        with self._process as process:
            if how is not None:
                process.send_signal(how)
            assert process.stdin is not None
            process.stdin.close()
            self._process = None
            assert process.wait(HANG_S) == (0 if how is None else -how)


@pytest.fixture
def connector(network: Network, hands: Crew) -> Iterator[Connector]:
    """Give a connector to the installation; it does not outlive the test."""
    made = Connector(network, hands)
    yield made
    made.gone()


def name(record: Record) -> str:
    """Give the id of a record as it lies in Kafka."""
    return HASHING.name(f"bluesky:{record['uri']}")


def test_the_report_is_what_was_done(network: Network, hands: Crew, connector: Connector) -> None:
    """Reposts through reposts, a quote and its repost, what was taken back and an account that is gone.

    Killed and started again half way, nothing is lost and nothing counted twice, and every declared parent is right.
    """
    names = ["acme", "bo", "cy", "di", "ed", "fay", "gil", "hal", "ira", "jo"]
    people = {who: network.account(f"{who}{time.time_ns() % 10**9}") for who in names}
    worker = hands.start()
    connector.start()
    job = people["acme"].post("We hire", link=URL)
    people["jo"].post("nothing to do with it")
    bo = people["bo"].repost(job)
    cy = people["cy"].repost(job, via=bo)
    quote = people["ed"].post("look at this", quotes=job)
    people["di"].follow(people["cy"])
    gil = people["gil"].repost(job)
    hal = people["hal"].repost(job)
    until(lambda: worker.nodes(OFFER) == 6, f"the first half: {worker.offer(OFFER).text}")
    connector.end(signal.SIGKILL)
    di = people["di"].repost(job, via=cy)
    fay = people["fay"].repost(quote)
    ira = people["ira"].repost(job, via=hal)
    people["jo"].post("me!", answers=job)
    connector.start()
    until(lambda: worker.nodes(OFFER) == 9, f"the second half: {worker.offer(OFFER).text}")
    people["gil"].take_back(gil)
    network.delete(people["hal"])
    until(lambda: worker.nodes(OFFER) == 7, f"what is gone: {worker.offer(OFFER).text}")
    connector.end()
    hands.caught_up()
    report, edges = hands.report([OFFER])
    assert parents(edges) == {
        name(bo): (name(job), "assumed"),
        name(cy): (name(bo), "declared"),
        name(di): (name(cy), "declared"),
        name(quote): (name(job), "declared"),
        name(fay): (name(quote), "declared"),
        name(ira): (name(hal), "declared"),
    }
    lines: list[dict[str, Any]] = [json.loads(line) for line in report.splitlines()]
    (cascade,) = (line for line in lines if line["type"] == "cascade")
    (offer,) = (line for line in lines if line["type"] == "offer")
    assert cascade["root"] == name(job)
    assert (cascade["nodes"], cascade["participants"], cascade["depth"]) == (7, 7, 3)
    assert cascade["anomalies"] == 0
    assert offer["replies"] == 1
    told = report.decode() + edges.decode()
    assert not [account.did for account in people.values() if account.did in told]


def parents(edges: bytes) -> dict[str, tuple[str, str]]:
    """Give each node's parent and its basis."""
    told = [json.loads(line) for line in edges.splitlines()]
    return {edge["child"]: (edge["parent"], edge["basis"]) for edge in told}


def test_a_number_ahead_of_the_firehose_is_a_gap(network: Network, tmp_path: Path) -> None:
    """A cursor of a host that begins anew is of no use: a gap, and what comes from then on is read."""
    with Journal(tmp_path / "journal") as kept:
        kept.save(kept.turn(f"firehose {network.host} 999999", 1_700_000_000_000))
    poster = network.account(f"late{time.time_ns() % 10**9}")
    shelf = Shelf()
    connector = made("bluesky", {"source": "firehose", "firehose": f"ws://{network.host}"})
    with running(connector, tmp_path / "journal", lambda: shelf):
        until(lambda: [type(event) for event in shelf.events] == [Gap], "the gap")
        poster.post("We hire", link=URL)
        until(lambda: [type(event) for event in shelf.events] == [Gap, Post], "the post")
    with Journal(tmp_path / "journal") as kept:
        assert kept.cursor is not None
        assert kept.cursor != f"firehose {network.host} 999999"
