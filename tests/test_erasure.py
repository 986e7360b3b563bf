"""An erased account is in no store any more: each is read by its own reader, and by that another account is found."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import faust
import msgspec
import pytest
import rocksdict
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from connectors.journal import Entry, Gone, Journal
from connectors.lookups import Lookups
from connectors.near_misses import NearMisses
from spread.events import AnyEvent, Rejected, decode
from spread.facts import digest
from spread.hashing import Hashing
from spread.matching import Guess, Rule
from streams.clock import wall_clock
from streams.tables import RowsTable
from streams.topics import (
    ALERTS,
    OFFER_EVENTS,
    OFFERS_TABLE,
    PEOPLE_TABLE,
    REJECTED,
    SOCIAL_EVENTS,
    SPREAD,
    Layout,
    topics,
)
from tests.broker import Broker, admin
from tests.crew import PARTITIONS, Crew, crew
from tests.processes import good, running, until
from tests.test_run import append

KEY = "a key of sixteen"
ENV = {"RICOCHET_HASH_KEY": KEY, "RICOCHET_SUPPRESSION_KEY": "another of sixteen"}
HASHING = Hashing(KEY.encode())
GOES, STAYS, BOSS = "bluesky:did:plc:goes", "bluesky:did:plc:stays", "bluesky:did:plc:boss"
EVENT: dict[str, Any] = {"v": 1, "network": "bluesky", "offer": "o"}


def at(account: str, rkey: str) -> str:
    """Name a record of an account."""
    return f"bluesky:at://{account.removeprefix('bluesky:')}/app/{rkey}"


def about(account: str) -> list[dict[str, Any]]:
    """Tell what an account does: a share, a reply, whom it follows and who follows it, a follower count, a deletion."""
    now, root = wall_clock() - 60_000, at(BOSS, "post")
    acts: list[dict[str, Any]] = [
        {"id": at(account, "share"), "kind": "share", "root": root, "followers": 12},
        {"id": at(account, "again"), "kind": "share", "root": root},
        {"id": at(account, "reply"), "kind": "reply", "root": root, "via": root},
        {"id": at(account, "gone"), "kind": "delete", "target": at(account, "again")},
        {"id": at(account, "ties"), "kind": "ties", "follows": [BOSS], "followed_by": [f"{account}fan"]},
        {"id": at(account, "profile"), "kind": "profile", "followers": 13},
    ]
    return [EVENT | {"at": now + n, "actor": account} | act for n, act in enumerate(acts)]


def told() -> list[dict[str, Any]]:
    """Tell of a post, of what two accounts did with it, and of a third who follows both."""
    post = EVENT | {"id": at(BOSS, "post"), "kind": "post", "root": at(BOSS, "post"), "actor": BOSS}
    ties = EVENT | {"id": at(BOSS, "ties"), "kind": "ties", "actor": BOSS, "followed_by": [GOES, STAYS]}
    both = [one | {"at": wall_clock() - 90_000} for one in (post, ties)]
    return [*both, *about(GOES), *about(STAYS)]


def lines(events: list[dict[str, Any]]) -> bytes:
    """Write events as lines."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def names(account: str) -> list[bytes]:
    """Give all that could tell an account: in clear, hashed (but for what a compression shares), and as a digest."""
    hashed = HASHING.name(account)
    digests = [digest(name).to_bytes(8, order) for name in (account, hashed) for order in ("little", "big")]
    return [account.removeprefix("bluesky:").encode(), hashed.partition("#")[2][4:22].encode(), *digests]


def decoded(events: list[dict[str, Any]]) -> Iterator[AnyEvent]:
    """Decode events, all of them good ones."""
    for event in decode(json.dumps(events).encode()):
        assert not isinstance(event, Rejected)
        yield event


def tells(account: str, content: bytes) -> bool:
    """Whether some bytes tell of an account."""
    return any(name in content for name in names(account))


# -- readers ---------------------------------------------------------------------------------------------------------


