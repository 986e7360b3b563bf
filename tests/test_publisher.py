"""`ricochet replay --to kafka`: what a file holds lies in Kafka when the command ends, and is counted all the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from spread.events import DAY_MS, AnyEvent, Rejected, decode, key
from spread.hashing import Hashing
from streams.cluster import Cluster
from streams.topics import SOCIAL_EVENTS
from tests.crowd import crowd
from tests.processes import ended, good
from tests.test_door import events_in, messages

PARTITIONS = 3


def environment_of(kafka: str, prefix: str) -> dict[str, str]:
    """Give the settings of an installation under its own prefix."""
    return {
        "RICOCHET_KAFKA": kafka,
        "RICOCHET_TOPIC_PREFIX": prefix,
        "RICOCHET_SOCIAL_PARTITIONS": str(PARTITIONS),
        "RICOCHET_OFFER_PARTITIONS": "2",
    }


def in_kafka(env: Mapping[str, str]) -> list[AnyEvent]:
    """Read all events that lie in `social-events`."""
    topic = env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
    with Cluster(env["RICOCHET_KAFKA"]) as cluster:
        ends = cluster.ends(topic, PARTITIONS)
    return events_in(list(messages(env["RICOCHET_KAFKA"], topic, {n: end - 1 for n, end in ends.items() if end})))


def in_file(path: Path) -> list[AnyEvent]:
    """Decode the good events of a file."""
    return [
        event for line in path.read_bytes().splitlines() for event in decode(line) if not isinstance(event, Rejected)
    ]


def ids(events: list[AnyEvent]) -> Counter[str]:
    """Count the ids of events."""
    return Counter(event.id for event in events)


def test_a_file_is_brought_to_kafka(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Every good event is there when the command ends, bad lines are named, and the counts are those of any replay."""
    env = environment_of(kafka, prefix)
    good("topics", "create", cwd=tmp_path, env=env)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(crowd(7, 3_000, offers=3)) + b"no event\n" + b"".join(crowd(7, 3_000, offers=3))[:20_000])
    to_kafka = ended("replay", file, "--to", "kafka", cwd=tmp_path, env=env)
    embedded = ended("replay", file, cwd=tmp_path, env=env)
    assert to_kafka == embedded
    assert "rejected, not JSON" in to_kafka.err
    assert ids(in_kafka(env)) == ids(in_file(file))


def test_names_are_hashed_where_there_is_a_key(kafka: str, prefix: str, tmp_path: Path) -> None:
    """With a key in the settings, accounts and posts are hashed on the way, but not the employer's own."""
    hashed = {"RICOCHET_HASH_KEY": "0123456789abcdef", "RICOCHET_OWN": '["x:acme", "x:1"]'}
    env = environment_of(kafka, prefix) | hashed
    good("topics", "create", cwd=tmp_path, env=env)
    post = {
        "v": 1,
        "id": "x:1",
        "kind": "post",
        "network": "x",
        "at": 1,
        "actor": "x:acme",
        "offer": "o",
        "root": "x:1",
    }
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps([post, post | {"id": "x:2", "kind": "share", "actor": "x:ana"}]))
    good("replay", file, "--to", "kafka", cwd=tmp_path, env=env)
    hashing = Hashing(b"0123456789abcdef")
    assert ids(in_kafka(env)) == {"x:1": 1, hashing.name("x:2"): 1}
    assert {key(event) for event in in_kafka(env)} == {"x:acme", hashing.name("x:ana")}


def test_events_beyond_the_retention_are_told(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Workers leave out what is older than the retention, so bringing it is worth a line, and nothing else is."""
    env = environment_of(kafka, prefix) | {"RICOCHET_RETENTION_DAYS": "30"}
    good("topics", "create", cwd=tmp_path, env=env)
    line = '{"v":1,"id":"x:%d","kind":"post","network":"x","at":%d,"actor":"x:a","offer":"o","root":"x:%d"}\n'
    file = tmp_path / "events.jsonl"
    file.write_text(line % (1, 0, 1) + line % (2, 30 * DAY_MS, 2))
    assert good("replay", file, "--to", "kafka", cwd=tmp_path, env=env).err == ""
    file.write_text(line % (1, 0, 1) + line % (2, 30 * DAY_MS + 1, 2))
    assert "retention_days=30" in good("replay", file, "--to", "kafka", cwd=tmp_path, env=env).err


def test_what_can_not_be_is_refused_in_a_line(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Topics that are missing or have other partitions, and a state file: one line each, and nothing sent."""
    env = environment_of(kafka, prefix)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(crowd(7, 10)))
    replay = ("replay", file, "--to", "kafka")
    missing = ended(*replay, cwd=tmp_path, env=env).complaint()
    assert f"topic {prefix}social-events is missing" in missing
    assert "and 7 more, see `ricochet topics check`" in missing
    good("topics", "create", cwd=tmp_path, env=env)
    assert "--state" in ended(*replay, "--state", "s", cwd=tmp_path, env=env).complaint()
    other = ended(*replay, cwd=tmp_path, env=env | {"RICOCHET_SOCIAL_PARTITIONS": "9"}).complaint()
    assert "has 3 partitions, the settings say 9" in other
    with Cluster(kafka) as cluster:
        assert not any(cluster.ends(f"{prefix}social-events", PARTITIONS).values())
