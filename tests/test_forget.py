"""`ricochet forget`: an account leaves the engine and every file of the connectors; who is not meant stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors import database
from connectors.journal import Entry, Gone, Journal
from connectors.lookups import Lookups
from connectors.near_misses import NearMisses
from ricochet import forgetting, settings
from spread.hashing import Hashing
from spread.matching import Guess, Rule
from streams.clock import wall_clock
from tests.crew import Crew, read_all
from tests.crowd import NOON
from tests.processes import ended, good, running
from tests.test_offers_cli import nodes
from tests.test_run import POST, append, post, share

KEY = "a key of sixteen"
HASHED = {"RICOCHET_HASH_KEY": KEY}
HASHING = Hashing(KEY.encode())
ANA, BO = "bluesky:did:plc:ana", "bluesky:did:plc:bo"


def at(account: str, rkey: str) -> str:
    """Name a record of an account."""
    return f"bluesky:at://{account.removeprefix('bluesky:')}/app/{rkey}"


def entries(account: str) -> list[Entry]:
    """Give what a journal holds of an account: a post, a share of Ana's post, a follow."""
    return [
        Entry(at(account, "post"), "post", account, 1, at(account, "post"), "o"),
        Entry(at(account, "quote"), "quote", account, 2, at(ANA, "post"), "o"),
        Entry(at(account, "follow"), "follow", account, 3, BO if account == ANA else ANA),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an installation: a state, and connectors' files that name two accounts each."""
    journals = tmp_path / "ricochet-journals"
    (tmp_path / "events.jsonl").write_bytes(post() + share(2) + share(3))
    good("replay", "events.jsonl", "--state", "ricochet.state", cwd=tmp_path)
    for name in ("bluesky", "import-bluesky"):
        with Journal(journals / f"{name}.journal") as journal:
            for entry in (*entries(ANA), *entries(BO)):
                journal.note(entry)
            for account in (ANA, BO):
                journal.note_gone(Gone(f"bluesky:gone-{account[-2:]}", 4, account))
            journal.save(journal.turn("cursor", 5))
    with closing(Lookups(journals / "bluesky.lookups", 1)) as lookups, lookups._file.use() as db:
        for account in (ANA, BO):
            db.execute(
                "INSERT INTO candidate (account, root, rank, has_parent) VALUES (?, ?, 0, 1)",
                [account, at(ANA, "post")],
            )
    with NearMisses(tmp_path / "ricochet.near") as near:
        for account in (ANA, BO):
            near.add(at(account, "near"), [Guess("o", 0.4, Rule.TAG, "a hashtag of it")], wall_clock())
            near.decide(at(account, "decided"), "o", wall_clock())
            near.add(f"x:{account[-2:]}", [Guess("o", 0.4, Rule.TAG, f"#a from {account}, as others")], wall_clock())
    return tmp_path


def kept(folder: Path) -> bytes:
    """Read all bytes of the connectors' files."""
    paths = [*folder.glob("ricochet-journals/*"), *folder.glob("ricochet.near*")]
    return b"".join(path.read_bytes() for path in paths)


def living(folder: Path) -> int:
    """Count the nodes that the state reports."""
    return int(json.loads(good("report", cwd=folder).out.splitlines()[-1])["nodes"])


def test_an_account_leaves_every_file(folder: Path) -> None:
    """Not a byte of its name is left beside the engine, and whoever else is there stays, with all that is theirs."""
    assert b"did:plc:ana" in kept(folder)
    ran = good("forget", ANA, cwd=folder, env=HASHED)
    done = ran.out
    assert ran.err == "note: backups and exports made before keep it; after a restore, say it again\n"
    files = "5 from bluesky.journal, 5 from import-bluesky.journal, 1 from bluesky.lookups, 3 from ricochet.near"
    assert done == f"{ANA}: erased from ricochet.state; entries of the connectors erased: {files}\n"
    assert b"did:plc:ana" not in kept(folder)
    with Journal(folder / "ricochet-journals" / "bluesky.journal") as journal:
        assert not journal.knows(ANA)
        (mine, quote, _) = entries(BO)
        assert journal.of(BO) == [mine, quote._replace(root=HASHING.name(at(ANA, "post")))]
        assert journal.gone("bluesky:gone-bo") == Gone("bluesky:gone-bo", 4, BO)
        assert journal.cursor == "cursor"
    with closing(Lookups(folder / "ricochet-journals" / "bluesky.lookups", 1)) as lookups:
        assert lookups.accounts() == {BO}
    with NearMisses(folder / "ricochet.near") as near:
        assert {one.post for one in near.waiting(wall_clock())} == {at(BO, "near"), "x:bo"}
        assert near.decision(at(BO, "decided")) == "o"
    again = good("forget", ANA, cwd=folder, env=HASHED).out
    assert again.count("0 from") == 4


def test_an_account_may_be_named_by_its_hash(folder: Path) -> None:
    """As reports and events have it: the files, which name it in clear, are searched for it."""
    assert "5 from bluesky.journal" in good("forget", HASHING.name(ANA), cwd=folder, env=HASHED).out
    assert b"did:plc:ana" not in kept(folder)
    assert b"did:plc:bo" in kept(folder)


def test_the_engine_forgets_what_was_and_what_comes(folder: Path) -> None:
    """The account's nodes leave the report, in clear or hashed as they came, and do not come back; others' stay."""
    hashed = json.dumps(
        POST | {"id": "x:9", "kind": "share", "actor": HASHING.name("x:2"), "root": "x:1", "at": NOON + 9}
    )
    (folder / "more.jsonl").write_text(hashed)
    good("replay", "more.jsonl", "--state", "ricochet.state", cwd=folder)
    assert living(folder) == 4
    good("forget", "x:2", cwd=folder, env=HASHED)
    assert living(folder) == 2
    (folder / "late.jsonl").write_bytes(share(4, actor="x:2") + share(5))
    good("replay", "late.jsonl", "more.jsonl", "--state", "ricochet.state", cwd=folder, env=HASHED)
    assert living(folder) == 3


def test_a_running_engine_forgets(folder: Path) -> None:
    """While it runs it takes the erasure in soon, and the command says that it will."""
    with running(folder / "tail.jsonl", state=folder / "ricochet.state", env=HASHED) as child:
        append(folder / "tail.jsonl", share(6))
        child.has("o", 4)
        said = good("forget", "x:6", cwd=folder, env=HASHED).out
        assert "going to be erased from ricochet.state, once what runs has taken it in" in said
        child.has("o", 3)
        assert child.end() == 0


def test_workers_forget(hands: Crew) -> None:
    """With Kafka the erasure goes through the door, hashed, and the workers' reports are without the account."""
    env = hands.env | HASHED | {"RICOCHET_ENGINE": "kafka"}
    hands.ready(hands.start())
    lines = [post(), share(2), share(3)]
    (hands.folder / "events.jsonl").write_bytes(b"".join(lines))
    good("replay", "events.jsonl", "--to", "kafka", cwd=hands.folder, env=env)
    hands.caught_up()
    root = HASHING.name("x:1")
    assert nodes(hands, "o") == {root: 3}
    said = good("forget", "x:2", cwd=hands.folder, env=env).out
    assert said.endswith("its erasure is safe in Kafka, and the workers take it in; entries of the connectors erased: "
                         "none, there are no files\n")  # fmt: skip
    hands.caught_up()
    assert nodes(hands, "o") == {root: 2}
    told = json.dumps(read_all(hands, "social-events", 2))
    assert "forget" in told
    assert '"x:2"' not in told


@pytest.fixture
def locked(folder: Path) -> Iterator[Path]:
    """Give the installation while another program holds a journal, and patience is short."""
    with closing(sqlite3.connect(folder / "ricochet-journals" / "bluesky.journal", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield folder


def test_a_file_that_is_locked_is_told_and_the_others_are_done(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file can't be had, it is named, everything else is erased all the same, and saying it again does it."""
    monkeypatch.setattr(database, "_BUSY_S", 0.2)
    monkeypatch.chdir(locked)
    erased = forgetting.forget(settings.load(hash_key=KEY), forgetting.erasure(ANA, wall_clock()))
    assert [fault.rpartition("/")[2] for fault in erased.faults] == ["bluesky.journal: database is locked"]
    assert erased.entries == {"import-bluesky.journal": 5, "bluesky.lookups": 1, "ricochet.near": 3}
    assert erased.is_taken_in


def test_a_damaged_file_is_told(folder: Path) -> None:
    """The command ends in a line that names the file, with exit code 2, after all else is erased."""
    (folder / "ricochet-journals" / "bluesky.journal").write_text("no database at all" * 100)
    done = ended("forget", ANA, cwd=folder, env=HASHED)
    assert done.code == 2
    assert "is not erased everywhere, say it again: " in done.err.splitlines()[-1]
    assert "bluesky.journal: file is not a database" in done.err
    assert b"did:plc:ana" not in kept(folder)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ana"], "'ana' is no account such as x:ana"),
        (["@ana"], "is no account such as x:ana"),
        (["x:" + "a" * 600], "is no account"),
        (["x:a b"], "is no account"),
        (["x:1", "--to", "kafka", "--state", "s"], "--state is for --to embedded"),
        (["x:1", "--state", "none"], "none: no such state file"),
    ],
)
def test_what_can_not_be_forgotten_is_one_line(tmp_path: Path, args: list[str], said: Any) -> None:
    """No account, no state: a line, and nothing is made."""
    assert said in ended("forget", *args, cwd=tmp_path).complaint()
    assert list(tmp_path.iterdir()) == []