def cells(path: Path) -> dict[str, bytes]:
    """Read every cell of every table of an SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: db.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
    return {table: b"\n".join(b"%b" % raw(cell) for row in found for cell in row) for table, found in rows.items()}


def raw(cell: Any) -> bytes:
    """Give the bytes of a cell."""
    return cell if isinstance(cell, bytes) else str(cell).encode()


def files(folder: Path) -> dict[str, bytes]:
    """Read the bytes of every file below a folder that there is just now."""
    found = {}
    for path in sorted(folder.rglob("*")):
        try:
            found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
    return found


def messages(bootstrap: str, topic: str, partitions: int) -> bytes:
    """Read every message of a topic from its beginning: keys, values and headers."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), b""
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=200).values():
                found += b"\n".join(part for one in records for part in (one.key, one.value) if part)
        return found
    finally:
        consumer.close()


def rows(folder: Path, table: str) -> bytes:
    """Read every row of a worker's table from RocksDB, all partitions."""
    found, paths = b"", [path.parent for path in folder.rglob("CURRENT") if f"{table}-" in path.parent.name]
    assert paths
    for path in paths:
        database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
        found += b"\n".join(part for row in database.items() for part in row if isinstance(part, bytes))
        database.close()
    return found


# -- the embedded engine and the connectors --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an installation without Kafka: the connectors' files tell of both accounts, and so will the events."""
    journals = tmp_path / "ricochet-journals"
    with Journal(journals / "bluesky.journal") as journal:
        for account in (GOES, STAYS):
            journal.note(Entry(at(account, "share"), "share", account, 1, at(BOSS, "post"), "o"))
            journal.note(Entry(at(account, "follow"), "follow", account, 1, BOSS))
            journal.note_gone(Gone(at(account, "x"), 1, account))
        journal.save(journal.turn("cursor", 1))
    with closing(Lookups(journals / "bluesky.lookups", 1)) as lookups:
        lookups.saw(list(decoded(told())))
    with NearMisses(tmp_path / "ricochet.near") as near:
        for account in (GOES, STAYS):
            near.add(at(account, "near"), [Guess("o", 0.4, Rule.TAG, "a hashtag of it")], wall_clock())
    return tmp_path


@pytest.fixture
def stores() -> list[str]:
    """Give the files of the installation that may tell of an account, the state's and the connectors'."""
    return ["ricochet.state", "ricochet.near", "ricochet-journals/bluesky.journal", "ricochet-journals/bluesky.lookups"]


def kept(folder: Path, events: Path) -> dict[str, bytes]:
    """Read all files but that of the events, which is not Ricochet's."""
    return {name: content for name, content in files(folder).items() if name != events.name}


