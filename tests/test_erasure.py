"""An erased account is in no store any more: each is read by its own reader, and by that another account is found."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from connectors.journal import Entry, Gone, Journal
from connectors.lookups import Lookups, OpenList
from connectors.near_misses import NearMisses
from spread.events import DAY_MS
from spread.matching import Guess, Rule
from streams.clock import wall_clock
from tests.erasure import (
    BOSS,
    ENV,
    EVENT,
    FORMATS,
    GOES,
    HASHING,
    NAMED,
    STAYS,
    answered,
    at,
    cells,
    consents,
    decoded,
    files,
    lines,
    nodes_of,
    share_of,
    taken_back,
    tells,
    told,
    without_ids,
)
from tests.processes import good, running, until
from tests.test_run import append

BOTH = (GOES, STAYS)
JOURNAL, LOOKUPS = "ricochet-journals/bluesky.journal", "ricochet-journals/bluesky.lookups"
STORES = {
    "ricochet.state": {"people", "offers"},
    "ricochet.near": {"near"},
    JOURNAL: {"entry", "gone"},
    LOOKUPS: {"candidate", "open_list", "open_row"},
}
"""The files of the installation that tell of an account, and their tables that do."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an installation without Kafka: the connectors' files tell of both accounts, and so will the events."""
    with Journal(tmp_path / JOURNAL) as journal:
        for account in BOTH:
            journal.note(Entry(at(account, "share"), "share", account, 1, at(BOSS, "post"), "o"))
            journal.note(Entry(at(account, "follow"), "follow", account, 1, BOSS))
            journal.note_gone(Gone(at(account, "x"), 1, account))
        journal.save(journal.turn("cursor", 1))
    with closing(Lookups(tmp_path / LOOKUPS, 1)) as lookups:
        lookups.saw(list(decoded(told(wall_clock()))))
        for account in BOTH:
            lookups.add_page(OpenList(account, "follows", 1, "next"), [BOSS], 1, 0)
        lookups.add_page(OpenList(BOSS, "followed_by", 1, "next"), BOTH, 1, 0)
    with NearMisses(tmp_path / "ricochet.near") as near:
        for account in BOTH:
            near.add(at(account, "near"), [Guess("o", 0.4, Rule.TAG, "a hashtag of it")], wall_clock())
    (tmp_path / "ambassadors.csv").write_text(consents())
    return tmp_path


def kept(folder: Path, events: Path) -> dict[str, bytes]:
    """Read all files of Ricochet: not that of the events, nor that of who agreed to be named."""
    return {name: content for name, content in files(folder).items() if name not in (events.name, "ambassadors.csv")}


def telling(folder: Path, account: str) -> dict[str, set[str]]:
    """Give the tables of each store that tell of an account."""
    there = [store for store in STORES if (folder / store).exists()]
    found = {store: {table for table, cell in cells(folder / store).items() if tells(account, cell)} for store in there}
    return {store: tables for store, tables in found.items() if tables}


