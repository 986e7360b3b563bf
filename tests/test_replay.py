"""`ricochet replay`: what it reads, what it reports, and how it refuses."""

from __future__ import annotations

import gzip
import json
import os
import random
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.crowd import NOON, crowd
from tests.processes import HANG_S, Ended, command, ended, environment, good

CASCADE = [
    *("type", "offer", "root", "root_seen", "network", "nodes", "participants", "depth", "max_breadth"),
    *("structural_virality", "edges", "exposure", "reach", "first_at", "last_at", "anomalies"),
]
OFFER = [
    *("type", "offer", "cascades", "nodes", "participants", "replies", "depth", "max_breadth", "reach", "networks"),
]
INPUT = ["type", "events", "rejected", "duplicates", "gaps"]
REACH = ["known", "low", "estimate", "high", "beyond"]

POST = {"v": 1, "id": "x:1", "kind": "post", "network": "x", "at": NOON, "actor": "x:ana", "offer": "o", "root": "x:1"}
SHARE = POST | {"id": "x:2", "kind": "share", "at": NOON + 1_000, "actor": "x:bob"}
GAP = {"v": 1, "id": "x:g", "kind": "gap", "network": "x", "at": NOON, "from": NOON, "to": NOON + 9, "why": "limits"}

Lines = list[dict[str, Any]]


def jsonl(path: Path, *values: Any) -> Path:
    """Write values as JSON lines."""
    path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values))
    return path


def shell(line: str, folder: Path) -> Ended:
    """Run a line of shell."""
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment(), capture_output=True, timeout=HANG_S, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def read(path: Path) -> Lines:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def replayed(folder: Path, *files: str | Path, stdin: bytes = b"", name: str = "report") -> list[bytes]:
    """Replay files and give the lines of the report."""
    good("replay", *files, "--report", folder / name, cwd=folder, stdin=stdin)
    return (folder / name).read_bytes().splitlines()


def census(folder: Path, *files: str | Path) -> dict[str, int]:
    """Replay files and give the counts of the input line."""
    line = json.loads(replayed(folder, *files)[-1])
    assert line.pop("type") == "input"
    return dict(line)


