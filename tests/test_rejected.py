"""`ricochet rejected` on a real Kafka: dead letters listed, what they are about taken out, mended, and sent again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from spread.events import Rejected, decode, key
from spread.partition import partition
from streams.letters import foreign_letter
from streams.topics import REJECTED, SOCIAL_EVENTS
from tests import broker
from tests.crew import PARTITIONS, Crew, embedded, offers_of
from tests.crowd import crowd
from tests.processes import ended, until

SECRET = "x:somebody-by-name"


def bad_ones(event: dict[str, object]) -> list[bytes]:
    """Break an event in four ways, three of which a person can mend; its account is somebody's."""
    event = {name: value for name, value in event.items() if name not in ("via", "followers")} | {"actor": SECRET}
    broken = (
        {name: value for name, value in event.items() if name != "offer"} | {"id": "x:without"},
        event | {"kind": "shout", "id": "x:loud"},
        event | {"at": "yesterday", "id": "x:late"},
    )
    return [*(json.dumps(one).encode() for one in broken), b'{"v":1,\r\n "id"']


def send(hands: Crew, topic: str, *values: bytes, to: int = 0) -> None:
    """Write messages as they are."""
    with KafkaProducer(bootstrap_servers=hands.env["RICOCHET_KAFKA"]) as producer:
        for value in values:
            producer.send(hands.env["RICOCHET_TOPIC_PREFIX"] + topic, value, partition=to).get(60)


def letters(hands: Crew) -> int:
    """Count the messages among the dead letters."""
    place = TopicPartition(hands.env["RICOCHET_TOPIC_PREFIX"] + REJECTED, 0)
    with KafkaConsumer(bootstrap_servers=hands.env["RICOCHET_KAFKA"]) as consumer:
        return int(consumer.end_offsets([place])[place])


@pytest.fixture
def refused(hands: Crew) -> list[bytes]:
    """Have workers take in a crowd with four broken events amid the good ones, and give the crowd."""
    lines = crowd(9, 120)
    found = [json.loads(line) for line in lines]
    share = next(event for event in found if event["kind"] == "share")
    first, *others, last = bad_ones(share)
    good = b"".join(lines).splitlines()
    hands.ready(hands.start())
    hands.send(lines)
    (same,) = decode(good[0])
    assert not isinstance(same, Rejected)
    batch = b"[" + b",".join([good[0], first, *others]) + b"]"
    send(hands, SOCIAL_EVENTS, batch, to=partition(key(same), PARTITIONS))
    send(hands, SOCIAL_EVENTS, last)
    until(lambda: letters(hands) == 4, "four dead letters", every_s=0.2)
    return lines


def test_dead_letters_are_listed_and_filtered(hands: Crew, refused: list[bytes]) -> None:
    """Each is told once, with its place and reason and no person; `--reason` leaves the others out."""
    listed = hands.command("rejected", "list")
    assert len(listed.out.splitlines()) == 4
    assert listed.err.startswith("4 rejected: ")
    assert SECRET not in listed.out
    for index in (1, 2, 3):
        assert f"[{index}]: " in listed.out
    reasons = [line.split(": ")[1] for line in listed.out.splitlines()]
    some = hands.command("rejected", "list", "--reason", reasons[0])
    assert some.out.splitlines() == [line for line in listed.out.splitlines() if line.split(": ")[1] == reasons[0]]
    none = hands.command("rejected", "list", "--reason", "nothing of the kind")
    assert (none.out, none.err) == ("", "0 rejected\n")


def test_what_was_mended_counts_as_if_it_had_been_right(hands: Crew, refused: list[bytes], tmp_path: Path) -> None:
    """Taken out, mended and sent, the events are in the report; what is still wrong is named, and not sent."""
    assert hands.command("rejected", "fetch", "bad").out == "4 written to bad\n"
    raws = (tmp_path / "bad").read_bytes().splitlines()
    assert len(raws) == 4
    offer = next(event["offer"] for line in refused if "offer" in (event := json.loads(line)))
    at = json.loads(refused[0])["at"]
    mended = []
    for raw in raws:
        try:
            event = json.loads(raw)
        except ValueError:
            mended.append(raw)
            continue
        right = {"offer": event.get("offer", offer), "kind": "share", "at": event["at"]}
        mended.append(json.dumps(event | right | ({"at": at} if isinstance(event["at"], str) else {})).encode())
    (tmp_path / "mended").write_bytes(b"\n".join(mended) + b"\n")
    sent = ended("rejected", "send", "mended", cwd=tmp_path, env=hands.env)
    assert (sent.code, sent.out) == (1, "3 sent, 1 still rejected\n")
    assert len(sent.err.splitlines()) == 1
    hands.caught_up()
    whole = [*refused, *(one + b"\n" for one in mended if b"shout" not in one and one.endswith(b"}"))]
    (tmp_path / "batch").mkdir()
    wanted = embedded(whole, tmp_path / "batch")
    assert hands.report(offers_of(whole)) == wanted != embedded(refused, tmp_path / "batch")
    again = ended("rejected", "send", "mended", cwd=tmp_path, env=hands.env)
    assert again.out == sent.out
    hands.caught_up()
    assert hands.report(offers_of(whole)) == wanted


def test_what_kafka_has_no_more_is_said(hands: Crew, refused: list[bytes], tmp_path: Path) -> None:
    """Where retention has taken the events, their letters stay, and the file has what is left."""
    topic = hands.env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    with KafkaConsumer(bootstrap_servers=hands.env["RICOCHET_KAFKA"]) as consumer:
        ends = consumer.end_offsets(places)
    with broker.admin(hands.env["RICOCHET_KAFKA"]) as client:
        client.delete_records(dict(ends))
    assert hands.command("rejected", "fetch", "bad").out == "0 written to bad, 4 are gone from Kafka\n"
    assert (tmp_path / "bad").read_bytes() == b""
    assert len(hands.command("rejected", "list").out.splitlines()) == 4


def test_letters_that_come_twice_or_from_elsewhere_are_told_rightly(hands: Crew) -> None:
    """A letter that a killed worker wrote again is told once; one of a connector names the network's message."""
    told = {"reason": "not JSON", "detail": "at 0", "topic": SOCIAL_EVENTS, "partition": 1, "offset": 7}
    worker = json.dumps(told).encode()
    foreign = foreign_letter(Rejected("not a status", "no account", b'{"geheim": "x"}'), "mastodon")
    send(hands, REJECTED, worker, worker, foreign, foreign)
    listed = hands.command("rejected", "list")
    assert listed.out.splitlines() == [
        "mastodon: not a status: no account",
        "mastodon: not a status: no account",
        "social-events-1-7: not JSON: at 0",
    ]
    assert listed.err == "3 rejected: 2 not a status, 1 not JSON\n"
    assert hands.command("rejected", "fetch", "bad").out == "0 written to bad, 1 are gone from Kafka\n"
    send(hands, REJECTED, b"?")
    complaint = ended("rejected", "list", cwd=hands.folder, env=hands.env).complaint()
    assert "rejected at 4 is no dead letter" in complaint
