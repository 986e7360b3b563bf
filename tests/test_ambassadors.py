"""Ambassadors: named where they agreed to be, as long as they do, and nobody else anywhere."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given

from ricochet.ambassadors import Ambassadors
from ricochet.errors import RicochetError
from spread.events import Rejected, decode
from spread.hashing import Hashing
from streams.embedded import Embedded
from tests.processes import ended, good, running
from tests.test_run import post, share
from tests.worlds import Event, worlds

KEY = "a key of sixteen"
HASHING = Hashing(KEY.encode())
CSV = "account,name,consented\nx:2,Ana Gómez,2026-01-02\nx:3,Bo,2026-01-02T10:00Z\n"
NAMES = {"x:2": "Ana Gómez", "x:3": "Bo"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV.replace(",", ";")),
        ("a.yaml", "- {account: x:2, name: Ana Gómez, consented: 2026-01-02}\n- {account: 'x:3', name: Bo, "
                   "consented: 2026-01-02}\n"),
        ("a.csv", CSV + "x:4,Cy,\nx:5,,2026-01-02\nx:6,Di,9000-01-01\nEd,Ed,2026-01-02\nx:7,F,soon\n"),
        ("a.csv", CSV + "x:8,One,2026-01-02\nx:8,Another,2026-01-02\n"),
    ],
)  # fmt: skip
def test_who_agreed_is_named(tmp_path: Path, name: str, text: str) -> None:
    """By account in clear, and hashed where there is a key; a line that is not whole or of later names nobody."""
    (tmp_path / name).write_text(text)
    assert Ambassadors(tmp_path / name).names() == NAMES
    hashed = {HASHING.name(account): called for account, called in NAMES.items()}
    assert Ambassadors(tmp_path / name, HASHING).names() == NAMES | hashed
    assert Ambassadors(None).names() == {}


def test_who_withdraws_is_named_no_more(tmp_path: Path) -> None:
    """A line that is taken out counts at the next question; a file that is gone or damaged names nobody."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    ambassadors = Ambassadors(path)
    assert ambassadors.names() == NAMES
    path.write_text(CSV.replace("x:2,Ana Gómez,2026-01-02\n", ""))
    assert ambassadors.names() == {"x:3": "Bo"}
    for damaged in ("name\n", "account,name,consented\n\xff"):
        path.write_text(CSV)
        assert ambassadors.names() == NAMES
        path.write_bytes(damaged.encode("latin-1"))
        assert ambassadors.names() == {}
    path.write_text(CSV)
    assert ambassadors.names() == NAMES
    path.unlink()
    assert ambassadors.names() == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b"who,when\n"), ("a.yaml", b"a: b\n"), ("a.yaml", b"[a"), ("a.csv", b"\xff"), ("b.csv", b"")],
)
def test_a_file_that_is_none_is_refused_at_the_start(tmp_path: Path, name: str, content: bytes) -> None:
    """Where it can't be read when a process starts, that is one line that names the file."""
    if name != "b.csv":
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RicochetError, match=f"setting ambassadors: .*{name}: "):
        Ambassadors(tmp_path / name)


@given(worlds())
def test_what_was_passed_on_is_what_the_edges_say(world: list[Event]) -> None:
    """By account and basis, the edges to living nodes below its own living ones."""
    actor = {event["id"]: event["actor"] for event in world if "actor" in event}
    with Embedded() as engine:
        found = [event for line in world for event in decode(json.dumps(line).encode())]
        engine.feed([event for event in found if not isinstance(event, Rejected)])
        for id in engine.offers():
            offer = engine.offer(id)
            edges = [json.loads(line) for line in engine.edge_lines(id)]
            of_root = Counter(edge["root"] for edge in edges)
            living = {edge["child"] for edge in edges}
            living |= {line.root for line in offer.cascades() if line.nodes > of_root[line.root]}
            wanted = Counter((actor[e["parent"]], e["basis"]) for e in edges if e["parent"] in living)
            told = {(who, basis): n for who, by in offer.passed_on().items() for basis, n in by.items() if n}
            assert told == wanted


def test_an_offer_names_ambassadors_alone(tmp_path: Path) -> None:
    """`/offers/{id}` says through whom most had it, with the names of who agreed; nobody's account is in it."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    lines = [post(), share(2), share(3, via="x:2"), share(4, via="x:2"), share(5, via="x:4")]
    (tmp_path / "e").write_bytes(b"".join(lines))
    env = {"RICOCHET_AMBASSADORS": "a.csv", "RICOCHET_HASH_KEY": KEY}
    with running(tmp_path / "e", state=tmp_path / "state", env=env) as child:
        child.has("o", 5)
        detail = child.offer("o")
        assert detail.json()["passed_on"] == [
            {"name": "Ana Gómez", "declared": 2, "inferred": 0, "assumed": 0},
            {"name": None, "declared": 1, "inferred": 0, "assumed": 0},
            {"name": None, "declared": 0, "inferred": 0, "assumed": 1},
        ]
        assert "x:ana" not in detail.text
        assert "x:4" not in detail.text
        assert (
            "Ana"
            not in child.get("/metrics").text
            + child.get("/offers").text
            + child.get("/alerts").text
            + child.get("/offers/o/edges").text
        )
        path.write_text("account,name,consented\n")
        assert [one["name"] for one in child.offer("o").json()["passed_on"]] == [None] * 3
        assert child.end() == 0
    done = good("forget", "x:2", "--state", "state", cwd=tmp_path, env=env)
    assert "a.csv" not in done.err
    path.write_text(CSV)
    done = good("forget", HASHING.name("x:2"), "--state", "state", cwd=tmp_path, env=env)
    assert "has a line in a.csv: take it out" in done.err
    env["RICOCHET_AMBASSADORS"] = "none.csv"
    complaint = ended("run", "--tail", "e", "--state", "state", "--port", "0", cwd=tmp_path, env=env).err
    assert "ricochet: setting ambassadors: none.csv: No such file or directory" in complaint
