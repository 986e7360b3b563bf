"""Input that is late, twice, out of order, skewed, poisoned, huge, or garbage: good events go on, the rest is told."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from pathlib import Path
from zlib import crc32

from kafka import KafkaProducer

from spread.events import DAY_MS, MAX_BATCH, MAX_MESSAGE_BYTES, Rejected, decode
from spread.partition import partition
from streams.clock import wall_clock
from streams.topics import SOCIAL_EVENTS
from tests.crew import PARTITIONS
from tests.crowd import crowd
from tests.faults.story import Story

GARBAGE = 5_000
YEAR_MS = 365 * DAY_MS


def skewed(seed: int, n: int) -> list[bytes]:
    """Give `n` deliveries up to now: a tenth of them repeated, some a year old; shuffled.

    The clocks of accounts are off by up to a day, so that in a cascade what came of a post may be before it.
    """
    rng = random.Random(seed)
    events = [json.loads(line) for line in crowd(seed, n * 9 // 10)]
    ahead = wall_clock() - max(event["at"] for event in events)
    skews = DAY_MS * 23 // 24, -DAY_MS, 0
    for event in events:
        event["at"] += ahead + skews[crc32(event.get("actor", event["id"]).encode()) % len(skews)]
        if rng.random() < 0.03 and event["kind"] != "delete":  # a deletion so old takes its account's lists with it
            event["at"] -= YEAR_MS
    lines = [json.dumps(event).encode() + b"\n" for event in events]
    lines += rng.sample(lines, n - len(lines))
    rng.shuffle(lines)
    return lines


def large(lines: list[bytes]) -> list[bytes]:
    """Give quotes by one account that make a message of 5 MB."""
    root = next(event for line in lines if (event := json.loads(line))["kind"] == "post")
    quote = {name: root[name] for name in ("v", "network", "at", "offer", "root")}
    quote |= {"kind": "quote", "actor": f"{root['network']}:talker", "via": root["id"], "text": "w" * 60_000}
    return [json.dumps(quote | {"id": f"{root['network']}:talk-{n}"}).encode() + b"\n" for n in range(88)]


def mistyped(lines: list[bytes]) -> list[bytes]:
    """Give events that would be good if their time were a number."""
    root = next(event for line in lines if (event := json.loads(line))["kind"] == "post")
    share = {name: root[name] for name in ("v", "network", "offer", "root")} | {"kind": "share", "at": str(root["at"])}
    return [
        json.dumps(share | {"id": f"{root['network']}:mended-{n}", "actor": f"{root['network']}:late-{n}"}).encode()
        for n in range(40)
    ]


def poison(lines: list[bytes], bad: list[bytes]) -> list[bytes]:
    """Give messages with bad events amid good ones, and ones that are bad as a whole."""
    some = [line.strip() for line in lines[:200]]
    return [
        b"[" + b",".join([*some[:100], *bad, b'{"v":1}', b"[1]", b"7", b"null", *some[100:]]) + b"]",
        b"[" + b",".join(some[:20]),
        b"[" + b",".join([b"{}"] * (MAX_BATCH + 1)) + b"]",
        b"[" * 100_000,
        b"\xff\xfe" + some[0],
        b"",
    ]


def garbage(rng: random.Random) -> bytes:
    """Give a message that nobody can read, or one that almost can be."""
    if rng.random() < 0.5:
        return b"?" + rng.randbytes(rng.randrange(2_000))
    return json.dumps({"v": 1, "id": f"x:{rng.random()}", "kind": "shout", "actor": "x:somebody"}).encode()


class Flood(threading.Thread):
    """A producer that sends garbage as fast as it can."""

    def __init__(self, story: Story, seed: int) -> None:
        super().__init__(daemon=True)
        rng = random.Random(seed)
        self.messages = [garbage(rng) for _ in range(GARBAGE)]
        self._story = story

    def run(self) -> None:
        """Send."""
        send(self._story, self.messages)


def send(story: Story, messages: list[bytes], to: int | None = None) -> None:
    """Send messages to a partition, or to all in turn."""
    env = story.hands.env
    with KafkaProducer(bootstrap_servers=env["RICOCHET_KAFKA"], max_request_size=MAX_MESSAGE_BYTES) as producer:
        topic = env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
        sent = [
            producer.send(topic, message, partition=n % PARTITIONS if to is None else to)
            for n, message in enumerate(messages)
        ]
        for one in sent:
            one.get(timeout=300)


def reasons(messages: list[bytes]) -> Counter[str]:
    """Count what is wrong with messages."""
    return Counter(part.reason for one in messages for part in decode(one) if isinstance(part, Rejected))


def test_good_events_go_on_whatever_comes_with_them(story: Story, tmp_path: Path) -> None:
    """Late, repeated and skewed events beside poison, 5 MB and garbage at full speed: all good ones count.

    The dead letters tell each bad one and no other, though a worker is killed meanwhile; mended ones count once sent.
    """
    lines = skewed(131, 30_000)
    whole, bad = large(lines), mistyped(lines)
    story.start("a", "b")
    story.events(lines)
    story.reaches(0.1)
    (flood := Flood(story, 132)).start()
    send(story, poisoned := poison(lines, bad))
    message = b"[" + b",".join(line.strip() for line in whole) + b"]"
    assert 5 * 2**20 < len(message) < MAX_MESSAGE_BYTES
    send(story, [message], to=partition(json.loads(whole[0])["actor"], PARTITIONS))
    story.also(whole)
    story.reaches(0.5)
    story.kill("a")
    story.start("a")
    flood.join(300)
    assert not flood.is_alive()
    story.settles()

    told = story.hands.command("rejected", "list")
    expected = reasons([*flood.messages, *poisoned])
    assert Counter(line.split(": ")[1] for line in told.out.splitlines()) == expected
    assert told.err.startswith(f"{expected.total():,} rejected: ")
    assert "somebody" not in told.out

    reason = next(iter(reasons(bad)))
    story.hands.command("rejected", "fetch", "bad", "--reason", reason)
    fetched = (tmp_path / "bad").read_bytes().splitlines()
    assert {*bad} <= {*fetched}
    mended = [json.dumps(event | {"at": int(event["at"])}).encode() + b"\n" for event in map(json.loads, bad)]
    (tmp_path / "mended").write_bytes(b"".join(mended))
    assert story.hands.command("rejected", "send", "mended").out == "40 sent, 0 still rejected\n"
    story.also(mended)
    story.ends_well()
