"""Workers on a real Kafka: the same answer as the embedded engine, whoever joins, stops or is killed on the way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from spread.facts import POST, ActFact
from spread.partition import partition
from streams import wire
from streams.topics import OFFER_EVENTS, REJECTED, SOCIAL_EVENTS
from tests import real_cascades
from tests.crew import PARTITIONS, Crew, assert_same, embedded, offers_of, read_all
from tests.crowd import NOON, crowd
from tests.processes import Child, ended, until

EVENTS = 50_000


def many(n: int) -> list[bytes]:
    """Give simulated events and, where the folder is set, real ones, shuffled and in part twice, as lines."""
    lines = crowd(7, n)
    if (data := real_cascades.folder()) is not None:
        real = [json.dumps(event).encode() + b"\n" for event in real_cascades.pheme(data / "pheme_dev.jsonl.gz")]
        lines += real + random.Random(7).sample(real, len(real) // 20)
        random.Random(8).shuffle(lines)
    return lines


@contextmanager
def flowing(hands: Crew, child: Child, lines: list[bytes]) -> Iterator[None]:
    """Send events meanwhile; the block begins when a worker has taken the first of them."""
    before = child.events()
    sending = Thread(target=hands.send, args=(lines,))
    sending.start()
    try:
        until(lambda: child.events() > before, f"it is at them: {child.said}", every_s=0.02)
        yield
    finally:
        sending.join()


def test_two_workers_give_the_answer_of_the_embedded_engine(hands: Crew, tmp_path: Path) -> None:
    """`replay` of a file, to Kafka with two workers and embedded: report, edges, input line equal byte for byte."""
    lines = many(EVENTS)
    (tmp_path / "events.jsonl").write_bytes(b"".join([*lines[:99], b"no JSON\n", *lines[99:]]))
    for child in (hands.start(), hands.start()):
        hands.ready(child)
    given: dict[str, tuple[bytes, bytes]] = {}
    for to in ("kafka", "embedded"):
        hands.command("replay", "events.jsonl", "--to", to, "--report", f"{to}.report", "--edges", f"{to}.edges")
        given[to] = (tmp_path / f"{to}.report").read_bytes(), (tmp_path / f"{to}.edges").read_bytes()
    assert all(child.events() for child in hands.hands), "both had a part in it"
    assert_same(given["kafka"], given["embedded"])
    told = json.loads(given["kafka"][0].splitlines()[-1])
    assert (told["type"], told["events"], told["rejected"]) == ("input", len(lines) + 1, 1)
    assert told["duplicates"] > 0


@pytest.mark.parametrize("tables", ["rocksdb", "memory"])
def test_nothing_is_lost_or_counted_twice_whatever_happens_to_workers(hands: Crew, tmp_path: Path, tables: str) -> None:
    """Two workers are killed, a third joins, one is stopped, all while events flow: the answer is the same."""
    hands.env["RICOCHET_TABLES"] = tables
    lines = many(EVENTS)
    parts = [lines[part::5] for part in range(5)]
    first, second = hands.start(), hands.start()
    with flowing(hands, first, parts[0]):
        hands.kill(first)
    with flowing(hands, second, parts[1]):
        first, third = hands.start(), hands.start()
        hands.ready(third)
    with flowing(hands, second, parts[2]):
        hands.kill(second)
    with flowing(hands, first, parts[3]):
        hands.stop(first)
    with flowing(hands, third, parts[4]):
        hands.start()
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def test_single_events_are_as_good_as_batches(hands: Crew, tmp_path: Path) -> None:
    """A message may be one event."""
    lines = crowd(3, 2_000)
    hands.start()
    hands.send(lines, batch=1)
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def test_events_of_a_wrong_partition_are_sent_on(hands: Crew, tmp_path: Path) -> None:
    """What came to another partition than its own is counted, and taken in all the same."""
    lines = crowd(4, 2_000)
    child = hands.start()
    hands.send(lines, to=1)
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))
    assert 0.6 * len(lines) < foreign(child, "people") < len(lines)
    assert foreign(child, "offers") == 0
    # So are the facts that the stages send each other.
    offers = [f"elsewhere-{n}" for n in range(8)]
    facts = [wire.pair(id, ActFact(f"x:{id}", POST, "x", NOON, "x:ana", id, f"x:{id}")) for id in offers]
    hands.produce(OFFER_EVENTS, wire.envelope(facts), partition=3)
    hands.caught_up()
    assert [child.nodes(id) for id in offers] == [1] * len(offers)
    elsewhere = [id for id in offers if partition(id, PARTITIONS) != 3]
    assert 0 < len(elsewhere) == foreign(child, "offers")


def foreign(child: Child, stage: str) -> float:
    """Count what had come to a wrong partition of a stage."""
    return child.samples()["ricochet_foreign_events_total", frozenset({("stage", stage)})]


def test_bad_input_goes_to_the_dead_letters(hands: Crew, tmp_path: Path) -> None:
    """What is no event is told with its reason and place, no account in it, and the rest of its batch is used."""
    lines = crowd(5, 400)
    bad = [b'{"v":1,"id":"x:1","kind":"share","actor":"x:secret","at":"noon","text":"mine"}\n', b"no JSON\n"]
    hands.start()
    hands.send([*lines[:200], bad[0], *lines[200:]])
    hands.send([bad[1]], batch=1)
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))
    letters = read_all(hands, REJECTED, 2)
    by_reason = {letter["reason"]: letter for letter in letters}
    assert by_reason.keys() == {"not JSON", "mistyped field"} or by_reason.keys() == {"not JSON", "missing field"}
    for letter in letters:
        assert letter["topic"] == "social-events"
        assert letter["partition"] in range(PARTITIONS)
        assert letter["offset"] >= 0
        assert "secret" not in json.dumps(letter)
        assert "mine" not in json.dumps(letter)


def test_a_message_without_a_value_is_a_dead_letter(hands: Crew, tmp_path: Path) -> None:
    """What holds nothing at all is told like other bad input, and what comes after it is used."""
    lines = crowd(6, 400)
    hands.start()
    hands.produce(SOCIAL_EVENTS, None, partition=2)
    hands.send(lines)
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))
    (letter,) = read_all(hands, REJECTED, 1)
    assert (letter["reason"], letter["partition"], letter["bytes"]) == ("not JSON", 2, 0)


def test_a_worker_refuses_topics_that_do_not_fit(hands: Crew) -> None:
    """Topics that are missing or have other partition counts are refused in a line."""
    args = ("worker", "--port", "0")
    wrong = ended(*args, cwd=hands.folder, env=hands.env | {"RICOCHET_OFFER_PARTITIONS": "7"})
    assert "partition" in wrong.complaint()
    missing = ended(*args, cwd=hands.folder, env=hands.env | {"RICOCHET_TOPIC_PREFIX": "nobody-"})
    assert "missing" in missing.complaint()
