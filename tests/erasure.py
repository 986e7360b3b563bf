"""What tests of erasure tell an installation of two accounts, and the readers that look for them in its stores."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import networkx
import rocksdict
from kafka import KafkaConsumer, TopicPartition
from pyarrow import parquet

from spread.events import AnyEvent, Rejected, decode
from spread.facts import digest
from spread.hashing import Hashing
from spread.partition import partition
from streams.topics import OFFERS_TABLE, PEOPLE_TABLE, REJECTED, Layout
from tests.crew import PARTITIONS, Crew
from tests.processes import Child

KEY = "a key of sixteen"
ENV = {"RICOCHET_HASH_KEY": KEY, "RICOCHET_SUPPRESSION_KEY": "another of sixteen"}
HASHING = Hashing(KEY.encode())
GOES, STAYS, BOSS = "bluesky:did:plc:goes", "bluesky:did:plc:stays", "bluesky:did:plc:boss"
NAMED = {GOES: "Ana Who Goes", STAYS: "Bo Who Stays"}
EVENT: dict[str, Any] = {"v": 1, "network": "bluesky", "offer": "o"}
STEP_MS = 1_000
"""Of a worker's clearing up, with what is set for it."""
FORMATS = ("gexf", "graphml", "csv", "parquet")


def at(account: str, rkey: str) -> str:
    """Name a record of an account."""
    return f"bluesky:at://{account.removeprefix('bluesky:')}/app/{rkey}"


def about(account: str, now: int) -> list[dict[str, Any]]:
    """Tell what an account does, from a moment (ms) on.

    Two shares, of which somebody passes one on, and one that it takes back; a reply, whom it follows and who follows
    it, a follower count.
    """
    root, passed = at(BOSS, "post"), at(account, "passed")
    acts: list[dict[str, Any]] = [
        {"id": at(account, "share"), "kind": "share", "root": root, "followers": 12},
        {"id": passed, "kind": "share", "root": root},
        {"id": at(account, "again"), "kind": "share", "root": root},
        {"id": at(account, "reply"), "kind": "reply", "root": root, "via": root},
        {"id": at(account, "gone"), "kind": "delete", "target": at(account, "again")},
        {"id": at(account, "ties"), "kind": "ties", "follows": [BOSS], "followed_by": [f"{account}fan"]},
        {"id": at(account, "profile"), "kind": "profile", "followers": 13},
    ]
    below = {"id": at(f"{BOSS}{account[-4:]}", "below"), "kind": "share", "root": root, "via": passed}
    theirs = [EVENT | {"at": now + n, "actor": account} | act for n, act in enumerate(acts)]
    return [*theirs, EVENT | {"at": now + len(acts), "actor": f"{BOSS}{account[-4:]}"} | below]


def told(now: int, followed_by: tuple[str, ...] = (GOES, STAYS)) -> list[dict[str, Any]]:
    """Tell of a post, of what two accounts did with it, and of a third whom they follow: seven nodes."""
    post = EVENT | {"id": at(BOSS, "post"), "kind": "post", "root": at(BOSS, "post"), "actor": BOSS}
    ties = EVENT | {"id": at(BOSS, "ties"), "kind": "ties", "actor": BOSS, "followed_by": followed_by}
    both = [one | {"at": now - 30_000} for one in (post, ties)]
    return [*both, *about(GOES, now), *about(STAYS, now)]


def taken_back(now: int) -> list[dict[str, Any]]:
    """Tell that one account takes back all that it did, at a moment (ms)."""
    acts = [at(GOES, rkey) for rkey in ("share", "passed", "again", "reply")]
    return [EVENT | {"id": f"{act}-gone", "kind": "delete", "at": now, "actor": GOES, "target": act} for act in acts]


def share_of(account: str, now: int) -> dict[str, Any]:
    """Tell of one more share of the post, at a moment (ms)."""
    return EVENT | {"id": at(account, "more"), "kind": "share", "root": at(BOSS, "post"), "actor": account, "at": now}


def each_partition() -> list[str]:
    """Give accounts that are in the partitions of `social-events`, hashed, one in each."""
    found: dict[int, str] = {}
    for n in count():
        found.setdefault(partition(HASHING.name(f"bluesky:did:plc:n{n}"), PARTITIONS), f"bluesky:did:plc:n{n}")
        if len(found) == PARTITIONS:
            return [*found.values()]
    raise AssertionError


def without_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tell the same of a network whose ids name nobody."""
    named = ("id", "root", "via", "target")
    return [one | {name: HASHING.name(one[name]) for name in named if name in one} for one in events]


def lines(events: list[dict[str, Any]]) -> bytes:
    """Write events as lines."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def consents() -> str:
    """Write the file of the ambassadors: both accounts agreed."""
    return "account,name,consented\n" + "".join(f"{one},{name},2026-01-02\n" for one, name in NAMED.items())


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
                found += b"\n".join(part for one in records for part in (one.key, one.value, *headers(one)) if part)
        return found
    finally:
        consumer.close()


def headers(record: Any) -> Iterator[bytes]:
    """Give the names and values of a message's headers."""
    for name, value in record.headers:
        yield name.encode()
        yield value


def read(hands: Crew, bare: str) -> bytes:
    """Read all of a topic, or of the changelog of a table."""
    layout = Layout(hands.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
    changelogs = {f"changelog of {table}": layout.changelog(table) for table in (PEOPLE_TABLE, OFFERS_TABLE)}
    n = 1 if bare == REJECTED else PARTITIONS
    return messages(hands.env["RICOCHET_KAFKA"], changelogs.get(bare) or layout.name(bare), n)


def rows(folder: Path, table: str) -> bytes:
    """Read every row of a worker's table from RocksDB, all partitions."""
    found, paths = b"", [path.parent for path in folder.rglob("CURRENT") if f"{table}-" in path.parent.name]
    assert paths
    for path in paths:
        database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
        found += b"\n".join(part for row in database.items() for part in row if isinstance(part, bytes))
        database.close()
    return found


def answered(child: Child) -> dict[str, bytes]:
    """Ask for all that is answered over HTTP of the offer, and for the metrics."""
    paths = ("/metrics", "/alerts", "/offers", *(f"/offers/o{part}" for part in ("", "/nodes", "/edges", "/report")))
    found = {path: child.get(path) for path in paths}
    assert {answer.status_code for answer in found.values()} == {200}
    return {path: answer.content for path, answer in found.items()}


def nodes_of(folder: Path, form: str) -> dict[str, dict[str, Any]]:
    """Read the nodes of the export `o` of a form, by their ids; what is not known is left out."""
    if form in ("gexf", "graphml"):
        graph = getattr(networkx, f"read_{form}")(folder / f"o.{form}")
        found = [{**facts, "id": facts["label"]} for _, facts in graph.nodes(data=True)]
    elif form == "parquet":
        found = parquet.read_table(folder / "o.nodes.parquet").to_pylist()  # type: ignore[no-untyped-call]
    else:
        with (folder / "o.nodes.csv").open(newline="") as file:
            found = [*csv.DictReader(file)]
    return {node["id"]: {name: value for name, value in node.items() if value not in (None, "")} for node in found}