def test_a_report_has_exactly_the_fields_of_the_contract(tmp_path: Path) -> None:
    """Every line of a report has the contract's fields, in its order, and no others."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(crowd(5, 400, offers=3)))
    report = [json.loads(line) for line in replayed(tmp_path, events)]
    kinds = [line["type"] for line in report]
    assert set(kinds[:-1]) == {"cascade", "offer"}
    assert kinds[-1] == "input"
    for line in report:
        assert list(line) == {"cascade": CASCADE, "offer": OFFER, "input": INPUT}[line["type"]]
        if line["type"] == "cascade":
            assert list(line["edges"]) == ["declared", "inferred", "assumed"]
            assert list(line["exposure"]) == ["root", "others", "none"]
            assert round(line["structural_virality"], 9) == line["structural_virality"]
        if line["type"] != "input":
            assert list(line["reach"]) == REACH
        if line["type"] == "offer":
            assert all(list(there) == ["nodes", "participants"] for there in line["networks"].values())


def test_order_repetition_batching_and_packing_change_nothing(tmp_path: Path) -> None:
    """The same events give the same report, byte for byte: in any order, twice, in arrays, packed, from a pipe."""
    lines = crowd(6, 3_000)
    distinct = sorted(set(lines))
    as_came = tmp_path / "came.jsonl"
    as_came.write_bytes(b"".join(lines))
    expected = replayed(tmp_path, as_came)[:-1]
    assert len(expected) > 20

    shuffled = lines * 2
    random.Random(6).shuffle(shuffled)
    assert replayed(tmp_path, "-", stdin=b"".join(shuffled))[:-1] == expected

    arrays = tmp_path / "arrays.jsonl.gz"
    with gzip.open(arrays, "wb") as file:
        for first in range(0, len(distinct), 700):
            file.write(b"[" + b",".join(line.strip() for line in distinct[first : first + 700]) + b"]\n")
    assert replayed(tmp_path, arrays)[:-1] == expected

    halves = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    halves[0].write_bytes(b"".join(reversed(distinct[::2])))
    halves[1].write_bytes(b"".join(distinct[1::2]).rstrip(b"\n"))
    assert replayed(tmp_path, *halves)[:-1] == expected


def test_a_report_is_in_order_and_of_the_offers_of_the_file_alone(tmp_path: Path) -> None:
    """A report goes by offer, its cascades by root before it, and leaves out what only the state knows."""
    good("replay", jsonl(tmp_path / "old", POST, SHARE), "--state", tmp_path / "s", cwd=tmp_path)
    later = [
        POST | {"id": id, "root": id, "offer": offer} for offer, id in (("b", "x:9"), ("b", "x:10"), ("a b/é", "x:8"))
    ]
    new = jsonl(tmp_path / "new", *later)
    good("replay", new, "--state", tmp_path / "s", "--report", tmp_path / "r", cwd=tmp_path)
    named = [(line["type"], line.get("offer"), line.get("root")) for line in read(tmp_path / "r")]
    assert named == [
        ("cascade", "a b/é", "x:8"),
        ("offer", "a b/é", None),
        ("cascade", "b", "x:10"),
        ("cascade", "b", "x:9"),
        ("offer", "b", None),
        ("input", None, None),
    ]


def test_an_offer_without_a_living_node_has_a_line_and_no_cascade(tmp_path: Path) -> None:
    """An offer that only lost or never had a node is still reported, with zeros."""
    taken_back = {"v": 1, "id": "x:d", "kind": "delete", "network": "x", "at": NOON, "actor": "x:ana", "target": "x:1"}
    counts = {"v": 1, "id": "x:c", "kind": "counts", "network": "x", "at": NOON, "offer": "p", "target": "x:7"}
    report = replayed(tmp_path, jsonl(tmp_path / "e", POST, taken_back, counts))
    gone, never, _ = map(json.loads, report)
    nothing = {"known": 0, "low": 0, "estimate": 0, "high": 0, "beyond": None}
    for line, offer in ((gone, "o"), (never, "p")):
        assert line["offer"] == offer
        assert (line["cascades"], line["nodes"], line["networks"], line["reach"]) == (0, 0, {}, nothing)


def test_edges_name_the_parent_and_the_basis_of_each_living_node_but_the_root(tmp_path: Path) -> None:
    """`--edges` tells through whom each node came, how that is known, and no probability where none is.

    1 (ana)
    ├── 2 (bob)         assumed
    │   ├── 3 (cyd)     declared
    │   └── 4 (dan)     inferred: dan follows bob
    └── 5 (eve)         taken back
    """
    events = [
        POST,
        SHARE,
        SHARE | {"id": "x:3", "actor": "x:cyd", "via": "x:2", "at": NOON + 2_000},
        SHARE | {"id": "x:4", "actor": "x:dan", "at": NOON + 3_000},
        SHARE | {"id": "x:5", "actor": "x:eve", "at": NOON + 4_000},
        {"v": 1, "id": "x:t", "kind": "ties", "network": "x", "at": NOON, "actor": "x:dan", "follows": ["x:bob"]},
        {"v": 1, "id": "x:d", "kind": "delete", "network": "x", "at": NOON, "actor": "x:eve", "target": "x:5"},
    ]
    good("replay", jsonl(tmp_path / "e", *events), "--edges", tmp_path / "edges", cwd=tmp_path)
    assert read(tmp_path / "edges") == [
        {"root": "x:1", "child": "x:2", "parent": "x:1", "basis": "assumed", "probability": None},
        {"root": "x:1", "child": "x:3", "parent": "x:2", "basis": "declared", "probability": 1},
        {"root": "x:1", "child": "x:4", "parent": "x:2", "basis": "inferred", "probability": None},
    ]


def test_the_input_line_counts_what_the_file_held(tmp_path: Path) -> None:
    """Blank lines are nothing, an array is its events; duplicates and rejections and distinct gaps are counted."""
    events = tmp_path / "events.jsonl"
    array = json.dumps([SHARE, POST, {"v": 1}, GAP | {"id": "x:g2"}])
    events.write_text(
        "\n".join(["", json.dumps(POST), "  ", "no JSON", array, "[]", json.dumps(GAP), json.dumps(GAP), '"a"', "\r"])
    )
    assert census(tmp_path, events) == {"events": 9, "rejected": 3, "duplicates": 2, "gaps": 2}
    assert census(tmp_path, jsonl(tmp_path / "none")) == {"events": 0, "rejected": 0, "duplicates": 0, "gaps": 0}
    assert census(tmp_path, events, events) == {"events": 18, "rejected": 6, "duplicates": 8, "gaps": 2}


def test_what_was_kept_is_no_duplicate_of_this_file(tmp_path: Path) -> None:
    """Replayed again into the same state a file gives the same report to the last byte, its input line included."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(crowd(7, 2_000)))
    options = ("replay", events, "--state", tmp_path / "state", "--report")
    good(*options, tmp_path / "first", cwd=tmp_path)
    good(*options, tmp_path / "second", cwd=tmp_path)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    good("replay", events, "--report", tmp_path / "throwaway", cwd=tmp_path)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "throwaway").read_bytes()


