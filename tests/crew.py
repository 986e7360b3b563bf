"""Workers on a real Kafka as tests drive them: topics of their own, places of their own, ended by their own pids."""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from ricochet.answers import Workers
from ricochet.waiting import wait
from spread.events import Rejected, decode, key
from spread.partition import partition
from streams.cluster import Cluster
from streams.topics import SOCIAL_EVENTS, Layout
from tests.drive import offers_named
from tests.processes import HANG_S, Child, Ended, address, command, environment, good, until

PARTITIONS = 4


@dataclass
class Crew:
    """The workers of one installation. `env` holds its settings."""

    folder: Path
    env: dict[str, str]
    hands: list[Child] = field(default_factory=list)

    def command(self, *args: str | Path, hang_s: float = 300.0) -> Ended:
        """Run another command of the installation, that must end well."""
        return good(*args, cwd=self.folder, env=self.env, hang_s=hang_s)

    def start(self, name: str | None = None, env: Mapping[str, str] | None = None, port: int | None = 0) -> Child:
        """Start a worker, by default in the first free place and at any free port, and wait for its address.

        Without a port it has that of its place.
        """
        named = ["--name", name] if name else []
        args = command("worker", *(() if port is None else ("--port", str(port))), *named)
        child = Child(args, self.folder, environment(self.env | dict(env or {})))
        self.hands.append(child)
        child.base = address(child.line('"event": "working"'))
        return child

    def send(self, lines: Sequence[bytes], batch: int = 200, to: int | None = None) -> None:
        """Send events to their partitions (or all to one), a message for each `batch` of them; singly for 1."""
        with KafkaProducer(bootstrap_servers=self.env["RICOCHET_KAFKA"], linger_ms=20) as producer:
            topic = self.env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
            for number, value in messages(lines, batch, to):
                producer.send(topic, value, partition=number)
            producer.flush()

    def produce(self, bare: str, value: bytes | None, partition: int) -> None:
        """Put one message into a topic, as it is."""
        with KafkaProducer(bootstrap_servers=self.env["RICOCHET_KAFKA"]) as producer:
            topic = self.env["RICOCHET_TOPIC_PREFIX"] + bare
            producer.send(topic, value, b"x:1", partition=partition).get(timeout=HANG_S)

    def caught_up(self) -> None:
        """Wait until the workers have acknowledged everything in both topics, what they sent each other included."""
        layout = Layout(self.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
        with Cluster(self.env["RICOCHET_KAFKA"]) as cluster:
            ends = cluster.ends(layout.name(SOCIAL_EVENTS), PARTITIONS)
            wait(cluster, layout, {number: end - 1 for number, end in ends.items()}, lambda _: None)

    def report(self, offers: Iterable[str]) -> tuple[bytes, bytes]:
        """Ask the workers for the report and the edges of some offers, as `replay` writes them."""
        layout = Layout(self.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
        workers = Workers(self.env["RICOCHET_KAFKA"], layout, {})
        try:
            asked = sorted(offers)
            report = [line for offer in asked for line in workers.report_lines(offer)]
            edges = [line for offer in asked for line in workers.edge_lines(offer)]
        finally:
            workers.close()
        return b"".join(line + b"\n" for line in report), b"".join(line + b"\n" for line in edges)

    def kill(self, child: Child) -> None:
        """Kill a worker, as a power cut would."""
        assert child.end(signal.SIGKILL) == -signal.SIGKILL
        self.gone(child)

    def stop(self, child: Child) -> None:
        """Stop a worker cleanly."""
        assert child.end() == 0, child.said
        self.gone(child)

    def gone(self, child: Child) -> None:
        """Strike off a worker that has ended."""
        child.__exit__(None, None, None)
        self.hands.remove(child)

    def ready(self, child: Child) -> None:
        """Wait until a worker is ready."""
        until(lambda: child.get("/readyz").status_code == 200, f"ready: {child.said}", every_s=0.1)

    def events(self) -> int:
        """Count the events that the living workers have taken in."""
        return sum(child.events() for child in self.hands)


@contextmanager
def crew(bootstrap: str, prefix: str, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Crew]:
    """Make the topics of an installation; its workers are killed with the block."""
    settings = {
        "RICOCHET_KAFKA": bootstrap,
        "RICOCHET_TOPIC_PREFIX": prefix,
        "RICOCHET_SOCIAL_PARTITIONS": str(PARTITIONS),
        "RICOCHET_OFFER_PARTITIONS": str(PARTITIONS),
        "RICOCHET_DATA": str(folder / "data"),
        "RICOCHET_RETENTION_DAYS": "36500",
        "RICOCHET_NETWORK_RETENTION_DAYS": '{"linkedin": 36500, "facebook": 36500, "threads": 36500}',
        "RICOCHET_LOG_FORMAT": "json",
    }
    hands = Crew(folder, settings | dict(env or {}))
    hands.command("topics", "create")
    try:
        yield hands
    finally:
        for child in hands.hands:
            child.__exit__(None, None, None)


def messages(lines: Iterable[bytes], batch: int, to: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Gather events into messages of `batch`, each with its partition (or all for one); single events for 1."""
    waiting: defaultdict[int, list[bytes]] = defaultdict(list)

    def message(number: int) -> tuple[int, bytes]:
        some = waiting.pop(number)
        return number, some[0] if batch == 1 else b"[" + b",".join(some) + b"]"

    for line in lines:
        (event,) = decode(line)
        of = 0 if isinstance(event, Rejected) else partition(key(event), PARTITIONS)
        number = of if to is None else to
        waiting[number].append(line.strip())
        if len(waiting[number]) == batch:
            yield message(number)
    for number in [*waiting]:
        yield message(number)


def offers_of(lines: list[bytes]) -> list[str]:
    """List the offers that lines name."""
    return offers_named(map(json.loads, lines))


def embedded(lines: list[bytes], folder: Path) -> tuple[bytes, bytes]:
    """Give the report, without its line about the input, and the edges that the embedded engine gives."""
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    good("replay", "events.jsonl", "--report", "report", "--edges", "edges", cwd=folder, hang_s=300)
    report = (folder / "report").read_bytes().splitlines(keepends=True)
    return b"".join(report[:-1]), (folder / "edges").read_bytes()


def assert_same(given: tuple[bytes, bytes], wanted: tuple[bytes, bytes]) -> None:
    """Hold two reports with their edges against each other, and show the first lines that differ."""
    if given != wanted:
        for one, other in zip(given, wanted, strict=True):
            differing = [
                f"given  {mine.decode()}\nwanted {right.decode()}"
                for mine, right in zip(one.splitlines(), other.splitlines(), strict=False)
                if mine != right
            ]
            assert not differing, "\n".join([f"{len(differing)} lines differ", *differing[:5]])
        assert given == wanted


def read_all(hands: Crew, topic: str, n: int) -> list[dict[str, Any]]:
    """Read so many messages of a topic from its beginning."""
    found: list[dict[str, Any]] = []
    consumer = KafkaConsumer(
        hands.env["RICOCHET_TOPIC_PREFIX"] + topic,
        bootstrap_servers=hands.env["RICOCHET_KAFKA"],
        auto_offset_reset="earliest",
        group_id=None,
    )
    try:

        def enough() -> bool:
            for records in consumer.poll(timeout_ms=500).values():
                found.extend(json.loads(record.value) for record in records)
            return len(found) >= n

        until(enough, f"{n} messages in {topic}")
    finally:
        consumer.close()
    return found