@pytest.mark.parametrize("hashed", [False, True], ids=["in clear", "hashed"])
def test_no_file_tells_of_who_was_erased(folder: Path, stores: list[str], hashed: bool) -> None:
    """While the engine runs: no cell of any table and no byte of any file, its log included; who stays is in each."""
    tail, state = folder / "events.jsonl", folder / "ricochet.state"
    events = told()
    if hashed:
        events = [json.loads(msgspec.json.encode(HASHING.event(event))) for event in decoded(events)]
    else:  # of a network whose ids name nobody
        named = ("id", "root", "via", "target")
        events = [one | {name: HASHING.name(one[name]) for name in named if name in one} for one in events]
    with running(tail, state=state, env=ENV) as child:
        append(tail, lines(events[:1]))
        child.has("o", 1)
        append(tail, lines(events[1:]))
        child.has("o", 3)
        before = {name: cells(folder / name) for name in stores}
        for account in (GOES, STAYS):
            found = {name for name in stores if tells(account, b"".join(before[name].values()))}
            assert found == {*stores}
            assert {table for table, cell in before["ricochet.state"].items() if tells(account, cell)} == {
                "people",
                "offers",
            }
        assert any(tells(GOES, content) for name, content in kept(folder, tail).items() if name.endswith("-wal"))
        ids = {json.loads(line)["id"] for line in child.get("/offers/o/nodes").text.splitlines()}
        good("forget", GOES, cwd=folder, env=ENV)
        child.has("o", 2)
        until(lambda: not any(tells(GOES, content) for content in kept(folder, tail).values()), "gone from all files")
        for name in stores:
            after = cells(folder / name)
            assert not any(tells(GOES, cell) for cell in after.values())
            assert tells(STAYS, b"".join(after.values()))
        answers = [child.get(path).text for path in ("/offers", "/offers/o", "/offers/o/nodes", "/offers/o/edges")]
        assert not any(
            tells(one, text.encode()) for one in (GOES, STAYS) for text in [*answers, child.get("/metrics").text]
        )
        left = {json.loads(line)["id"] for line in answers[2].splitlines()}
        assert (len(ids), len(left)) == (3, 2)
        append(tail, lines(events))
        append(
            tail,
            lines(
                [
                    EVENT
                    | {
                        "id": "bluesky:z",
                        "kind": "share",
                        "root": events[0]["root"],
                        "at": wall_clock(),
                        "actor": "bluesky:z",
                    }
                ]
            ),
        )
        child.has("o", 3)
        assert not any(tells(GOES, content) for content in kept(folder, tail).values())
        assert child.end() == 0
    good("export", "o", "--out", "o.gexf", cwd=folder, env=ENV)
    good("report", "--out", "report", "--edges", "edges", cwd=folder, env=ENV)
    assert not any(tells(GOES, content) for content in kept(folder, tail).values())
    assert (ids - left).pop().encode() not in b"".join(
        (folder / name).read_bytes() for name in ("o.gexf", "report", "edges")
    )


# -- Kafka and the workers -------------------------------------------------------------------------------------------

STEP_MS = 1_000
CARRYING = (SOCIAL_EVENTS, OFFER_EVENTS, REJECTED)
"""The topics that carry accounts for as long as their retention."""


@pytest.fixture
def erasing(own_broker: Broker, prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """Give an installation whose changelogs are compacted every second or so."""
    env = ENV | {"RICOCHET_ENGINE": "kafka", "RICOCHET_ERASURE_HOURS": str(14 * STEP_MS / 3_600_000)}
    with crew(own_broker.bootstrap, prefix, tmp_path, env) as made:
        yield made


def read(hands: Crew, bare: str) -> bytes:
    """Read all of a topic, or of the changelog of a table."""
    layout = Layout(hands.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
    changelogs = {f"changelog of {table}": layout.changelog(table) for table in (PEOPLE_TABLE, OFFERS_TABLE)}
    n = 1 if bare == REJECTED else PARTITIONS
    return messages(hands.env["RICOCHET_KAFKA"], changelogs.get(bare) or layout.name(bare), n)


def _gone(hands: Crew, bare: str) -> bool:
    return not tells(GOES, read(hands, bare))


def expire_now(hands: Crew) -> None:
    """Have the retention of the topics that carry events come at once, as it will by their settings."""
    with admin(hands.env["RICOCHET_KAFKA"]) as client:
        for bare in (*CARRYING, ALERTS):
            name = hands.env["RICOCHET_TOPIC_PREFIX"] + bare
            short = {"retention.ms": "1000", "segment.ms": "1000"}
            for one in short.items():
                client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict([one]))])