def test_a_state_can_be_filled_in_parts_and_reported_later(tmp_path: Path) -> None:
    """Two replays into one state and `ricochet report` say the same as one replay of both files."""
    lines = crowd(8, 2_000)
    parts = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for part, content in zip(parts, (lines[:900], lines[900:]), strict=True):
        part.write_bytes(b"".join(content))
        good("replay", part, "--state", tmp_path / "state", cwd=tmp_path)
    expected = replayed(tmp_path, *parts)[:-1]
    out = good("report", "--state", tmp_path / "state", "--edges", tmp_path / "edges", cwd=tmp_path).out
    assert out.encode().splitlines() == expected
    good("replay", *parts, "--edges", tmp_path / "expected", cwd=tmp_path)
    assert (tmp_path / "edges").read_bytes() == (tmp_path / "expected").read_bytes()


def test_a_report_is_added_to_what_stdout_holds(tmp_path: Path) -> None:
    """`ricochet report >> FILE` leaves what the file held."""
    good("replay", jsonl(tmp_path / "e", POST), "--state", tmp_path / "state", cwd=tmp_path)
    (tmp_path / "out").write_bytes(b"before\n")
    with open(tmp_path / "out", "ab") as out:
        good("report", "--state", tmp_path / "state", cwd=tmp_path, stdout=out)
    first, *report = (tmp_path / "out").read_bytes().splitlines()
    assert first == b"before"
    assert [json.loads(line)["type"] for line in report] == ["cascade", "offer"]


def test_a_report_on_stdout_is_alone_there(tmp_path: Path) -> None:
    """With `-` for the report or the edges, stdout holds their lines and the counts are said on stderr."""
    result = ended("replay", jsonl(tmp_path / "e", POST, SHARE), "--report", "-", "--edges", "-", cwd=tmp_path)
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line.get("type", "edge") for line in lines] == ["cascade", "offer", "input", "edge"]
    assert result.err.startswith("2 events")


def test_bad_lines_are_named_and_the_good_ones_used(tmp_path: Path) -> None:
    """A bad line, or a bad part of one, is named with its place and reason on stderr; the rest counts."""
    good_one, good_two = json.dumps(POST), json.dumps(SHARE)
    long = json.dumps(SHARE | {"id": "x:" + "é" * 256}, ensure_ascii=False)
    unknown = json.dumps(POST | {"kind": "like"})
    (tmp_path / "e").write_bytes(
        b"\n".join([b"{", b"\xff\xfe", long.encode(), unknown.encode(), f"[{good_one}, 7, {good_two}]".encode(), b"{}"])
    )
    result = good("replay", "e", "--report", "r", cwd=tmp_path)
    assert [line.split(":")[:2] for line in result.err.splitlines()] == [
        ["e", "1"],
        ["e", "2"],
        ["e", "3"],
        ["e", "4"],
        ["e", "5[1]"],
        ["e", "6"],
    ]
    reasons = [line.split(": ")[1] for line in result.err.splitlines()]
    assert reasons == [
        f"rejected, {why}"
        for why in ("not JSON", "not JSON", "too long", "unknown kind", "mistyped field", "missing field")
    ]
    assert read(tmp_path / "r")[0]["nodes"] == 2


def test_ten_bad_lines_are_named_and_the_others_counted(tmp_path: Path) -> None:
    """A file full of nonsense does not fill the screen."""
    (tmp_path / "e").write_text("nonsense\n" * 1_234 + json.dumps(POST))
    result = good("replay", "e", "--report", "r", cwd=tmp_path)
    lines = result.err.splitlines()
    assert len(lines) == 11
    assert [line.split(":")[1] for line in lines[:10]] == [str(n) for n in range(1, 11)]
    assert lines[10] == "... and 1,224 more rejected"
    assert "1,235 events, 1,234 rejected" in result.out
    assert read(tmp_path / "r")[-1] == {"type": "input", "events": 1_235, "rejected": 1_234, "duplicates": 0, "gaps": 0}


