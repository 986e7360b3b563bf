"""What leaves the stages, and when: by each network's retention, after a deletion, and after an erasure."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spread.facts import digest
from streams.keeping import Keeping
from streams.suppression import Suppressed
from streams.table import MemoryTable, Table
from tests.crowd import NOON
from tests.drive import Drive, report_of

HOUR = 3_600_000
DAY = 24 * HOUR
KEEPING = Keeping(100 * DAY, {"x": 10 * DAY}, logs_ms=2 * DAY, suppression_key=b"a key of sixteen")
NUMBERS = count()
Event = dict[str, Any]


def event(kind: str, actor: str, day: float, **more: Any) -> Event:
    """Make an event of an account on its network, so many days after noon."""
    network = actor.partition(":")[0]
    made = {"v": 1, "id": f"{network}:{next(NUMBERS)}", "kind": kind, "network": network, "at": NOON + int(day * DAY)}
    return made | {"actor": actor, **more}


def cascade(network: str, day: float, accounts: int = 3, offer: str = "o") -> list[Event]:
    """Make a post, shares of it by others, and the ties and follower counts of all."""
    post = event("post", f"{network}:boss", day, offer=offer, followers=50)
    post["root"] = post["id"]
    more = {"offer": offer, "root": post["id"]}
    shares = [event("share", f"{network}:a{n}", day, followers=n, **more) for n in range(1, accounts)]
    ties = [event("ties", f"{network}:a{n}", day, followed_by=[f"{network}:fan{n}"]) for n in range(1, accounts)]
    return [post, *shares, *ties, event("reply", f"{network}:a1", day, via=post["id"], **more)]


def holds(drive: Drive, wanted: bytes) -> bool:
    """Whether bytes stand anywhere in the tables."""
    return any(
        wanted in row or wanted in stored for table in (drive.people, drive.offers) for row, stored in table.items()
    )


def swept(drive: Drive, day: float) -> None:
    """Let two sweeps pass: what an offer closes with is safe before its facts go."""
    for _ in range(2):
        drive.pipeline.expire(NOON + int(day * DAY))
        drive.flush()


def told(drive: Drive, offer: str = "o") -> Any:
    """Give the offer's line of the report."""
    return json.loads(list(drive.offer(offer).report_lines())[-1])


def test_a_closed_offer_is_not_kept_at_hand() -> None:
    """Of an offer that is over nothing stays in memory, and whoever asks for it is answered all the same."""
    drive = Drive(keeping=KEEPING)
    drive.feed(cascade("bluesky", 0), now=NOON)
    before = told(drive)
    drive.flush()
    swept(drive, 101)
    drive.pipeline.expire(NOON + 102 * DAY)
    assert not [*drive.pipeline.offers.loaded()]
    assert told(drive) == before


# -- each network's retention ----------------------------------------------------------------------------------------


def test_each_network_has_a_retention_of_its_own() -> None:
    """What is older than its network's retention is refused by PEOPLE; another network's of the same day is not."""
    drive = Drive(keeping=KEEPING)
    drive.feed([*cascade("x", 0), *cascade("bluesky", 0)], now=NOON + 11 * DAY)
    assert {*told(drive)["networks"]} == {"bluesky"}
    assert drive.health.expired == len(cascade("x", 0))


