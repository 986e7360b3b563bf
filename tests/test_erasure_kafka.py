"""What was erased leaves Kafka and the workers within the bound: every topic and file is read, with a control."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import faust
import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from spread.events import DAY_MS
from spread.hashing import Hashing
from streams.clock import wall_clock
from streams.tables import RowsTable
from streams.topics import (
    ALERTS,
    OFFER_EVENTS,
    OFFERS,
    OFFERS_TABLE,
    PEOPLE_TABLE,
    REJECTED,
    SOCIAL_EVENTS,
    SPREAD,
    Layout,
    topics,
)
from tests.broker import Broker, admin
from tests.crew import Crew, crew
from tests.erasure import (
    BOSS,
    ENV,
    EVENT,
    GOES,
    HASHING,
    KEY,
    NAMED,
    STAYS,
    STEP_MS,
    answered,
    at,
    consents,
    each_partition,
    files,
    lines,
    read,
    rows,
    share_of,
    taken_back,
    tells,
    told,
)
from tests.processes import good, until

CARRYING = (SOCIAL_EVENTS, OFFER_EVENTS, REJECTED)
"""The topics that carry accounts for as long as their retention."""
NAMELESS = {SPREAD: b'"nodes":7', ALERTS: b'"takes_off"', OFFERS: b"Data Engineer"}
"""Those that carry none, and what there is to be in them."""


@pytest.fixture
def erasing(own_broker: Broker, prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """Give an installation whose changelogs are compacted every second or so."""
    env = ENV | {"RICOCHET_ENGINE": "kafka", "RICOCHET_ERASURE_HOURS": str(14 * STEP_MS / 3_600_000)}
    # A deletion keeps its name for as long as a log may be read again: for this time and two days.
    env |= {"RICOCHET_EVENT_RETENTION_DAYS": "1", "RICOCHET_THRESHOLDS": '{"takes_off_shares": 2}'}
    (tmp_path / "ambassadors.csv").write_text(consents())
    env["RICOCHET_AMBASSADORS"] = str(tmp_path / "ambassadors.csv")
    with crew(own_broker.bootstrap, prefix, tmp_path, env) as made:
        yield made


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
    (tmp_path / "events.jsonl").write_bytes(lines(told(wall_clock() - 60_000)))
    (tmp_path / "offers.csv").write_text("id,title\no,Data Engineer\n")
    good("offers", "import", "offers.csv", cwd=tmp_path, env=env)
    good("replay", "events.jsonl", "--to", "kafka", cwd=tmp_path, env=env)
    bad = [
        EVENT | {"kind": "share", "id": f"bluesky:{one}", "actor": HASHING.name(one), "root": 5, "at": 1}
        for one in (GOES, STAYS)
    ]
    with KafkaProducer(bootstrap_servers=env["RICOCHET_KAFKA"]) as producer:
        for account, one in zip((GOES, STAYS), bad, strict=True):
            headers = [("from", account.encode())]  # not of ours: nothing but they has an account in clear
            topic = env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
            producer.send(topic, json.dumps(one).encode(), headers=headers).get(60)
    hands.caught_up()
    carrying = [*CARRYING, "changelog of people", "changelog of offers"]
    until(lambda: all(tells(STAYS, read(hands, bare)) for bare in carrying), "the control is in each")
    assert all(tells(GOES, read(hands, bare)) for bare in carrying)
    assert STAYS.encode() in read(hands, SOCIAL_EVENTS), "headers are read"
    for bare, part in NAMELESS.items():
        until(lambda bare=bare, part=part: part in read(hands, bare), f"{part!r} in {bare}", every_s=0.2)  # type: ignore[misc]
        assert not any(tells(one, read(hands, bare)) for one in (GOES, STAYS))
    data = tmp_path / "data"
    hands.stop(child)  # what a worker brings back to its disk is in files that nothing is written to any more
    child = hands.start()
    hands.ready(child)
    until(lambda: any(tells(GOES, file) for name, file in files(data).items() if name.endswith(".sst")), "on its disk")
    child.has("o", 7)
    before = answered(child)
    assert all(name.encode() in before["/offers/o"] for name in NAMED.values())
    assert not any(tells(one, answer) for one in NAMED for answer in before.values())

    good("forget", GOES, cwd=tmp_path, env=env)
    hands.caught_up()
    child.has("o", 5)
    until(lambda: b'"nodes":5' in read(hands, SPREAD).rpartition(b'"type":"offer"')[2], "a snapshot without it")
    after = answered(child)
    assert not any(tells(GOES, answer) or NAMED[GOES].encode() in answer for answer in after.values())
    assert NAMED[STAYS].encode() in after["/offers/o"]
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
    child.has("o", 5)
    hands.stop(child)
    for table in (PEOPLE_TABLE, OFFERS_TABLE):
        assert tells(STAYS, rows(data, table))
        assert not tells(GOES, rows(data, table))


def test_who_took_all_back_leaves_kafka_and_the_workers(erasing: Crew, own_broker: Broker, tmp_path: Path) -> None:
    """Once no log can bring it again, the name of a deletion is in no topic, row or file; another's acts stay."""
    hands, env = erasing, erasing.env
    child = hands.start()
    hands.ready(child)
    now = wall_clock()
    (tmp_path / "events.jsonl").write_bytes(lines([*told(now - 10 * DAY_MS, (STAYS,)), *taken_back(now - 9 * DAY_MS)]))
    good("replay", "events.jsonl", "--to", "kafka", cwd=tmp_path, env=env)
    hands.caught_up()
    child.has("o", 5)
    changelogs = ["changelog of people", "changelog of offers"]
    for account in (GOES, STAYS):
        until(lambda account=account: all(tells(account, read(hands, one)) for one in changelogs), account)  # type: ignore[misc]
    hands.stop(child)  # its name is on the disk too, in the log of the tables
    for table in (PEOPLE_TABLE, OFFERS_TABLE):
        assert tells(GOES, rows(tmp_path / "data", table))
    child = hands.start()
    hands.ready(child)
    later = [
        EVENT | {"kind": "profile", "id": at(one, "later"), "at": now, "actor": one, "followers": 5}
        for one in each_partition()
    ]
    (tmp_path / "later.jsonl").write_bytes(lines([*later, share_of(BOSS, now)]))
    good("replay", "later.jsonl", "--to", "kafka", cwd=tmp_path, env=env)
    hands.caught_up()
    child.has("o", 6)
    expire_now(hands)
    for bare in [*CARRYING, *changelogs]:
        until(partial(_gone, hands, bare), f"gone from {bare}", every_s=0.5)
    until(lambda: not any(tells(GOES, content) for content in files(tmp_path / "data").values()), "gone from the disk")
    assert all(tells(STAYS, read(hands, one)) for one in changelogs)
    assert not any(tells(GOES, answer) for answer in answered(child).values())
    hands.stop(child)
    for table in (PEOPLE_TABLE, OFFERS_TABLE):
        assert (tells(GOES, rows(tmp_path / "data", table)), tells(STAYS, rows(tmp_path / "data", table))) == (
            False,
            True,
        )


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