@pytest.mark.parametrize("speed", ["1e9", "86400", "0"])
def test_event_time_can_be_paced(tmp_path: Path, speed: str) -> None:
    """With `--speed` the events come one after another as their times say; the report is the same at any speed."""
    lines = sorted(crowd(9, 300, offers=2), key=lambda line: json.loads(line)["at"])
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(lines))
    good("replay", events, "--speed", speed, "--report", tmp_path / "paced", cwd=tmp_path)
    assert (tmp_path / "paced").read_bytes().splitlines() == replayed(tmp_path, events)


def test_events_out_of_order_do_not_hold_a_paced_replay_up(tmp_path: Path) -> None:
    """At a pace an event that is late by its time is taken in at once."""
    events = jsonl(tmp_path / "e", SHARE, POST | {"at": 0})
    good("replay", events, "--speed", "0.001", "--report", tmp_path / "r", cwd=tmp_path)
    assert read(tmp_path / "r")[0]["nodes"] == 2


def test_a_named_pipe_can_be_replayed(tmp_path: Path) -> None:
    """`ricochet replay <(command)` works: a file need not be one that can be sought in."""
    pipe, threads = tmp_path / "pipe", []
    os.mkfifo(pipe)
    threads.append(threading.Thread(target=lambda: jsonl(pipe, POST, SHARE), daemon=True))
    threads[0].start()
    assert json.loads(replayed(tmp_path, pipe)[0])["nodes"] == 2
    threads[0].join(HANG_S)


def damaged_gz(path: Path, place: int) -> None:
    """Write an archive with a flipped byte."""
    packed = bytearray(gzip.compress(b"".join(crowd(1, 100, offers=1)), mtime=0))
    packed[place] ^= 0xFF
    path.write_bytes(packed)


def make_bad_things(folder: Path) -> None:
    """Write a good file, and all kinds of files that can't be used."""
    jsonl(folder / "good", POST)
    packed = gzip.compress(b"".join(crowd(1, 100, offers=1)))
    (folder / "short.gz").write_bytes(packed[:-50])
    (folder / "plain.gz").write_bytes((folder / "good").read_bytes())
    damaged_gz(folder / "middle.gz", 60)
    damaged_gz(folder / "sum.gz", -6)
    (folder / "folder").mkdir()
    (folder / "nonsense").write_bytes(random.Random(1).randbytes(5_000))


@pytest.mark.parametrize(
    "args",
    [
        "replay",
        "replay good --bogus",
        "replay good --speed fast",
        "replay good --speed -1",
        "replay good --speed nan",
        "replay good --to nowhere",
        "replay missing",
        "replay good missing --report r",
        "replay folder",
        "replay short.gz",
        "replay plain.gz",
        "replay middle.gz",
        "replay sum.gz",
        "replay good --report folder",
        "replay good --report missing/r",
        "replay good --report /dev/full",
        "replay good --edges missing/r",
        "replay good --state nonsense",
        "replay good --state folder",
        "replay good --state missing/s",
        "report --state missing",
        "report --state nonsense",
        "report --state folder",
        "report --state .",
        "report --out missing/r --state nonsense",
        "demo --seed -5",
        "nonsense",
        "--bogus",
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2(tmp_path: Path, args: str) -> None:
    """A bad option, a file that can't be read or written, a state that is none: one line on stderr, code 2."""
    make_bad_things(tmp_path)
    result = ended(*args.split(), cwd=tmp_path)
    line = result.complaint()
    assert "Traceback" not in result.out + result.err
    assert any(word in line for word in args.split()[1:] or args.split()) or args == "replay", line


def test_an_archive_from_standard_input_is_no_json(tmp_path: Path) -> None:
    """Standard input is not unpacked: what is no JSON there is rejected line by line, not a fault."""
    result = good("replay", "-", cwd=tmp_path, stdin=gzip.compress(json.dumps(POST).encode()))
    assert "rejected, not JSON" in result.err


def test_a_closed_standard_input_is_one_line(tmp_path: Path) -> None:
    """Without a standard input there is nothing to read, which is said in one line."""
    shell(f"{shlex.join(command('replay', '-'))} <&-", tmp_path).complaint()


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    """`ricochet report | head -1` ends quietly."""
    (tmp_path / "e").write_bytes(b"".join(crowd(1, 4_000, offers=400)))
    good("replay", "e", "--state", "s", cwd=tmp_path)
    args = shlex.join(command("report", "--state", "s"))
    done = subprocess.run(
        ["sh", "-c", f"{args} | head -c 1"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=HANG_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"{", b"")
