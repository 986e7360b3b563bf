"""The standard suite: what every connector of the catalogue does, against its rehearsal."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors import catalogue
from connectors.connector import Connector
from connectors.door import DeadLetters, Door, DoorError
from connectors.journal import Journal
from connectors.runner import Runner
from ricochet.connector_metrics import ConnectorCollector
from spread.events import AnyEvent, Gap
from spread.hashing import Hashing
from streams.cluster import Cluster, ClusterError
from streams.letters import foreign_letter
from tests import broker
from tests.connecting import HELD, KEY, Looking, Notes, Shelf, made, running
from tests.processes import HANG_S, environment, until
from tests.pulled import PulledRehearsal
from tests.rehearsals import Rehearsal, rehearsals
from tests.test_door import events_in, messages

HASHING = Hashing(KEY)


@pytest.fixture(params=list(catalogue.CATALOGUE))
def name(request: pytest.FixtureRequest) -> str:
    """Give each connector of the catalogue."""
    return str(request.param)


@pytest.fixture
def network(name: str) -> Iterator[Rehearsal]:
    """Give its network in small."""
    with rehearsals()[name]() as started:
        yield started


@pytest.fixture
def connector(name: str, network: Rehearsal) -> Connector:
    """Make it, so that it reaches its network in small."""
    return made(name, network.options, Looking())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a place for its journal."""
    return tmp_path / "journal"


def same(events: list[AnyEvent]) -> dict[str, AnyEvent]:
    """Give events by id; what came twice came the same, but for the way it came."""
    found: dict[str, AnyEvent] = {}
    for event in (msgspec.structs.replace(one, source=None) for one in events):
        assert found.setdefault(event.id, event) == event
    return found


def has(shelf: Shelf, ids: list[str]) -> bool:
    """Tell whether all of these came."""
    return shelf.ids() >= {*ids}


def _same(shelf: Shelf) -> Shelf:
    return shelf


def cursor(path: Path) -> str | None:
    """Read the cursor that is saved."""
    with Journal(path) as kept:
        return kept.cursor


def test_there_is_a_rehearsal_for_every_connector() -> None:
    """Every connector of the catalogue has a rehearsal, and no rehearsal is without one."""
    assert list(rehearsals()) == list(catalogue.CATALOGUE)


def test_it_is_declared(name: str) -> None:
    """Its name is that of the catalogue, and every option, of a name that is none of another's, is explained."""
    declared = catalogue.connector(name).declared
    assert declared.name == name
    assert declared.summary
    names = [option.name for option in declared.options]
    assert len(names) == len(set(names))
    assert all(option.help.endswith(".") for option in declared.options)


