"""Snapshots of offers: bounded whatever the offer has grown to, and each offer's turn comes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.snapshots import AT_ONCE, EVERY_S, NETWORKS, Due, snapshot
from tests.drive import Drive
from tests.worlds import NOON

BYTES = 8_192


def test_a_snapshot_is_bounded() -> None:
    """Ten thousand shares over years, on more networks than there are: a snapshot is small, and tells the largest."""
    day = 86_400_000
    names = [f"network-{number}" for number in range(1_000)]
    acts = [
        {
            "v": 1,
            "id": f"{name}:{number}",
            "kind": "post" if number == 0 else "share",
            "network": name,
            "at": NOON + number * day // 5,
            "actor": f"{name}:{number}",
            "offer": "o",
            "root": f"{name}:0",
        }
        for place, name in enumerate(names)
        for number in range(2_000 if place == 7 else 8)
    ]
    drive = Drive()
    drive.feed(acts, NOON + 400 * day)
    told = snapshot(drive.offer("o"), NOON + 400 * day, "http://127.0.0.1:8780")
    line = json.loads(told)["line"]
    assert len(told) < BYTES
    assert line["nodes"] == len(acts) == 2_000 + 999 * 8
    assert len(line["networks"]) == NETWORKS
    assert line["networks"]["network-7"] == {"nodes": 2_000, "participants": 2_000}


@given(st.lists(st.lists(st.integers(0, 200).map(str), max_size=120), max_size=12))
def test_every_touched_offer_gets_its_turn(touches: list[list[str]]) -> None:
    """Each offer that was touched is due once a round at most, a few at a time, and none is left out."""
    due, moment, told = Due(), 0.0, set()
    for touched in touches:
        due.touch(touched)
        some = due.next(moment)
        assert len(some) == len(set(some)) <= AT_ONCE
        told.update(some)
        moment += 1.0
    for _ in range(200):
        told.update(due.next(moment))
        moment += EVERY_S
    assert told == {offer for touched in touches for offer in touched}
    assert due.next(moment + EVERY_S) == []
