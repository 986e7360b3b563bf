"""Published cascades as social events.

The files are research data that we may measure on and not pass on: they lie outside the repository, in the folder that
RICOCHET_TEST_CASCADES names, with `figures.json`, the figures that other programs found for them.
"""

from __future__ import annotations

import gzip
import heapq
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

Event = dict[str, Any]

VARIABLE: Final = "RICOCHET_TEST_CASCADES"
_TIMELESS: Final = 1_600_000_000_000
"""When cascades begin whose source tells only the time since their root."""


def folder() -> Path | None:
    """Find the folder of the data, None where none is set."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def needed() -> Path:
    """Give the folder of the data to a test, which is skipped where none is set."""
    found = folder()
    if found is None:
        pytest.skip(f"{VARIABLE} is not set: the published data lies outside the repository")
    assert found.is_dir(), f"{VARIABLE} names no folder: {found}"
    return found


def figures(data: Path) -> dict[str, Any]:
    """Read what is known of each set."""
    known: dict[str, Any] = json.loads((data / "figures.json").read_text())
    return known


def unpacked(path: Path) -> Iterator[str]:
    """Read the lines of a packed file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


class _Cascade:
    """The events of one root, on one network, as an offer of its own."""

    def __init__(self, network: str, native: str | int, offer: str, start: int) -> None:
        self.network, self.offer, self.start = network, offer, start
        self.root = f"{network}:{native}"

    def event(self, kind: str, id: str, after_ms: float, actor: str, **more: Any) -> Event:
        event = {
            "v": 1,
            "id": id,
            "kind": kind,
            "network": self.network,
            "at": int(self.start + after_ms),
            "actor": actor,
        }
        return event | {name: value for name, value in more.items() if value is not None}

    def post(self, actor: str, followers: int | None = None) -> Event:
        return self.event("post", self.root, 0, actor, offer=self.offer, root=self.root, followers=followers)

    def share(self, number: int, after_ms: float, actor: str, **more: Any) -> Event:
        return self.event("share", self.id(number), after_ms, actor, offer=self.offer, root=self.root, **more)

    def id(self, number: int) -> str:
        """Name a share so that the order of ids is that of the source, where times are equal."""
        return f"{self.root}/{number:06d}"

    def above(self, number: int) -> str:
        """Name a parent; 0 is the root."""
        return self.id(number) if number else self.root


def pheme(path: Path) -> Iterator[Event]:
    """Twitter threads: first shares of each account, and who follows whom among those who saw it.

    Follow edges are known thread by thread, so an account counts as one of its own in each.
    """
    for line in unpacked(path):
        thread = json.loads(line)
        if not thread["retweets"] or not thread["follows"]:
            continue
        cascade = _Cascade("x", thread["thread"], f"pheme-{thread['thread']}", thread["t0"] * 1_000)
        author = thread["source_user"]
        first: dict[int, tuple[int, int, int]] = {}
        for number, (after_s, user, followers) in enumerate(thread["retweets"]):
            if user != author:
                first.setdefault(user, (number, after_s, followers))
        audience: defaultdict[int, list[str]] = defaultdict(list)
        for follower, followed in thread["follows"]:
            audience[followed].append(f"{cascade.root}/u{follower}")
        yield cascade.post(f"{cascade.root}/u{author}", thread["source_followers"])
        for user in (author, *first):
            if user in audience:
                account = f"{cascade.root}/u{user}"
                yield cascade.event("ties", f"{cascade.root}/ties/{user}", 0, account, followed_by=audience[user])
        for user, (number, after_s, followers) in first.items():
            yield cascade.share(number, after_s * 1_000, f"{cascade.root}/u{user}", followers=followers)


def weibo(path: Path) -> Iterator[Event]:
    """Weibo cascades, with the parents that the network itself declares."""
    for line in unpacked(path):
        known = json.loads(line)
        cascade = _Cascade("weibo", known["id"], f"weibo-{known['id']}", known["t0"] * 1_000)
        yield cascade.post(f"weibo:root{known['id']}", known["root_followers"])
        for number, (after_s, user, parent) in enumerate(known["events"], 1):
            yield cascade.share(number, after_s * 1_000, f"weibo:{user}", via=cascade.above(parent))


def trees(path: Path) -> Iterator[Event]:
    """Twitter rumour trees with declared parents: deep, and with times that run backwards now and then."""
    for line in unpacked(path):
        known = json.loads(line)
        cascade = _Cascade("x", known["source_tweet"], f"tree-{known['source_tweet']}", _TIMELESS)
        yield cascade.post(f"x:u{known['root_user']}")
        for number, (after_min, user, parent, _) in enumerate(known["events"], 1):
            yield cascade.share(number, after_min * 60_000, f"x:u{user}", via=cascade.above(parent))


def higgs(path: Path) -> Iterator[Event]:
    """A week of retweets and replies; each account that was answered or retweeted is one root."""
    roots: dict[str, _Cascade] = {}
    for number, line in enumerate(unpacked(path)):
        actor, author, second, kind = line.split()
        if kind == "MT":
            continue
        at = int(second) * 1_000
        if author not in roots:
            roots[author] = _Cascade("x", f"higgs-{author}", f"higgs-{author}", at - 1)
            yield roots[author].post(f"x:u{author}")
        cascade = roots[author]
        id, more = f"{cascade.root}/{number:07d}", {"offer": cascade.offer, "root": cascade.root}
        if kind == "RT":
            yield cascade.event("share", id, at - cascade.start, f"x:u{actor}", **more)
        else:
            yield cascade.event("reply", id, at - cascade.start, f"x:u{actor}", via=cascade.root, **more)


SETS: Final = {"pheme": pheme, "weibo": weibo, "trees": trees, "higgs": higgs}


def well_delivered(events: Iterable[Event]) -> Iterator[bytes]:
    """Give events as lines, in the order of the source."""
    return (json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)


def badly_delivered(events: Iterable[Event], seed: int, late_s: int = 60, twice: float = 0.05) -> Iterator[bytes]:
    """Give events as lines: late by up to some seconds each, and a share of them a second time, later still.

    Sets that hold one cascade after the other are mixed in time by this, as they would have come.
    """
    rng = random.Random(seed)
    due: list[tuple[float, int, bytes]] = []
    for event in events:
        (line,) = well_delivered([event])
        due.append((event["at"] + rng.uniform(0, late_s * 1_000), len(due), line))
        if rng.random() < twice:
            due.append((event["at"] + rng.uniform(0, 3 * late_s * 1_000), len(due), line))
    heapq.heapify(due)
    while due:
        yield heapq.heappop(due)[2]


def write(lines: Iterable[bytes], to: Path) -> int:
    """Write lines to a file; how many there were."""
    n = 0
    with open(to, "wb") as file:
        for line in lines:
            file.write(line)
            n += 1
    return n


def reconstructed(path: Path) -> dict[int, list[tuple[int, int, int]]]:
    """Read trees that were rebuilt from followers: by tree its nodes, each with its parent and its generation."""
    found: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for line in unpacked(path):
        child, parent, tree, generation = map(int, line.split(","))
        found[tree].append((child, parent, generation))
    return found