def test_it_goes_on_after_the_last_safe_message(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """Stopped and started again, nothing is lost and nothing differs; where all was safe, it does not begin anew."""
    first, second = Shelf(), Shelf()
    with running(connector, journal, lambda: first):
        network.spread(20)
        until(lambda: first.ids() >= {*network.acts}, "the first events")
    saved = cursor(journal)
    assert saved is not None
    before = {*network.acts}
    network.spread(10)
    with running(connector, journal, lambda: second):
        until(lambda: second.ids() >= {*network.acts} - before, "the events from while it was stopped")
        until(lambda: cursor(journal) != saved, "a cursor behind them")
    assert same(first.events + second.events).keys() == {*network.acts}


def test_what_is_not_safe_is_read_again(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """The cursor stays where it is until the events are safe: a stop before that loses nothing."""
    held, taken = Shelf(holds=True), Shelf()
    with running(connector, journal, Shelf):
        network.spread(1)
        until(lambda: cursor(journal) is not None, "a first cursor")
    before = cursor(journal)
    with running(connector, journal, lambda: held):
        network.spread(20)
        until(lambda: held.ids() >= {*network.acts[2:]}, "the events")
    assert cursor(journal) == before
    with running(connector, journal, lambda: taken):
        until(lambda: taken.ids() >= {*network.acts[2:]}, "the events again")
    same(held.events + taken.events)


def test_a_broken_connection_loses_nothing(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """Cut off in the middle of a message, again and again, it comes back, and has everything once."""
    shelf = Shelf()

    def broken(one: Runner, times: int) -> bool:
        return one.status.reconnects >= times

    with running(connector, journal, lambda: shelf) as one:
        for times in range(1, 4):
            network.spread(5)
            until(lambda: shelf.ids() >= {*network.acts}, "the events")
            network.cut()
            until(partial(broken, one, times), "the connection to break")
        network.spread(5)
        until(lambda: shelf.ids() >= {*network.acts}, "the events after")
    assert same(shelf.events).keys() == {*network.acts}


def test_the_same_page_twice_gives_the_same_events(connector: Connector, network: Rehearsal, tmp_path: Path) -> None:
    """Read twice from the same place, the same messages become the same events, field by field."""
    shelves = [Shelf(), Shelf()]
    with running(connector, tmp_path / "start", Shelf):
        network.spread(1)
        until(lambda: cursor(tmp_path / "start") is not None, "a cursor")
    start = (tmp_path / "start").read_bytes()
    network.spread(20)
    for number, shelf in enumerate(shelves):
        (tmp_path / str(number)).write_bytes(start)
        with running(connector, tmp_path / str(number), partial(_same, shelf)):
            until(partial(has, shelf, network.acts[2:]), "the events")
    assert same(shelves[0].events) == same(shelves[1].events)


def test_a_rejected_cursor_is_a_cold_start_with_a_gap(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """Where the network does not take the cursor, a gap from the last message heard is told, and it reads on."""
    heard = 1_700_000_000_000
    with Journal(journal) as kept:
        kept.save(kept.turn(network.stale_cursor, heard))
    shelf = Shelf()
    began = time.time()
    with running(connector, journal, lambda: shelf) as one:
        until(lambda: any(isinstance(event, Gap) for event in shelf.events), "the gap")
        found = time.time()
        network.spread(5)
        until(lambda: shelf.ids() >= {*network.acts}, "the events")
        assert one.status.gaps == 1
        families = {family.name: family for family in ConnectorCollector(lambda: [one.status], tuple).collect()}
        (told,) = families["ricochet_connector_last_gap_timestamp_seconds"].samples
        assert began <= told.value <= found
    (gap,) = {event.id: event for event in shelf.events if isinstance(event, Gap)}.values()
    assert gap.from_ == heard
    assert heard < gap.to_ <= time.time_ns() // 1_000_000
    assert cursor(journal) not in (None, network.stale_cursor)


@pytest.mark.parametrize("name", [name for name, of in rehearsals().items() if of.limits])
def test_a_rate_limit_is_honoured(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """After a 429 the network is left alone until the moment it names, and then nothing is lost."""
    shelf, notes = Shelf(), Notes()
    network.limit(2)
    with running(connector, journal, lambda: shelf, notes, waits=False) as one:
        until(lambda: one.status.rate_limits == 1, "the limit")
        until(lambda: one.status.state == "reading", "reading")
        network.spread(3)
        until(lambda: shelf.ids() >= {*network.acts}, "the events")
    assert network.calls[1] - network.calls[0] >= 2
    assert any(line == "rate limited" for line, _ in notes.lines)


@pytest.mark.parametrize("name", [name for name, of in rehearsals().items() if issubclass(of, PulledRehearsal)])
@pytest.mark.parametrize(("sign_of_life", "every_s"), [(b"", HANG_S), (b"1\r\n \r\n", 0.05)])
def test_an_answer_that_does_not_come_is_given_up(
    connector: Connector,
    network: Rehearsal,
    journal: Path,
    sign_of_life: bytes,
    every_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sign of life and then silence, or signs of life without end: it is given up, asked again, and loses nothing."""
    monkeypatch.setattr("connectors.api._TIMEOUT_S", 0.5)
    monkeypatch.setattr("connectors.api._WHOLE_S", 1.0)
    assert isinstance(network, PulledRehearsal)
    shelf, notes = Shelf(), Notes()
    with running(connector, journal, lambda: shelf, notes) as one:
        network.spread(2)
        until(lambda: shelf.ids() >= {*network.acts}, "the events")
        network.hush(sign_of_life, every_s)
        until(lambda: one.status.reconnects == 1, f"the silence found out: {one.status}")
        network.spread(2)
        until(lambda: shelf.ids() >= {*network.acts}, "the events after")
        assert one.status.gaps == 0
    assert same(shelf.events).keys() >= {*network.acts}
    (why,) = (str(more["why"]) for line, more in notes.lines if line == "not connected")
    assert ("ReadTimeout" if every_s == HANG_S else "takes over 1 s") in why


class _Falling(Shelf):
    """A sink that takes some events and then falls."""

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        super().publish(events)
        if len(self.events) > 5:
            raise DoorError("it fell")


def test_what_fell_with_its_door_is_read_again(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """Where the door fails, another is opened, and all that was not safe goes through that."""
    fallen, standing = _Falling(), Shelf()
    doors: list[Shelf] = [fallen, standing]
    with running(connector, journal, lambda: doors.pop(0)) as one:
        network.spread(20)
        until(lambda: standing.ids() >= {*network.acts}, f"the events: {one.status}")
    assert fallen.events
    same(fallen.events + standing.events)


def test_it_stops_while_its_door_hangs(connector: Connector, network: Rehearsal, journal: Path) -> None:
    """Told to stop while nothing becomes safe, it ends all the same, and its cursor stays behind."""
    door = _Hanging()
    with running(connector, journal, lambda: door):
        network.spread(20)
        until(door.waits.is_set, "the door to hang")
    with running(connector, journal, Shelf) as one:
        assert one.status.state == "reading"


class _Hanging(Shelf):
    """A sink that takes events and never returns, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self._closed = threading.Event(), threading.Event()

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        self.waits.set()
        self._closed.wait(HANG_S)
        raise DoorError("the door is closed")

    def close(self) -> None:
        self._closed.set()


def test_its_secrets_never_show(name: str, network: Rehearsal, journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither texts of its options and of itself, nor its log or the libraries' at any level, nor its errors do.

    Neither where the network takes its secrets, nor where it does not.
    """
    declared = {option.name for option in catalogue.connector(name).declared.options if option.secret}
    assert declared <= {*network.options}, "a rehearsal gives each secret"
    taken = {option: str(network.options[option]) for option in declared}
    others = {option: f"geheim-{option}" for option in declared}
    shelf, said = Shelf(), ""
    caplog.set_level(logging.DEBUG)
    for given in (taken, others):
        connector, notes = made(name, network.options | given, Looking()), Notes()
        with running(connector, journal, lambda: shelf, notes, waits=False) as one:
            until(lambda one=one: one.status.state != "starting", "a first answer")  # type: ignore[misc]
            network.spread(1)
            if given is taken:
                until(lambda: shelf.ids() >= {*network.acts}, "the events")
            network.cut()
            network.spread(1)
            if given is taken:
                until(lambda: shelf.ids() >= {*network.acts}, "the events after a cut")
            said += repr(connector.options) + repr(connector) + repr(vars(one.status)) + repr(notes.lines)
    said += caplog.text
    assert not [secret for secret in [*taken.values(), *others.values(), *network.secrets] if secret in said]
    assert {catalogue.shown(name, others)[option] for option in declared} <= {"**********"}


def told(servers: str, topic: str) -> list[Any]:
    """Read all messages of a topic of one partition."""
    with Cluster(servers) as cluster:
        ends = cluster.ends(topic, 1)
    return list(messages(servers, topic, {0: ends[0] - 1})) if ends[0] else []


@pytest.fixture
def topic(kafka: str, prefix: str) -> str:
    """Make a topic of one partition."""
    with broker.admin(kafka) as client:
        client.create_topics({f"{prefix}social": {"num_partitions": 1, "replication_factor": 1}})
        client.wait_for_topics([f"{prefix}social"])
    return f"{prefix}social"


def test_no_name_passes_the_door(
    connector: Connector, network: Rehearsal, journal: Path, kafka: str, topic: str
) -> None:
    """With a key, what lies in Kafka holds no account and no post in clear."""
    wanted = set()
    with running(connector, journal, lambda: Door(kafka, topic, hashing=HASHING)):
        network.spread(20)
        wanted |= {HASHING.name(id) for id in network.acts}
        until(lambda: wanted <= {event.id for event in events_in(told(kafka, topic))}, "the events in Kafka", 0.2)
    lying = b"".join(record.value + record.key for record in told(kafka, topic) if record.key).decode()
    assert network.names
    assert not [clear for clear in network.names if clear in lying]


def test_no_name_stands_in_a_dead_letter(
    connector: Connector, network: Rehearsal, journal: Path, kafka: str, topic: str
) -> None:
    """What can't be read, full of names in clear, becomes dead letters and lines of the log that hold none of them."""
    letters, notes = DeadLetters(f"{topic}-rejected", foreign_letter), Notes()
    with broker.admin(kafka) as client:
        client.create_topics({letters.topic: {"num_partitions": 1, "replication_factor": 1}})
        client.wait_for_topics([letters.topic])
    with running(connector, journal, lambda: Door(kafka, topic, hashing=HASHING, letters=letters), notes) as one:
        network.spread(1)
        until(lambda: one.status.heard_ms is not None, "a first cursor")
        network.garble()
        network.spread(1)
        wanted = {HASHING.name(id) for id in network.acts}
        until(lambda: wanted <= {event.id for event in events_in(told(kafka, topic))}, "what can be read", 0.2)
        assert one.status.rejected
    lying = told(kafka, letters.topic)
    assert len(lying) >= one.status.rejected.total()
    said = b"".join(record.value for record in lying).decode() + repr(notes.lines) + repr(vars(one.status))
    assert not [clear for clear in network.names if clear in said]
    assert {record.key for record in lying} == {None}


@pytest.mark.parametrize("where", ["before the cursor", "in a page"])
def test_a_kill_loses_nothing(name: str, network: Rehearsal, journal: Path, kafka: str, topic: str, where: str) -> None:
    """Killed when events are in Kafka and the cursor is not saved, or only half of a page is in: exact, both times."""
    with Journal(journal) as kept:
        kept.save(kept.turn(None, None))
    with running(made(name, network.options, Looking()), journal, Shelf):
        network.spread(1)
        until(lambda: cursor(journal) is not None, "a first cursor")
    network.spread(40)
    wanted = {HASHING.name(id) for id in network.acts[2:]}
    args = ["tests.connecting", name, json.dumps(network.options), str(journal), kafka, topic]
    for point, code in ((where, -9), ("nowhere", 0)):
        child = subprocess.Popen(
            [sys.executable, "-m", *args, point],
            stdin=subprocess.PIPE,
            env=environment(),
            cwd=Path(__file__).parents[1],
        )
        with child:
            assert child.stdin is not None
            try:
                if code == 0:
                    until(lambda: wanted <= {e.id for e in events_in(told(kafka, topic))}, "all events", 0.2)
                    child.stdin.close()
                assert child.wait(HANG_S) == code
            finally:
                child.kill()
        if code:
            assert told(kafka, topic), "it died with events in Kafka"
    found = same(events_in(told(kafka, topic)))
    assert {id for id in found if id in wanted} == wanted
    assert found.keys() <= {HASHING.name(id) for id in network.acts}


AWAY_S = 30


def told_by_now(servers: str, topic: str) -> list[Any]:
    """Read what can be read: a broker that comes back has no leader for its partitions at first."""
    try:
        return told(servers, topic)
    except ClusterError:
        return []


@pytest.fixture(scope="module")
def pausable(kafka_tools: None) -> Iterator[broker.Broker]:
    """Give a broker that can be paused, with a topic of one partition for each connector."""
    if broker.missing() is not None:
        pytest.skip("a broker that can be paused is asked for, and there is only that of KAFKA_BOOTSTRAP")
    with broker.Broker() as started:
        with broker.admin(started.bootstrap) as client:
            client.create_topics({name: {"num_partitions": 1, "replication_factor": 1} for name in catalogue.CATALOGUE})
            client.wait_for_topics([*catalogue.CATALOGUE])
        yield started


def test_kafka_may_be_away(
    name: str, connector: Connector, network: Rehearsal, journal: Path, pausable: broker.Broker
) -> None:
    """Half a minute without Kafka: what waits is bounded, the cursor stays behind, and after it everything is there."""
    servers = pausable.bootstrap
    doors: list[Door] = []

    def door() -> Door:
        doors.append(Door(servers, name, hashing=HASHING, held_bytes=HELD))
        return doors[-1]

    def held() -> int:
        now = doors[-1].held
        assert now <= HELD + 4 * 1024
        return now

    with running(connector, journal, door) as one:
        network.spread(1)
        until(lambda: one.status.heard_ms is not None, "a first cursor")
        pausable.pause()
        try:
            network.spread(1_000)
            until(lambda: held() > HELD - 4 * 1024, "the bound", hang_s=120)
            before, away = cursor(journal), time.monotonic() + AWAY_S
            until(lambda: held() > HELD - 4 * 1024 and time.monotonic() > away, "half a minute", 0.1)
            assert cursor(journal) == before
        finally:
            pausable.resume()
        wanted = {HASHING.name(id) for id in network.acts}
        until(lambda: wanted <= {event.id for event in events_in(told_by_now(servers, name))}, "everything", 0.5)
    assert same(events_in(told(servers, name))).keys() == wanted


READ_AHEAD = 2_000
"""Messages that may have been read while nothing goes on: those that the door holds, a page, and room to spare."""
GROWTH = 12 * 2**20
MANY = 50_000


def test_what_is_read_ahead_is_bounded(
    name: str, network: Rehearsal, journal: Path, pausable: broker.Broker, prefix: str
) -> None:
    """While Kafka is away a process stops to read and does not grow, however much the network has to say."""
    servers = pausable.bootstrap
    with broker.admin(servers) as client:
        client.create_topics({prefix: {"num_partitions": 1, "replication_factor": 1}})
        client.wait_for_topics([prefix])
    args = ["tests.connecting", name, json.dumps(network.options), str(journal), servers, prefix, "nowhere"]
    with subprocess.Popen(
        [sys.executable, "-m", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=Path(__file__).parents[1],
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        asks, says = child.stdin, child.stdout

        def state() -> tuple[int, int]:
            """Give the messages that it has read, and the bytes that wait for Kafka."""
            print(file=asks, flush=True)
            read, held = map(int, says.readline().split())
            assert (read <= READ_AHEAD, held <= HELD + 4 * 1024) == (True, True), (read, held)
            return read, held

        def resident() -> int:
            """Give the bytes of memory that it takes."""
            (line,) = (one for one in Path(f"/proc/{child.pid}/status").read_text().splitlines() if "VmRSS" in one)
            return int(line.split()[1]) * 1024

        try:
            assert says.readline() == "reading\n"
            network.spread(1)
            until(lambda: bool(told_by_now(servers, prefix)), "the first events in Kafka", 0.1)
            pausable.pause()
            network.spread(1_000)
            until(lambda: state()[1] > HELD - 4 * 1024, "the bound", 0.1, hang_s=120)
            took = resident()
            network.spread(MANY)
            away = time.monotonic() + AWAY_S / 2

            def grown() -> bool:
                """Tell whether it was left alone for long enough, and hold it to its size all the while."""
                state()
                assert resident() - took < GROWTH, f"grew by {(resident() - took) >> 20} MiB"
                return time.monotonic() > away

            until(grown, "a quarter of a minute", 0.1)
        finally:
            pausable.resume()
            child.kill()