@pytest.mark.parametrize("hashed", [False, True], ids=["in clear", "hashed"])
def test_no_file_tells_of_who_was_erased(folder: Path, hashed: bool) -> None:
    """While the engine runs: no cell of any table and no byte of any file, its log included; who stays is in each."""
    tail, now = folder / "events.jsonl", wall_clock() - 60_000
    events = told(now)
    if hashed:
        events = [json.loads(msgspec.json.encode(HASHING.event(event))) for event in decoded(events)]
    else:
        events = without_ids(events)
    ids = {
        kind: {account: HASHING.name(at(account, rkey)) for account in BOTH}
        for kind, rkey in {"leaf": "share", "joint": "passed"}.items()
    }
    env = ENV | {"RICOCHET_AMBASSADORS": "ambassadors.csv"}
    with running(tail, state=folder / "ricochet.state", env=env) as child:
        append(tail, lines(events[:1]))
        child.has("o", 1)
        append(tail, lines(events[1:]))
        child.has("o", 7)
        assert [telling(folder, account) for account in BOTH] == [STORES, STORES]
        assert any(tells(GOES, content) for name, content in kept(folder, tail).items() if name.endswith("-wal"))
        before = answered(child)
        assert all(name.encode() in before["/offers/o"] for name in NAMED.values())
        assert not any(tells(one, answer) for one in BOTH for answer in before.values())
        assert all(id.encode() in before["/offers/o/nodes"] for kind in ids.values() for id in kind.values())

        child.kill(signal.SIGSTOP)  # the erasure waits in the state file until the engine takes it in
        good("forget", GOES, cwd=folder, env=ENV)
        assert tells(GOES, cells(folder / "ricochet.state")["corrections"])
        child.kill(signal.SIGCONT)
        child.has("o", 5)
        until(lambda: not any(tells(GOES, content) for content in kept(folder, tail).values()), "gone from all files")
        assert [telling(folder, account) for account in BOTH] == [{}, STORES]
        after = answered(child)
        assert not any(tells(one, answer) for one in BOTH for answer in after.values())
        assert {name: name.encode() in after["/offers/o"] for name in NAMED.values()} == {
            NAMED[GOES]: False,
            NAMED[STAYS]: True,
        }
        assert not any(NAMED[GOES].encode() in answer for answer in after.values())
        append(tail, lines(events))
        late = {"id": "bluesky:z", "kind": "share", "root": events[0]["root"], "at": wall_clock(), "actor": "bluesky:z"}
        append(tail, lines([EVENT | late]))
        child.has("o", 6)
        assert not any(tells(GOES, content) for content in kept(folder, tail).values())
        assert child.end() == 0
    for form in FORMATS:
        good("export", "o", "--out", f"o.{form}", cwd=folder, env=ENV)
        nodes = nodes_of(folder, form)
        assert ids["leaf"][GOES] not in nodes
        assert {"kind": "gone"}.items() <= nodes[ids["joint"][GOES]].items()
        assert not {"at", "followers", "depth"} & nodes[ids["joint"][GOES]].keys()
        assert nodes[ids["leaf"][STAYS]]["kind"] == nodes[ids["joint"][STAYS]]["kind"] == "share"
        assert str(nodes[ids["leaf"][STAYS]]["followers"]) in ("12", "13")
    good("report", "--out", "report", "--edges", "edges", cwd=folder, env=ENV)
    edges = (folder / "edges").read_text()
    assert (ids["leaf"][GOES] in edges, ids["leaf"][STAYS] in edges) == (False, True)
    assert not any(tells(GOES, content) for content in kept(folder, tail).values())


def test_no_file_tells_of_who_took_all_back(tmp_path: Path) -> None:
    """Once no log can bring it again, the name of a deletion is in no table and no byte of the state; others' stay."""
    tail, now = tmp_path / "events.jsonl", wall_clock()
    events = without_ids([*told(now - 10 * DAY_MS, (STAYS,)), *taken_back(now - 9 * DAY_MS)])
    env = ENV | {"RICOCHET_EVENT_RETENTION_DAYS": "1"}
    with running(tail, state=tmp_path / "ricochet.state", env=env) as child:
        append(tail, lines(events))
        child.has("o", 5)
        for account in BOTH:
            assert telling(tmp_path, account) == {"ricochet.state": {"people", "offers"}}
        append(tail, lines(without_ids([share_of(BOSS, now)])))
        child.has("o", 6)
        until(lambda: not any(tells(GOES, content) for content in kept(tmp_path, tail).values()), "gone from all files")
        assert telling(tmp_path, STAYS) == {"ricochet.state": {"people", "offers"}}
        assert not any(tells(GOES, answer) for answer in answered(child).values())
        assert child.end() == 0


def test_a_journal_lets_go_of_what_was_taken_back(tmp_path: Path) -> None:
    """A deletion leaves with its time, an act with the retention of its network; no byte of the file tells of it."""
    now = wall_clock()
    with Journal(tmp_path / JOURNAL) as journal:
        for account, moment in ((GOES, now - 40 * DAY_MS), (STAYS, now)):
            journal.note(Entry(at(account, "share"), "share", account, moment, at(BOSS, "post"), "o"))
            journal.note_gone(Gone(at(account, "x"), moment, account))
        journal.save(journal.turn("cursor", now - 40 * DAY_MS))
        assert telling(tmp_path, GOES) == telling(tmp_path, STAYS) == {JOURNAL: {"entry", "gone"}}
        journal.save(journal.turn("cursor", now))
        journal.prune(now - 30 * DAY_MS)
        assert (telling(tmp_path, GOES), telling(tmp_path, STAYS)) == ({}, {JOURNAL: {"entry", "gone"}})
        assert not any(tells(GOES, content) for content in files(tmp_path).values())
