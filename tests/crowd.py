"""A crowd: as many events as are asked for, on many offers at once, as they come over a bad line.

Everything that bears on a tree is in it (declared parents and followed ones, deletes before and after their target,
profiles, totals, gaps, a person's assignment, an erasure), shuffled and in part delivered twice.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Final

Event = dict[str, Any]

NOON: Final = 1_760_000_000_000
NETWORKS: Final = ("x", "bluesky", "linkedin")
_TWICE: Final = 0.06


def crowd(seed: int, n: int, offers: int = 12) -> list[bytes]:
    """Give `n` deliveries as JSON lines with their line breaks."""
    rng = random.Random(seed)
    events = list(islice(_events(rng, offers), n - round(n * _TWICE)))
    events += rng.sample(events, n - len(events))
    rng.shuffle(events)
    return [json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for event in events]


def _events(rng: random.Random, offers: int) -> Iterator[Event]:
    ids = count(1)
    acts: dict[str, list[Event]] = {}
    at = NOON

    def event(kind: str, network: str, **more: Any) -> Event:
        return {"v": 1, "id": f"{network}:{next(ids)}", "kind": kind, "network": network, "at": at, **more}

    for number in range(offers):
        for network in NETWORKS:
            post = event("post", network, actor=f"{network}:employer-{number}", offer=f"métier/{number}", text="é")
            post["root"] = post["id"]
            acts[post["id"]] = [post]
            yield post
    roots = list(acts)
    yield event("assign", "x", offer="métier/0", root=roots[-1])
    yield event("forget", "x", actor="x:17")
    while True:
        at += rng.randrange(400)
        root = rng.choice(roots)
        first = acts[root][0]
        network, offer = first["network"], first["offer"]
        actor = f"{network}:{rng.randrange(1_500)}"
        other = rng.choice(acts[root])
        draw = rng.random()
        if draw < 0.8:
            kind = "share" if draw < 0.7 else "quote" if draw < 0.74 else "reply"
            act = event(kind, network, actor=actor, offer=offer, root=root)
            if kind != "share" or rng.random() < 0.3:
                act["via"] = other["id"]
            if rng.random() < 0.5:
                act["followers"] = rng.randrange(2_000)
            acts[root].append(act)
            yield act
        elif draw < 0.84:
            yield event("delete", network, actor=other["actor"] if rng.random() < 0.9 else actor, target=other["id"])
        elif draw < 0.89:
            side = rng.choice(("follows", "followed_by"))
            people = [other["actor"], *(f"{network}:{rng.randrange(1_500)}" for _ in range(rng.randrange(8)))]
            yield event("ties", network, actor=actor, **{side: people})
        elif draw < 0.95:
            yield event("profile", network, actor=actor, followers=rng.randrange(5_000))
        elif draw < 0.98:
            yield event("counts", network, offer=offer, target=root, likes=rng.randrange(900))
        elif draw < 0.99:
            yield event("outcome", network, offer=offer, stage="click", n=rng.randrange(9))
        else:
            yield event("gap", network, **{"from": at, "to": at + 1_000, "why": "a blind minute"})
