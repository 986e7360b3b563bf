"""Bluesky for real: accounts act on a network of their own, a connector brings it to Kafka, workers say what was done.

acme: job ── bo ── cy ── di        bo, cy and di repost through each other
│             └── kim      follows bo, and names nobody
├── ed: quote ── fay       fay reposts the quote
├── gil                    takes it back
├── hal                    deletes the account; ira had it through hal
│    └── ira
├── a crowd                reposts through each other all the while, and takes some back
└── (jo answers)
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pytest

from connectors.journal import Journal
from spread.events import Gap, Post, Rejected, decode
from spread.hashing import Hashing
from tests import bluesky_network
from tests.bluesky_network import Account, Network, Record
from tests.conftest import IN_CI
from tests.connecting import KEY, Shelf, made, running
from tests.crew import Crew
from tests.drive import expected, ordered
from tests.processes import Child, address, command, environment, until
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


class Deeds:
    """What accounts do on the network, and the events that it makes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._run = time.time_ns() % 10**9
        self._people: dict[str, Account] = {}
        self._events: list[dict[str, Any]] = []

    def meet(self, *names: str) -> None:
        """Make accounts."""
        self._people |= {who: self._network.account(f"{who}{self._run}") for who in names}

    def says(self, who: str, text: str) -> None:
        """Post something that is nobody's business."""
        self._people[who].post(text)

    def publishes(self, who: str) -> Record:
        """Post the offer."""
        return self._add(who, "post", self._people[who].post("We hire", link=URL), None)

    def reposts(self, who: str, job: Record, via: Record | None = None) -> Record:
        """Repost the offer's post, through somebody's repost."""
        return self._add(who, "share", self._people[who].repost(job, via), job, via)

    def quotes(self, who: str, job: Record) -> Record:
        """Quote the offer's post."""
        return self._add(who, "quote", self._people[who].post("look at this", quotes=job), job, job)

    def reposts_quote(self, who: str, quote: Record, job: Record) -> Record:
        """Repost a quote of the offer's post, naming nobody: the share came through the quote all the same."""
        return self._add(who, "share", self._people[who].repost(quote), job, quote)

    def answers(self, who: str, job: Record) -> Record:
        """Answer the offer's post."""
        return self._add(who, "reply", self._people[who].post("me!", answers=job), job, job)

    def follows(self, who: str, whom: str) -> None:
        """Follow somebody who takes part."""
        record = self._people[who].follow(self._people[whom])
        follower = f"bluesky:{self._people[who].did}"
        self._event(whom, "ties", f"bluesky:{record.uri}#followed", record.at, followed_by=[follower])

    def takes_back(self, who: str, record: Record) -> None:
        """Delete what one wrote."""
        self._people[who].take_back(record)
        id = f"bluesky:{record.uri}"
        self._event(who, "delete", f"{id}#deleted", record.at, target=id)

    def leaves(self, who: str) -> None:
        """Delete an account for good."""
        self._network.delete(self._people[who])
        self._event(who, "forget", f"bluesky:{self._people[who].did}#deleted", self._events[-1]["at"])

    @property
    def n(self) -> int:
        """How much was done."""
        return len(self._events)

    def events(self) -> list[dict[str, Any]]:
        """Give the events as they should lie in Kafka: without a name in clear."""
        clear = [event for done in self._events for event in decode(json.dumps(done).encode())]
        assert not [event for event in clear if isinstance(event, Rejected)]
        return [
            json.loads(msgspec.json.encode(HASHING.event(event))) for event in clear if not isinstance(event, Rejected)
        ]

    def dids(self) -> list[str]:
        """Give the names that nobody should see."""
        return [account.did for account in self._people.values()]

    def _add(self, who: str, kind: str, record: Record, root: Record | None, via: Record | None = None) -> Record:
        through = {} if via is None else {"via": f"bluesky:{via.uri}"}
        root = root or record
        self._event(who, kind, f"bluesky:{record.uri}", record.at, offer=OFFER, root=f"bluesky:{root.uri}", **through)
        return record

    def _event(self, who: str, kind: str, id: str, at: int, **more: Any) -> None:
        actor = f"bluesky:{self._people[who].did}"
        event = {"v": 1, "id": id, "kind": kind, "network": "bluesky", "at": at, "actor": actor, **more}
        self._events.append(event)