def test_an_offer_closes_on_one_network_and_goes_on_elsewhere() -> None:
    """Totals and cascades stay as they were; of accounts, posts and ties there nothing is left in any row."""
    drive = Drive(keeping=KEEPING)
    lively = cascade("bluesky", 0)
    drive.feed([*cascade("x", 0), *cascade("x", 1), *lively], now=NOON + DAY)
    drive.flush()
    before = report_of(drive.offer("o"))
    assert all(holds(drive, name) for name in (b"x:a1", b"x:boss", b"bluesky:a1"))
    swept(drive, 10.5)
    assert holds(drive, b"x:a1"), "its last act is not so old"
    swept(drive, 11.5)
    assert not any(holds(drive, name) for name in (b"x:a", b"x:boss", digest("x:fan1").to_bytes(8, "little")))
    assert holds(drive, b"bluesky:a1")
    for life in (drive, drive.again()):
        assert report_of(life.offer("o")).lines == before.lines
        assert life.offer("o").nodes() == len([one for one in lively if one["kind"] != "ties"])
    drive.feed([event("share", "bluesky:new", 11, offer="o", root=lively[0]["id"])], now=NOON + 11 * DAY)
    assert told(drive)["nodes"] == 10
    drive.feed([event("share", "x:late", 11, offer="o", root="x:gone")], now=NOON + 11 * DAY)
    assert (told(drive)["nodes"], drive.health.expired) == (10, 1), "there it is closed"
    lines = sorted(drive.offer("o").report_lines())
    swept(drive, 120)
    assert (sorted(drive.offer("o").report_lines()), drive.offer("o").nodes()) == (lines, 0)
    assert not any(holds(drive, name) for name in (b"x:a", b"bluesky:a", b"bluesky:new"))


@given(
    st.lists(st.tuples(st.sampled_from(["x", "bluesky", "mastodon"]), st.integers(0, 3), st.integers(1, 5)), min_size=1)
)
def test_totals_over_closed_networks_are_those_of_all(cascades: list[tuple[str, int, int]]) -> None:
    """However an offer is spread over networks, closing some of them changes no line of its report."""
    keeping = Keeping(100 * DAY, {"x": 8 * DAY, "mastodon": 9 * DAY}, logs_ms=DAY)
    drive = Drive(keeping=keeping)
    drive.feed([one for network, day, n in cascades for one in cascade(network, day, n)], now=NOON + 3 * DAY)
    drive.flush()
    before = report_of(drive.offer("o")).lines
    for day in range(8, 14):
        swept(drive, day)
        assert sorted(drive.offer("o").report_lines()) == before
    assert not holds(drive, b"x:boss")


def test_networks_that_share_a_cascade_close_together() -> None:
    """A cascade with acts on two networks is kept whole until both are quiet."""
    drive = Drive(keeping=KEEPING)
    post, *rest = cascade("x", 0)
    drive.feed([post, *rest, event("share", "bluesky:b", 0, offer="o", root=post["id"])], now=NOON)
    drive.flush()
    swept(drive, 12)
    assert (told(drive)["nodes"], drive.offer("o").nodes()) == (4, 5)


# -- what an account took back ---------------------------------------------------------------------------------------


def test_who_took_back_what_it_did_leaves_the_tables() -> None:
    """It leaves each count at once; its name and ties go once no log can bring the act again."""
    drive = Drive(keeping=KEEPING)
    post, *rest = cascade("bluesky", 0, 2)
    more = {"offer": "o", "root": post["id"]}
    shared = event("share", "bluesky:sorry", 0, **more)
    below = event("share", "bluesky:below", 0, via=shared["id"], **more)
    listed = event("ties", "bluesky:sorry", 0, follows=["bluesky:friend"])
    gone = event("delete", "bluesky:sorry", 0.1, target=shared["id"])
    drive.feed([post, *rest, shared, below, listed, gone], now=NOON + DAY)
    drive.flush()
    lines = report_of(drive.offer("o"))
    assert told(drive)["nodes"] == 3
    swept(drive, 2)
    assert holds(drive, b"bluesky:sorry"), "a log may still bring it"
    swept(drive, 2.2)
    assert not any(holds(drive, name) for name in (b"bluesky:sorry", b"bluesky:friend"))
    assert not holds(drive, digest("bluesky:friend").to_bytes(8, "little"))
    assert report_of(drive.offer("o")) == lines
    drive.feed([shared, gone], now=NOON + 3 * DAY)
    assert report_of(drive.offer("o")) == lines, "a redelivery changes nothing"