def test_kafka_and_the_workers_forget_within_the_bound(erasing: Crew, own_broker: Broker, tmp_path: Path) -> None:
    """No message of any topic, no row and no byte of any file tells of who was erased, also in quiet topics."""
    hands, env = erasing, erasing.env
    child = hands.start()
    hands.ready(child)
    (tmp_path / "events.jsonl").write_bytes(lines(told()))
    good("replay", "events.jsonl", "--to", "kafka", cwd=tmp_path, env=env)
    bad = [
        EVENT | {"kind": "share", "id": f"bluesky:{one}", "actor": HASHING.name(one), "root": 5, "at": 1}
        for one in (GOES, STAYS)
    ]
    with KafkaProducer(bootstrap_servers=env["RICOCHET_KAFKA"]) as producer:
        for one in bad:
            producer.send(env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS, json.dumps(one).encode()).get(60)
    hands.caught_up()
    carrying = [*CARRYING, "changelog of people", "changelog of offers"]
    until(lambda: all(tells(STAYS, read(hands, bare)) for bare in carrying), "the control is in each")
    assert all(tells(GOES, read(hands, bare)) for bare in carrying)
    assert not any(tells(one, read(hands, bare)) for one in (GOES, STAYS) for bare in (SPREAD, ALERTS, "offers"))
    data = tmp_path / "data"
    hands.stop(child)  # what a worker brings back to its disk is in files that nothing is written to any more
    child = hands.start()
    hands.ready(child)
    until(lambda: any(tells(GOES, file) for name, file in files(data).items() if name.endswith(".sst")), "on its disk")
    child.has("o", 3)

    good("forget", GOES, cwd=tmp_path, env=env)
    hands.caught_up()
    child.has("o", 2)
    until(lambda: b'"nodes":2' in read(hands, SPREAD).rpartition(b'"type":"offer"')[2], "a snapshot without it")
    assert not any(
        tells(GOES, child.get(path).content) for path in ("/metrics", "/offers", "/offers/o", "/offers/o/nodes")
    )
    expire_now(hands)
    for bare in carrying:
        until(partial(_gone, hands, bare), f"gone from {bare}", every_s=0.5)
    until(lambda: not any(tells(GOES, content) for content in files(data).values()), "gone from the worker's disk")
    until(
        lambda: not any(tells(GOES, content) for content in files(own_broker.kept).values()), "gone from Kafka's disk"
    )
    assert all(tells(STAYS, read(hands, bare)) for bare in carrying[-2:])
    assert any(tells(STAYS, content) for content in files(own_broker.kept).values())

    good("replay", "events.jsonl", "--to", "kafka", cwd=tmp_path, env=env)
    hands.caught_up()
    child.has("o", 2)
    hands.stop(child)
    for table in (PEOPLE_TABLE, OFFERS_TABLE):
        assert tells(STAYS, rows(data, table))
        assert not tells(GOES, rows(data, table))


def test_a_compaction_takes_deleted_rows_from_every_file(tmp_path: Path) -> None:
    """The files of a partition hold a row until it was deleted and compacted; the others stay, and more may come."""
    app = faust.App("erasure", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), store="memory://")
    table = RowsTable(app, "people", 1, memory=2**20, deletions_ms=4_000)
    (tmp_path / "v1" / "tables").mkdir(parents=True)
    partition = table.partition(0)
    # Few and random, as hashes are: a compression takes away no more than an end or a beginning that others share.
    goes, stays, *others = [Hashing(KEY.encode()).name(str(n)).encode() + bytes(12) for n in range(12)]

    def held() -> bytes:
        return b"".join(files(tmp_path).values())

    partition.write(dict.fromkeys([goes, stays, *others], b"facts"), 1)
    asyncio.run(table.compact(0))
    assert goes[5:23] in held()
    partition.write({goes: None}, 2)
    assert goes[5:23] in held()
    asyncio.run(table.compact(0))
    table.reopen(0)
    assert (goes[5:23] in held(), stays[5:23] in held()) == (False, True)
    partition.write({b"=x:new" + bytes(12): b"more"}, 3)
    assert len([*partition]) == 12


def test_the_topics_are_set_to_the_bound() -> None:
    """Closing segments, compacting twice and telling deletions fit into the time of an erasure."""
    layout = Layout()
    for topic in topics(layout):
        config = {name: int(value) for name, value in topic.config.items() if name.endswith(".ms")}
        if topic.is_compacted:
            once = 2 * config["segment.ms"] + config["max.compaction.lag.ms"]
            assert once + config["delete.retention.ms"] + config["max.compaction.lag.ms"] <= layout.erasure_ms
        elif topic.name in CARRYING:
            assert config["retention.ms"] + config["segment.ms"] < layout.logs_ms
