"""Decoding: what becomes an event, what is refused and why, and that nothing whatever raises."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spread.events import DAY_MS, MAX_BATCH, AnyEvent, Rejected, canonical, decode, key, merge
from tests.drive import Drive
from tests.worlds import NOON, Event

WHOLE: dict[str, Event] = {
    "post": {
        "actor": "x:a", "offer": "o", "root": "x:1", "also": ["o2"], "followers": 5, "text": "We hire", "urls": ["u"],
        "tags": ["t"], "role": "company",
    },
    "share": {"actor": "x:a", "offer": "o", "root": "x:0", "via": "x:2", "followers": 0},
    "quote": {"actor": "x:a", "offer": "o", "root": "x:0", "via": "x:2", "text": "é"},
    "reply": {"actor": "x:a", "offer": "o", "root": "x:0", "via": "x:2", "text": ""},
    "delete": {"actor": "x:a", "target": "x:0"},
    "ties": {
        "actor": "x:a", "follows": ["x:b", "x:c"], "unfollows": [], "followed_by": ["x:d"], "complete": True, "part": 1,
        "of": 2, "list": "l",
    },
    "profile": {"actor": "x:a", "followers": 7},
    "counts": {
        "offer": "o", "target": "x:0", "shares": 1, "likes": 2, "replies": 3, "impressions": 4, "clicks": 5,
    },
    "outcome": {"offer": "o", "stage": "hire", "n": 1, "via": "x:0"},
    "assign": {"offer": "o", "root": "x:0"},
    "forget": {"actor": "x:a"},
    "gap": {"from": NOON, "to": NOON + 1, "why": "rate limit"},
}  # fmt: skip
"""The fields of each kind beside those that all have."""


def line(kind: str, **fields: Any) -> Event:
    """Make an event with every field of its kind."""
    every = {"v": 1, "id": "x:1", "kind": kind, "network": "x", "at": NOON, "source": "stream"}
    return every | WHOLE[kind] | fields


def encoded(value: Any) -> bytes:
    """Write JSON as a file has it."""
    return json.dumps(value).encode()


def accepted(value: Any) -> AnyEvent:
    """Decode one event that must be good."""
    (result,) = decode(encoded(value))
    assert not isinstance(result, Rejected), result
    return result


def refused(message: bytes) -> Rejected:
    """Decode one message that must be refused whole."""
    (result,) = decode(message)
    assert isinstance(result, Rejected), result
    assert result.raw == message
    assert result.detail
    return result


# -- what is good ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WHOLE)
def test_each_kind_keeps_its_fields(kind: str) -> None:
    """An event has the kind and the fields that its line gives it, and encodes to the same line."""
    event = accepted(line(kind))
    assert event.__struct_config__.tag == kind
    assert json.loads(msgspec.json.encode(event)) == line(kind)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_optional_may_be_missing_or_null(kind: str) -> None:
    """A field that a kind does not need may be left out, and null says the same."""
    needed = {
        "post": {"actor", "offer", "root"}, "share": {"actor", "offer", "root"},
        "quote": {"actor", "offer", "root", "via"}, "reply": {"actor", "offer", "root", "via"},
        "delete": {"actor", "target"}, "ties": {"actor"}, "profile": {"actor", "followers"},
        "counts": {"offer", "target"}, "outcome": {"offer", "stage", "n"}, "assign": {"offer", "root"},
        "forget": {"actor"}, "gap": {"from", "to", "why"},
    }[kind] | {"v", "id", "kind", "network", "at"}  # fmt: skip
    whole = line(kind)
    least = {name: value for name, value in whole.items() if name in needed}
    assert accepted(least) == accepted(least | {name: None for name in whole if name not in needed})
    for name in needed:
        result = refused(encoded({other: value for other, value in least.items() if other != name}))
        assert result.reason == "missing field"
        assert name in result.detail
        assert refused(encoded(least | {name: None})).reason == "mistyped field"


@pytest.mark.parametrize("kind", WHOLE)
def test_unknown_fields_are_ignored(kind: str) -> None:
    """A field that no kind has changes nothing, whatever is in it."""
    extra = {"retweeted_status": {"id": [1, 2.5, None]}, "": "", "é": 10**30, "Kind": "post"}
    assert accepted(line(kind) | extra) == accepted(line(kind))


def test_any_lower_case_network_is_known() -> None:
    """A network of another name is one more network; a name that is none is refused."""
    for name in ("threads", "gab", "a", "xing.de", "e-mail", "net_2"):
        assert accepted(line("share", network=name)).network == name
    for name in ("X", "", "2x", "x y", "é", "x\n", "x" * 65):
        assert refused(encoded(line("share", network=name))).reason == "mistyped field"


def test_a_batch_is_read_in_order() -> None:
    """An array of up to 5,000 events gives them all, in order; blanks around it and in it do not matter."""
    lines = [line("share", id=f"x:{n}") for n in range(MAX_BATCH)]
    ids = [result.id for result in decode(encoded(lines)) if not isinstance(result, Rejected)]
    assert ids == [one["id"] for one in lines]
    assert decode(b"[]") == []
    for blanks in (b" ", b"\r\n\t ", b"\n" * 200):
        assert decode(blanks + encoded(lines[:2]) + blanks) == decode(encoded(lines[:2]))
        assert decode(blanks + encoded(lines[0]) + blanks) == decode(encoded(lines[0]))


def test_keys_are_those_of_the_topic() -> None:
    """An event goes by its actor, a gap by its network, the others by their offer."""
    for kind in WHOLE:
        by = {"gap": "x", "counts": "o", "outcome": "o", "assign": "o"}.get(kind, "x:a")
        assert key(accepted(line(kind))) == by


# -- what is bad -----------------------------------------------------------------------------------------------------

LONG = "a" * 513
WIDE = "é" * 257  # 514 bytes

BAD: list[tuple[str, bytes]] = [
    ("not JSON", b""),
    ("not JSON", b" "),
    ("not JSON", b"{"),
    ("not JSON", b"hello"),
    ("not JSON", encoded(line("share"))[:-1]),
    ("not JSON", encoded(line("share")) + b"}"),
    ("not JSON", encoded(line("share")) * 2),
    ("not JSON", encoded(line("share")).replace(b"x:a", b"x:\xff")),
    ("not JSON", encoded(line("share")).replace(b"x:a", b"x:\x00")),
    ("not JSON", encoded(line("share", actor="x:\ud800"))),
    ("not JSON", encoded(line("share", at=float("nan")))),
    ("not JSON", b'{"a":' * 100_000),
    ("not JSON", b"[" * 100_000),
    ("not JSON", b"[" + encoded(line("share")) + b","),
    ("mistyped field", b"null"),
    ("mistyped field", b"1"),
    ("mistyped field", b'"share"'),
    ("missing field", b"{}"),
    ("unknown kind", encoded(line("share") | {"kind": "like"})),
    ("unknown kind", encoded(line("share") | {"kind": ""})),
    ("mistyped field", encoded(line("share") | {"kind": 3})),
    ("mistyped field", encoded(line("share", v=2))),
    ("mistyped field", encoded(line("share", v="1"))),
    ("mistyped field", encoded(line("share", id=1))),
    ("mistyped field", encoded(line("share", id=""))),
    ("mistyped field", encoded(line("share", actor=["x:a"]))),
    ("mistyped field", encoded(line("share", at="2023-11-14T22:13:20Z"))),
    ("mistyped field", encoded(line("share", at=-1))),
    ("mistyped field", encoded(line("share", at=NOON + 0.5))),
    ("mistyped field", encoded(line("share", at=10**15))),
    ("mistyped field", encoded(line("share", at=10**400))),
    ("mistyped field", encoded(line("share", followers=-1))),
    ("mistyped field", encoded(line("share", followers=10**13))),
    ("mistyped field", encoded(line("share", followers=True))),
    ("mistyped field", encoded(line("post", role="friend"))),
    ("mistyped field", encoded(line("post", root="x:2"))),
    ("mistyped field", encoded(line("ties", follows="x:b"))),
    ("mistyped field", encoded(line("ties", follows=[None]))),
    ("mistyped field", encoded(line("ties", complete="yes"))),
    ("mistyped field", encoded(line("outcome", stage="interview"))),
    ("mistyped field", encoded(line("outcome", n=2**60))),
    ("too long", encoded(line("ties", follows=["x:b"] * 5_001))),
    ("too long", encoded(line("post", text="a" * (64 * 1024 + 1)))),
    ("too long", encoded(line("quote", text="é" * (32 * 1024 + 1)))),
    ("too long", json.dumps(line("reply", text="é" * (32 * 1024 + 1)), ensure_ascii=False).encode()),
    ("too long", encoded(line("gap", why="é" * (32 * 1024 + 1)))),
]


@pytest.mark.parametrize(("reason", "message"), BAD, ids=lambda part: str(part)[:40])
def test_bad_input_is_refused_with_its_reason(reason: str, message: bytes) -> None:
    """What is no event comes back whole, with its reason in words."""
    assert refused(message).reason == reason


@pytest.mark.parametrize("field", ["id", "actor", "offer", "root", "via", "target", "list", "source"])
def test_ids_have_at_most_512_bytes(field: str) -> None:
    """An id of 512 bytes is one, of 513 it is too long, be it of few letters of many bytes."""
    kind = next(kind for kind in ("share", "delete", "ties") if field in line(kind))
    for good in ("a" * 512, "é" * 256, "𝄞" * 128):
        assert getattr(accepted(line(kind) | {field: good}), field) == good
    for bad in (LONG, WIDE, "𝄞" * 129, "é" * 256 + "a"):
        for ascii_only in (True, False):
            message = json.dumps(line(kind) | {field: bad}, ensure_ascii=ascii_only).encode()
            assert refused(message).reason == "too long"


@pytest.mark.parametrize("field", ["follows", "unfollows", "followed_by"])
def test_ids_in_lists_have_at_most_512_bytes(field: str) -> None:
    """One account too long refuses the list that it stands in."""
    assert accepted(line("ties") | {field: ["é" * 256] * 5_000})
    for bad in (LONG, WIDE):
        assert refused(encoded(line("ties") | {field: ["x:a", bad]})).reason == "too long"


def test_text_of_64_kib_is_kept() -> None:
    """A text of exactly 64 KiB is good, in few bytes a letter or in many."""
    for text in ("a" * 64 * 1024, "é" * 32 * 1024):
        event = accepted(line("quote", text=text))
        assert getattr(event, "text", None) == text


def test_what_is_more_than_a_day_ahead_is_refused() -> None:
    """An event may be a day ahead of its record and no more; without a record that is not judged."""
    message = encoded(line("share", at=NOON + DAY_MS))
    assert not isinstance(decode(message, NOON)[0], Rejected)
    (result,) = decode(message, NOON - 1)
    assert isinstance(result, Rejected)
    assert (result.reason, result.index) == ("from the future", None)
    assert not isinstance(decode(message)[0], Rejected)
    late, good = decode(b"[" + message + b"," + encoded(line("share")) + b"]", NOON - 1)
    assert isinstance(late, Rejected)
    assert late.index == 0
    assert not isinstance(good, Rejected)


@pytest.mark.parametrize(
    "bad",
    [
        *(encoded(line("share") | change) for change in ({"kind": "like"}, {"at": None}, {"id": WIDE}, {"v": 3})),
        encoded(line("share")).replace(b"x:a", b"x:\xff"),
        encoded(line("share", actor="x:\ud800")),
        encoded(line("quote", text="\ud83d")),
        encoded(line("share", extra="]")).replace(b'"extra": "]"', b'"extra": ' + b"[" * 5_000 + b"]" * 5_000),
        b"null",
        b"[]",
        b"[" + encoded(line("share")) + b"]",
    ],
    ids=lambda part: str(part)[-40:],
)
def test_the_rest_of_a_batch_is_used(bad: bytes) -> None:
    """A bad part of a batch is refused with its place, and all the others are kept in their order."""
    good = [encoded(line("share", id=f"x:{n}")) for n in range(4)]
    results = decode(b"[" + b" , ".join([*good[:2], bad, good[2], bad, good[3]]) + b"]")
    assert [result.index for result in results if isinstance(result, Rejected)] == [2, 4]
    assert all(result.raw and result.reason for result in results if isinstance(result, Rejected))
    assert [result.id for result in results if not isinstance(result, Rejected)] == ["x:0", "x:1", "x:2", "x:3"]


def test_an_array_over_5000_is_refused_whole() -> None:
    """Of more than 5,000 parts none is used, whether all are good or one is bad."""
    good = [line("share", id=f"x:{n}") for n in range(MAX_BATCH)]
    for one_more in (line("share"), line("share") | {"kind": "like"}, None):
        assert refused(encoded([*good, one_more])).reason == "batch too long"
    results = decode(encoded([*good[1:], None]))
    assert sum(not isinstance(result, Rejected) for result in results) == MAX_BATCH - 1


# -- merging ---------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from([None, 0, 9, 10, 100]), st.sampled_from([None, "x:9", "x:10", "é", "z"])


@given(st.lists(st.tuples(st.integers(0, 11), *VALUES), min_size=3, max_size=3), st.permutations(range(3)))
def test_deliveries_merge_in_any_order(fields: list[tuple[int, int | None, str | None]], order: list[int]) -> None:
    """Merging is commutative, associative and idempotent; present beats absent, else canonical JSON decides."""
    shares = [accepted(line("share", at=at, followers=n, via=via)) for at, n, via in fields]
    one, two, three = shares
    merged = merge(merge(one, two), three)
    assert merge(merge(shares[order[0]], shares[order[1]]), shares[order[2]]) == merged
    assert merge(one, merge(two, three)) == merged
    assert merge(merged, two) == merged
    for name, values in zip(("at", "followers", "via"), zip(*fields, strict=True), strict=True):
        present = [value for value in values if value is not None]
        assert getattr(merged, name) == (min(present, key=canonical) if present else None)


# -- anything at all -------------------------------------------------------------------------------------------------


def sound(results: list[AnyEvent | Rejected]) -> list[AnyEvent]:
    """Check that each rejection says why; give the events."""
    for result in results:
        assert not isinstance(result, Rejected) or (result.reason and isinstance(result.raw, bytes))
    return [result for result in results if not isinstance(result, Rejected)]


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_raise(message: bytes) -> None:
    """Whatever bytes come, they are events or rejections with a reason."""
    sound(decode(message))
    sound(decode(b"[" + message + b"]", NOON))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8) | st.just("x:1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_no_value_of_a_field_raises(kind: str, data: st.DataObject) -> None:
    """Whatever stands in a field, it is an event or a rejection, and an event goes through the pipeline."""
    whole = line(kind)
    names = data.draw(st.lists(st.sampled_from(sorted(whole)), unique=True, min_size=1, max_size=3))
    events = sound(decode(encoded(whole | {name: data.draw(JUNK) for name in names})))
    drive = Drive()
    drive.pipeline.feed(events, NOON)
    drive.flush()
    drive.report(drive.pipeline.offers.ids(drive.offers))


def mutants(chance: random.Random, count: int) -> Iterator[bytes]:
    """Make lines that something happened to: bytes, fields, values, and what is around them."""
    values: list[Any] = [
        None, True, -1, 0, 1.5, 1e300, 10**30, 2**63, "", "\0", "x:\0", "\ud800", "é" * 300, "a" * 600, "a" * 70_000,
        [], {}, [None], ["x:a"] * 5_001, ["x:\ud83d"], "x:1", "x:a", "o", "x", "X", NOON, str(NOON), float("nan"),
    ]  # fmt: skip
    strange = b'\0 " \\ { } [ ] , : \xff \xc3 \\ud83d \\u0000 1e999 9999999999999999999999 NaN'.split()
    for _ in range(count):
        whole = line(chance.choice(sorted(WHOLE)), id=f"x:{chance.randrange(50)}", at=NOON + chance.randrange(99))
        if "actor" in whole:
            whole["actor"] = f"x:{chance.choice('abcde')}"
        for _ in range(chance.choice([0, 0, 1, 1, 2])):
            name = chance.choice(sorted(whole))
            match chance.randrange(5):
                case 0:
                    whole[name] = chance.choice(values)
                case 1 if len(whole) > 1:
                    whole.pop(name)
                case 2:
                    whole[name.upper()] = whole.pop(name)
                case 3:
                    other = chance.choice(sorted(whole))
                    whole[name], whole[other] = whole[other], whole[name]
                case _:
                    whole[chance.choice(["x", "follows", "via", "complete", "offer"])] = chance.choice(values)
        raw = json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        for _ in range(chance.choice([0, 0, 1, 1, 2, 5])):
            at = chance.randrange(len(raw) + 1)
            match chance.randrange(7):
                case 0:
                    raw = raw[:at]
                case 1:
                    raw = raw[:at] + raw[at + chance.randrange(1, 9) :]
                case 2:
                    raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
                case 3:
                    raw = raw[:at] + chance.choice(strange) + raw[at:]
                case 4:
                    raw = raw[:at] + raw[max(0, at - 30) :]
                case 5:
                    raw = raw[:1] + b'"id":"x:7","at":1,"actor":"x:z",' + raw[1:]  # each key a second time
                case _:
                    deep = chance.choice([3, 2_000])
                    raw = raw[:1] + b'"deep":' + b"[" * deep + b"]" * deep + b"," + raw[1:]
        yield raw if chance.random() < 0.8 else b"[" + raw + b"]" * chance.randrange(3)


def test_ten_thousand_mutants_harm_nothing() -> None:
    """Of 10,000 lines that something happened to, none raises, here or in the pipeline, and no good line is lost."""
    chance = random.Random(20_231_114)
    drive, good, kept = Drive(), 0, 0
    batch: list[AnyEvent] = []
    for n, raw in enumerate(mutants(chance, 10_000)):
        events = sound(decode(raw, NOON if n % 2 else None))
        kept += bool(events)
        batch += events
        if n % 10 == 0:
            theirs = {"id": f"good:{good}", "actor": f"good:{good}", "offer": "good", "root": "good:0", "via": None}
            fine = encoded(line("share") | theirs)
            good += 1
            # The mutant beside it in a batch must not take it along, if it is JSON at all.
            results = sound(decode(b"[" + fine + b"," + (raw if is_json(raw) else b"null") + b"]"))
            assert results[0] == sound(decode(fine))[0]
            batch += results
        if n % 100 == 0:
            drive.pipeline.feed(batch, NOON)
            batch = []
        if n % 1_000 == 0:
            drive.flush()
            drive.report(drive.pipeline.offers.ids(drive.offers))
    drive.pipeline.feed(batch, NOON)
    drive.flush()
    assert 1_000 < kept < 9_000  # else the mutations are too harsh, or too kind, to show anything
    offers = drive.pipeline.offers.ids(drive.offers)
    assert drive.offer("good").line().nodes == good
    report = drive.report(offers)
    assert all(json.loads(one) for one in (*report.lines, *report.edges))
    assert drive.again().report(offers) == report


def is_json(raw: bytes) -> bool:
    """Tell whether bytes are JSON to another reader."""
    try:
        json.loads(raw.decode(), parse_constant=int)  # which refuses NaN
    except (ValueError, RecursionError):
        return False
    return True