def test_who_took_one_act_back_keeps_the_others() -> None:
    """Another act of the account, its ties and its follower count stay as they are."""
    drive = Drive(keeping=KEEPING)
    post, *rest = cascade("bluesky", 0, 2)
    again = event("share", "bluesky:a1", 0, offer="o", root=post["id"])
    drive.feed([post, *rest, again, event("delete", "bluesky:a1", 0.1, target=again["id"])], now=NOON)
    drive.flush()
    lines = report_of(drive.offer("o"))
    swept(drive, 3)
    assert report_of(drive.again().offer("o")) == lines
    assert holds(drive, b"bluesky:fan1")
    assert not holds(drive, b"bluesky:a1\x93"), "no delete of it"


# -- who was erased --------------------------------------------------------------------------------------------------


def test_of_who_was_erased_a_keyed_mark_is_left() -> None:
    """No row has its name or a digest that can be made without the key, and a redelivery does not bring it back."""
    drive = Drive(keeping=KEEPING)
    events = cascade("bluesky", 0)
    drive.feed([*events, event("forget", "bluesky:a1", 0.5)], now=NOON + DAY)
    drive.flush()
    marks = [row for table in (drive.people, drive.offers) for row in table if row.startswith(b"\0")]
    assert len({*marks}) == 1, "one mark, the same in both stages"
    name, plain = b"bluesky:a1", digest("bluesky:a1")
    kept = b"".join(row + stored for table in (drive.people, drive.offers) for row, stored in table.items())
    assert not any(one in kept for one in (name, plain.to_bytes(8, "little"), plain.to_bytes(8, "big")))
    other = Drive(keeping=Keeping(100 * DAY, suppression_key=b"another of them!"))
    other.feed([event("forget", "bluesky:a1", 0.5)], now=NOON + DAY)
    assert not {*marks} & {*other.people}
    for life in (drive, drive.again()):
        life.feed([*events, event("ties", "bluesky:a2", 1, follows=["bluesky:a1"])], now=NOON + DAY)
        life.flush()
        assert told(life)["nodes"] == 2
        assert not holds(life, name)


def test_the_mark_goes_when_no_log_can_bring_the_account_back() -> None:
    """It stays for as long as anything from before the erasure is taken, then leaves both tables with nothing else."""
    drive = Drive(keeping=KEEPING)
    events = cascade("bluesky", 0)
    drive.feed([*events, event("forget", "bluesky:a1", 1)], now=NOON + DAY)
    swept(drive, 100.9)
    assert [row for row in drive.people if row.startswith(b"\0")]
    drive.feed(events, now=NOON + int(100.9 * DAY))
    assert not holds(drive, b"bluesky:a1")
    swept(drive, 101.1)
    drive.feed(events, now=NOON + int(101.1 * DAY))
    assert not any(row.startswith(b"\0") for table in (drive.people, drive.offers) for row in table)
    assert not holds(drive, b"bluesky:a1")


@pytest.mark.parametrize(("at", "now"), [(0.0, 50.0), (50.0, 0.0)])
def test_an_erasure_lasts_from_when_it_is_heard(at: float, now: float) -> None:
    """One that a network dates long ago holds as long as one of today; a later one holds the longer."""
    drive = Drive(keeping=KEEPING)
    drive.feed([event("forget", "bluesky:a1", at)], now=NOON + int(now * DAY))
    swept(drive, 149)
    assert any(row.startswith(b"\0") for row in drive.people)
    swept(drive, 151)
    assert not any(row.startswith(b"\0") for row in drive.people)


def test_a_list_outlives_the_one_who_wrote_it() -> None:
    """Another life reads the marks back, and an empty list costs nothing: it is false."""
    table: Table = MemoryTable()
    first = Suppressed(b"a key of sixteen", table)
    assert not first
    assert first.add("x:1", table, 5)
    assert not first.add("x:1", table, 6)
    again = Suppressed(b"a key of sixteen", table)
    assert again
    assert ("x:1" in again, "x:2" in again) == (True, False)
    packed = b"".join(digest(one).to_bytes(8, "little") for one in ("x:1", "x:2"))
    assert again.without(packed) == packed[8:]
    assert "x:1" not in Suppressed(b"another key of it", table)