class Crowd:
    """Accounts that come, repost one through another, and now and then take one back, until the block ends."""

    def __init__(self, deeds: Deeds, job: Record) -> None:
        self._deeds, self._job = deeds, job
        self._enough = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def stop(self) -> None:
        """Have it end, and tell what went wrong."""
        self._enough.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def has_done(self, more: int) -> None:
        """Wait until so much more was done."""
        wanted = self._deeds.n + more
        until(lambda: self._deeds.n >= wanted or not self._thread.is_alive(), "what the crowd does")
        assert self._thread.is_alive(), self._failure

    def _run(self) -> None:
        done: list[Record] = []
        try:
            while not self._enough.is_set() and len(done) < _MOST:
                n = len(done)
                self._deeds.meet(f"crowd{n}")
                via = done[n - 3] if n >= 3 and n % 4 else None
                done.append(self._deeds.reposts(f"crowd{n}", self._job, via))
                if n % 7 == 6:
                    self._deeds.takes_back(f"crowd{n - 4}", done[n - 4])
        except BaseException as error:
            self._failure = error


_MOST = 200
"""What the crowd reposts at most: the oracle is slow."""


def connector(network: Network, hands: Crew) -> Child:
    """Start `ricochet connect bluesky`, that reads the network's firehose into Kafka, and wait until it reads."""
    env = hands.env | {
        "RICOCHET_HASH_KEY": KEY.decode(),
        "RICOCHET_CONNECTORS__BLUESKY__SOURCE": "firehose",
        "RICOCHET_CONNECTORS__BLUESKY__FIREHOSE": f"ws://{network.host}",
        "RICOCHET_CONNECTORS__BLUESKY__LOOKUP_CALLS": "0",
    }
    child = Child(command("connect", "bluesky", "--port", "0"), hands.folder, environment(env))
    child.base = address(child.line('"event": "connecting"'))
    hands.ready(child)
    return child


def messages(child: Child) -> float:
    """Count the messages that a connector has read."""
    return child.samples().get(("ricochet_connector_messages_total", frozenset({("connector", "bluesky")})), 0.0)


def test_the_report_is_what_was_done(network: Network, hands: Crew) -> None:
    """Reposts through reposts, a quote and its repost, an answer, follows, deletions, an account that is gone.

    The connector is killed while a crowd reposts, and started again: the whole report and every edge are what was done.
    """
    (hands.folder / "offers.yaml").write_text(f"- id: {OFFER}\n  title: Hiring\n  urls: [{URL}]\n")
    hands.command("offers", "import", "offers.yaml", "--to", "kafka")
    deeds = Deeds(network)
    deeds.meet("acme", "bo", "cy", "di", "ed", "fay", "gil", "hal", "ira", "jo", "kim")
    worker = hands.start()
    with connector(network, hands) as first:
        job = deeds.publishes("acme")
        deeds.says("jo", "nothing to do with it")
        bo = deeds.reposts("bo", job)
        cy = deeds.reposts("cy", job, via=bo)
        quote = deeds.quotes("ed", job)
        deeds.follows("di", "cy")
        deeds.follows("kim", "bo")
        gil = deeds.reposts("gil", job)
        hal = deeds.reposts("hal", job)
        with Crowd(deeds, job) as crowd:
            read = messages(first)
            until(lambda: messages(first) > read + 10, "the crowd seen")
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
            deeds.reposts("di", job, via=cy)
            deeds.reposts_quote("fay", quote, job)
            deeds.reposts("ira", job, via=hal)
            deeds.answers("jo", job)
            deeds.reposts("kim", job)
            crowd.has_done(10)
            with connector(network, hands) as second:
                crowd.has_done(10)
                crowd.stop()
                deeds.takes_back("gil", gil)
                deeds.leaves("hal")
                wanted = expected(deeds.events())
                (offer,) = (line for line in wanted[0] if line["type"] == "offer")
                until(lambda: worker.nodes(OFFER) == offer["nodes"], "all of it")
                assert second.end() == 0
    hands.caught_up()
    report, edges = hands.report([OFFER])
    assert tuple(ordered(map(json.loads, lines.splitlines())) for lines in (report, edges)) == wanted
    bases = {basis: sum(edge["basis"] == basis for edge in wanted[1]) for basis in ("declared", "inferred", "assumed")}
    assert bases["declared"] > bases["assumed"] > bases["inferred"] == 1
    assert not [did for did in deeds.dids() if did in (report + edges).decode()]


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
