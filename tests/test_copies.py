"""Copies of partitions that no worker has do not outlive an erasure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from ricochet import places
from ricochet.copies import erase_old
from streams.clock import wall_clock
from streams.topics import OFFERS_TABLE, PEOPLE_TABLE
from tests.crew import PARTITIONS, Crew, crew
from tests.erasure import ENV, HASHING, STEP_MS, files, lines, tells
from tests.processes import Child, until

OLD_MS = 60_000
ROOT = HASHING.name("bluesky:post")
LEAVING = [f"bluesky:did:plc:leaves{n}" for n in range(8)]
STAYING = [f"bluesky:did:plc:stays{n}" for n in range(8)]


def copy(place: Path, name: str, age_ms: int) -> Path:
    """Put a partition on a place's disk that was last written to so long ago."""
    folder = place / "v1" / "tables" / name
    folder.mkdir(parents=True)
    row = folder / "000001.sst"
    row.write_bytes(b"a row")
    for path in (row, folder):
        os.utime(path, (time() - age_ms / 1000,) * 2)
    return folder


def test_old_copies_go_from_places_that_nobody_has(tmp_path: Path) -> None:
    """And from a worker's own, but for what it has now; nothing goes that is young, or another worker's."""
    mine, other, left = (places.take(tmp_path, name) for name in ("a", "b", "c"))
    left.lock.close()
    stay = [
        copy(mine.folder, "people-0.db", 2 * OLD_MS),
        copy(mine.folder, "people-1.db", OLD_MS // 2),
        copy(other.folder, "people-2.db", 2 * OLD_MS),
        copy(left.folder, "people-3.db", OLD_MS // 2),
    ]
    copy(mine.folder, "offers-0.db", 2 * OLD_MS)
    copy(left.folder, "people-0.db", 2 * OLD_MS)
    copy(left.folder, "people-1.erased", 0)  # a kill came while it was deleted
    erase_old(mine.folder, {"people-0.db"}, OLD_MS)
    assert sorted(tmp_path.glob("*/v1/tables/*")) == sorted(stay)
    again = places.take(tmp_path, "c")
    for place in (mine, other, again):
        place.lock.close()


@pytest.fixture
def sharing(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """Give an installation in which an erasure leaves the disk within some seconds."""
    env = ENV | {"RICOCHET_ENGINE": "kafka", "RICOCHET_ERASURE_HOURS": str(14 * STEP_MS / 3_600_000)}
    with crew(kafka, prefix, tmp_path, env) as made:
        yield made


def told(account: str, kind: str, **more: Any) -> dict[str, Any]:
    """Tell of what an account does, hashed."""
    id = HASHING.name(f"{account}/{kind}")
    return {
        "v": 1,
        "network": "bluesky",
        "id": id,
        "at": wall_clock(),
        "actor": HASHING.name(account),
        "kind": kind,
    } | more


def partitions(child: Child) -> dict[str, float]:
    """Tell how many partitions of each stage a worker has."""
    found = child.samples().items()
    return {dict(of)["stage"]: n for (name, of), n in found if name == "ricochet_worker_partitions"}


def test_an_erasure_reaches_copies_of_partitions_that_moved_away(sharing: Crew, tmp_path: Path) -> None:
    """Of three workers that shared what one had, one leaves; in no folder is who was erased then, others are."""
    hands, data = sharing, tmp_path / "data"

    def named(accounts: list[str], place: str = "") -> list[str]:
        content = b"\n".join(files(data / place).values())
        return [one for one in accounts if tells(one, content)]

    def given_out(*has: tuple[Child, int]) -> None:
        def seen() -> bool:
            return all(partitions(child) == {"people": n, "offers": n} for child, n in has)

        until(seen, "partitions given out", every_s=0.1)

    first = hands.start("a")
    given_out((first, PARTITIONS))
    shares = [told(one, "share", offer=f"o{n}", root=ROOT) for n, one in enumerate(LEAVING + STAYING)]
    hands.send(lines(shares).splitlines())
    hands.caught_up()
    until(lambda: named(LEAVING, "a") == LEAVING, "all on the first one's disk")
    second = hands.start("b")
    given_out((first, 2), (second, 2))
    third = hands.start("c")
    given_out((third, 1))
    hands.stop(third)
    given_out((first, 2), (second, 2))

    hands.send(lines([told(one, "forget") for one in LEAVING]).splitlines())
    hands.caught_up()
    until(lambda: not named(LEAVING), "gone from all folders", every_s=0.1)
    assert named(STAYING) == STAYING
    for table in (PEOPLE_TABLE, OFFERS_TABLE):
        held = [path.name for path in data.glob(f"*/v1/tables/{table}-*.db")]
        assert sorted(held) == [f"{table}-{number}.db" for number in range(PARTITIONS)]
