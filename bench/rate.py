"""How fast events go through both stages, against only decoding them.

Two networks in many offers, most small and a few large: one whose shares do not say where they come from, and one whose
shares do. The stages take lines in, 500 at a time as the door sends them, keep facts, flush every 5,000 events, and
answer for every offer at the end.
"""

import gc
from collections.abc import Iterator
from itertools import count
from random import Random
from statistics import median
from time import process_time
from typing import Any, Final

import msgspec

from bench.result import Result
from bench.trees import START_MS, Tree, name
from spread import report
from spread.events import DAY_MS, AnyEvent, Rejected, decode
from streams.health import Health
from streams.pipeline import Pipeline
from streams.table import MemoryTable

SHARES: Final = 200_000
SLOWER: Final = 20
_ROUNDS: Final = 5
_BATCH: Final = 500
_FLUSH: Final = 5_000
_LARGEST: Final = 30_000
_ACCOUNTS: Final = 150_000


def measure() -> list[Result]:
    """The rate of the stages as a part of the rate of the decoder."""
    events, offers = shares(SHARES)
    lines = [msgspec.json.encode(event) for event in events]
    decoding, spreading = [], []
    for _ in range(_ROUNDS):
        decoding.append(_decode(lines))
        spreading.append(_spread(lines, offers))
    ratio = median(decoding) / median(spreading)
    return [Result("rate of both stages, to decoding alone", ratio, at_least=1 / SLOWER)]


def _decode(lines: list[bytes]) -> float:
    """Seconds to decode all lines."""
    gc.collect()
    decoder = msgspec.json.Decoder(AnyEvent)
    started = process_time()
    for line in lines:
        decoder.decode(line)
    return process_time() - started


def _spread(lines: list[bytes], offers: int) -> float:
    """Seconds to take all lines in and answer for all offers."""
    gc.collect()
    started = process_time()
    table = MemoryTable()
    pipeline = Pipeline(MemoryTable(), table, Health())
    for first in range(0, len(lines), _BATCH):
        events: list[AnyEvent] = []
        for line in lines[first : first + _BATCH]:
            for event in decode(line):
                assert not isinstance(event, Rejected)
                events.append(event)
        pipeline.feed(events, pipeline.health.newest)
        if (first + _BATCH) % _FLUSH == 0:
            pipeline.flush()
    pipeline.flush()
    answered = 0
    for id in pipeline.offers.ids(table):
        offer = pipeline.offers.offer(id, table)
        lines_of: list[report.Line] = [*offer.cascades(), offer.line()]
        answered += len([report.encode(line) for line in lines_of]) > 1
    assert answered == offers
    return process_time() - started


def shares(n: int) -> tuple[list[dict[str, Any]], int]:
    """Some `n` shares and their posts in the order of their time, and the number of their offers."""
    random = Random(1)
    events: list[dict[str, Any]] = []
    for offer in count():
        if len(events) - offer >= n:
            break
        size = min(_LARGEST, 3 + int(5 * random.paretovariate(0.9)))
        events.extend(_offer(offer, size, random))
    events.sort(key=lambda event: event["at"])
    return events, offer


def _offer(number: int, size: int, random: Random) -> Iterator[dict[str, Any]]:
    """A post and its shares, each by an account that may have taken part in other offers too."""
    tells = number % 2 == 1
    network, of = ("bluesky" if tells else "x"), f"{number:x}"
    tree = Tree(size, number)
    at = START_MS + random.randrange(7 * DAY_MS)
    for node in range(size):
        parent = tree.grow()
        account = int(_ACCOUNTS * random.random() ** 2)
        event = {
            "v": 1,
            "id": name(node, of),
            "kind": "share" if node else "post",
            "network": network,
            "at": at,
            "source": network,
            "actor": name(account, network),
            "offer": name(number, "offer"),
            "root": name(0, of),
        }
        if node and tells:
            event["via"] = name(parent, of)
        if not tells:
            event["followers"] = int(50 * random.paretovariate(1.1))
        yield event
        at += int(random.expovariate(1 / 20_000))
