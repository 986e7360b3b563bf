"""From a Jetstream to the door: as a ratio to decoding the same lines, and at a steady two thousand events a second.

The first takes 100,000 lines through the connector (read as sightings, completed with the journal, published, the
cursor saved once Kafka has them), by the clock. In one mix a twentieth of the lines is about an offer, as on a busy day
of one network; in the other every line is. The second has a Jetstream in a process of its own say two thousand shares a
second for twenty seconds, and asks how far the saved cursor lies behind in the second half of that.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final
from uuid import uuid4

import msgspec

from bench.result import Result
from connectors.bluesky import Bluesky
from connectors.completion import Completion
from connectors.connector import Connector, Page
from connectors.door import Door
from connectors.journal import Journal
from connectors.runner import Runner
from spread.hashing import Hashing
from tests import broker
from tests.connecting import KEY, Notes, made
from tests.jetstream import COMPANY, FOLLOW, POST, REPOST, Jetstream, commit, offer_post, ref, uri
from tests.rehearsals import match

LINES: Final = 100_000
RATE: Final = 2_000
SECONDS: Final = 20
LAG_S: Final = 2.0
_TURNS: Final = 3
_PAGE: Final = 500
_START_US: Final = 1_790_000_000_000_000
_PARTITIONS: Final = 8


def measure() -> list[Result]:
    """Ratios of both mixes, the rate where every line is an event, and the lag at a steady rate."""
    results = []
    with broker.kafka() as servers:
        for name, one_in, at_least in (("a twentieth events", 20, 1 / 60), ("all events", 1, 1 / 120)):
            lines = [*_lines(one_in)]
            turns = [(_decoded(lines), _through(servers, lines)) for _ in range(_TURNS)]
            ratio = median(bare / connector for bare, connector in turns)
            results.append(Result(f"connector, to decoding: {name}", ratio, at_least=at_least))
            rate = LINES / median(connector for _, connector in turns)
            results.append(Result(f"  lines: {name}", rate, "a second", at_least=RATE))
        results.append(Result(f"cursor behind at {RATE:,} events/s", _lag_s(servers), "s", at_most=LAG_S))
    return results


def _lines(one_in: int) -> Iterator[bytes]:
    """The post of an offer, then reposts of it among what else a network says."""
    yield offer_post(_START_US)
    root, other = uri(COMPANY, POST, "job"), uri("did:plc:else", POST, "p")
    for n in range(1, LINES):
        did, at = f"did:plc:{n % 20_000:024d}", _START_US + 100 * n
        if n % one_in == 0:
            record = {"subject": ref(root), "createdAt": "2026-01-01T00:00:00Z"}
            via = {"via": ref(uri(f"did:plc:{(n - one_in) % 20_000:024d}", REPOST, f"r{n - one_in}"))} if n % 2 else {}
            yield commit(did, at, REPOST, record | via, f"r{n}")
        elif n % 10 < 6:
            yield commit(did, at, POST, {"text": "nothing to do with it " * 5, "langs": ["en"]}, f"p{n}")
        elif n % 10 < 9:
            yield commit(did, at, REPOST, {"subject": ref(other)}, f"r{n}")
        else:
            yield commit(did, at, FOLLOW, {"subject": "did:plc:someone"}, f"f{n}")


def _decoded(lines: list[bytes]) -> float:
    """Seconds that decoding takes, and no more."""
    decode = msgspec.json.Decoder().decode
    started = time.perf_counter()
    for line in lines:
        decode(line)
    return time.perf_counter() - started


class _Read(Bluesky):
    """The connector, reading lines that are there."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._at = lines, 0

    def connect(self, cursor: str | None) -> None:
        """Nothing to connect."""

    def read(self, timeout_s: float) -> Page | None:
        """Some lines."""
        some = self._lines[self._at : self._at + _PAGE]
        if not some:
            time.sleep(0.001)
            return None
        self._at += len(some)
        return Page(some, str(self._at), _START_US // 1000)

    def close(self) -> None:
        """Nothing to close."""


def _through(servers: str, lines: list[bytes]) -> float:
    """Seconds until the cursor behind the last line is saved."""
    with _running(servers, _Read(lines)) as (runner, started):
        while runner.status.messages < len(lines) or runner.status.unsafe_pages:
            time.sleep(0.002)
        return time.perf_counter() - started


def _lag_s(servers: str) -> float:
    """How far the saved cursor lies behind (s) when the last line is said, the greatest of the second half."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.connector"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        url = json.loads(child.stdout.readline())
        with _running(servers, made("bluesky", {"jetstream": url})) as (runner, _):
            while runner.status.state != "reading":
                time.sleep(0.01)
            child.stdin.write("go\n")
            child.stdin.flush()
            lags: list[float] = []
            started = time.time()
            while time.time() < started + SECONDS:
                time.sleep(0.05)
                if time.time() > started + SECONDS / 2 and runner.status.heard_ms is not None:
                    lags.append(time.time() - runner.status.heard_ms / 1000)
            assert child.stdout.readline()  # all was said
            while runner.status.messages < RATE * SECONDS + 1:
                time.sleep(0.01)
        child.stdin.close()
    return max(lags)


@contextmanager
def _running(servers: str, connector: Connector) -> Iterator[tuple[Runner, float]]:
    topic = f"bench-{uuid4().hex[:12]}"
    with broker.admin(servers) as client:
        client.create_topics({topic: {"num_partitions": _PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([topic])
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        hashing = Hashing(KEY, journal.own)
        completion = Completion(journal, match, "bluesky")
        runner = Runner(connector, journal, completion, lambda: Door(servers, topic, hashing=hashing), Notes())
        started = time.perf_counter()
        runner.start()
        try:
            yield runner, started
        finally:
            assert runner.stop()


def _serve() -> None:
    """Be a Jetstream that says shares at a steady rate once it is told to go."""
    with Jetstream() as server:
        print(json.dumps(server.url), flush=True)
        sys.stdin.readline()
        server.say(offer_post(time.time_ns() // 1000))
        root, started, n = uri(COMPANY, POST, "job"), time.monotonic(), 0
        while n < RATE * SECONDS:
            due = min(RATE * SECONDS, int((time.monotonic() - started) * RATE))
            now = time.time_ns() // 1000
            server.say(
                *(commit(f"did:plc:{k:024d}", now, REPOST, {"subject": ref(root)}, f"r{k}") for k in range(n, due))
            )
            n = due
            time.sleep(0.005)
        print("said", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    _serve()
