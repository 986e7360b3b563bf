"""Follower look-ups: what is asked first, what it costs, where it stops, and what comes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.connector import Abilities, Declaration, Finder, NotConnected, Prices, RateLimited
from connectors.finding import Finding
from connectors.lookups import Budget, Candidate, Lookups, cost, in_order, sides, worth
from spread.events import DAY_MS, AnyEvent, Forget, Post, Profile, Share, Ties
from tests.connecting import Notes, Shelf
from tests.processes import HANG_S, environment, until

NOW = 1_790_000_000_000
WEEK_MS = 7 * DAY_MS


def share(number: int, via: str | None = None, followers: int | None = None) -> Share:
    """Make a share by an account of its own."""
    return Share(
        v=1, id=f"x:s{number}", network="x", at=NOW + number, actor=f"x:a{number}", offer="o", root="x:1", via=via,
        followers=followers,
    )  # fmt: skip


POST = Post(v=1, id="x:1", network="x", at=NOW, actor="x:acme", offer="o", root="x:1", followers=50)


@pytest.fixture
def lookups(tmp_path: Path) -> Iterator[Lookups]:
    """Give a store."""
    made = Lookups(tmp_path / "lookups", WEEK_MS)
    yield made
    made.close()


def test_what_would_tell_most_comes_first() -> None:
    """Early beats late, well-followed beats hardly followed, without a known parent beats with one."""
    plain = Candidate("x:a", "x:1", 5, True, 100)
    for better in (plain._replace(rank=2), plain._replace(followers=5_000), plain._replace(has_parent=False)):
        assert in_order([plain, better]) == in_order([better, plain]) == [better, plain]
    assert (sides(plain), sides(plain._replace(has_parent=False))) == (("followed_by",), ("follows", "followed_by"))


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.booleans())
def test_worth_only_grows(rank: int, followers: int, has_parent: bool) -> None:
    """One follower more never makes a look-up worth less, nor does one sharer less before."""
    one = Candidate("x:a", "x:1", rank, has_parent, followers)
    assert worth(one._replace(followers=followers + 1)) >= worth(one) > worth(one._replace(rank=rank + 1))


def test_who_shared_long_ago_is_forgotten(tmp_path: Path) -> None:
    """Whoever has not shared for the retention goes when another shares; who shared again since stays."""
    with closing(Lookups(tmp_path / "kept", WEEK_MS, retention_ms=DAY_MS)) as lookups:
        lookups.saw([share(1), share(2)])
        lookups.saw([msgspec.structs.replace(share(2), id="x:again", at=NOW + DAY_MS)])
        lookups.saw([msgspec.structs.replace(share(3), at=NOW + DAY_MS + 10)])
        assert lookups.accounts() == {"x:a2", "x:a3"}


def test_who_shared_is_known_again(lookups: Lookups, tmp_path: Path) -> None:
    """Sharers are kept with their rank in the cascade, once, over a new start; who is forgotten is not."""
    lookups.saw(
        [
            POST,
            share(1),
            share(2, via="x:s1"),
            share(1, followers=70),
            Forget(v=1, id="f", network="x", at=1, actor="x:a2"),
        ]
    )
    lookups.close()
    again = Lookups(tmp_path / "lookups", WEEK_MS)
    assert sorted(again.unlisted(NOW)) == [
        Candidate("x:a1", "x:1", 1, False, 70),
        Candidate("x:acme", "x:1", 0, True, 50),
    ]
    again.close()


def test_an_answer_holds_until_it_expires(lookups: Lookups) -> None:
    """Who was looked up is not asked about again before the expiry, and then is."""
    lookups.saw([share(1)])
    lookups.counted({"x:a1": 7}, ["x:a1"], NOW)
    lookups.listed("x:a1", NOW)
    assert (lookups.uncounted(NOW + WEEK_MS, 9), lookups.unlisted(NOW + WEEK_MS)) == ([], [])
    assert lookups.uncounted(NOW + WEEK_MS + 1, 9) == ["x:a1"]
    assert [one.followers for one in lookups.unlisted(NOW + WEEK_MS + 1)] == [7]


def test_the_budget_is_that_of_a_day(lookups: Lookups) -> None:
    """What was spent is gone until the next day, in calls and in money."""
    daily = Budget(10, 1.0)
    lookups.spend(NOW, 0.4)
    lookups.spend(NOW, 0.5)
    lookups.repay(NOW, 0.2)
    left = lookups.left(NOW, daily)
    assert (left.calls, round(left.money, 6)) == (8, 0.3)
    assert lookups.left(NOW + DAY_MS, daily) == daily
    assert left.covers(Prices(row=0.01), 30)
    assert not left.covers(Prices(row=0.01), 31)
    assert not Budget(0, 9.0).covers(Prices(), 1)
    assert cost(Prices(call=0.1, row=0.01), 5) == pytest.approx(0.15)


class Book(Finder):
    """A network that knows lists by heart, counts the rows it sold, and fails as it is told."""

    page_rows = 10
    counts_at_once = 5

    def __init__(self, followers: dict[str, list[str]], fails: list[Exception] | None = None) -> None:
        self.followers, self.fails = followers, fails or []
        self.asked: list[tuple[str, str]] = []
        self.pages: list[str | None] = []
        self.sold = 0

    def counts(self, accounts: list[str]) -> dict[str, int]:
        """Give counts."""
        self.sold += len(accounts)
        return {account: len(self.followers[account]) for account in accounts if account in self.followers}

    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """Give ten of a list."""
        if self.fails:
            raise self.fails.pop(0)
        at = int(page or 0)
        self.asked.append((account, side))
        self.pages.append(page)
        rows = self.followers.get(account, []) if side == "followed_by" else []
        some, rest = rows[at : at + 10], rows[at + 10 :]
        self.sold += len(some)
        return some, str(at + 10) if rest else None

    def close(self) -> None:
        """Nothing to close."""


DAILY = Budget(100, 5.0)


def long_list() -> Book:
    """Give a network with one list of four pages."""
    book = Book({"x:a1": [f"x:f{n}" for n in range(35)]})
    book.counts_at_once = 0
    return book


class Deadly(Book):
    """A network that kills whoever asks for one page too many, before the answer is kept."""

    lives = 0

    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """Give ten of a list, or die."""
        if len(self.pages) == self.lives:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().listed(account, side, page)


def finding(lookups: Lookups, book: Book, daily: Budget, prices: Prices, shelf: Shelf, log: Notes) -> Finding:
    """Make a thread that looks up."""
    declared = Declaration("x", "x", "", Abilities(), prices=prices)
    return Finding(declared, book, lookups, daily, lambda: shelf, log=log, wait_s=0.01)


def ties(events: list[AnyEvent]) -> list[Ties]:
    """Give the lists that came."""
    return [event for event in events if isinstance(event, Ties)]


def test_lists_and_counts_become_events(lookups: Lookups) -> None:
    """Each sharer's followers, whole and marked complete, its count, and whom it follows where that could tell."""
    book = Book({"x:acme": [f"x:f{n}" for n in range(25)], "x:a1": []})
    shelf, notes = Shelf(), Notes()
    one = finding(lookups, book, Budget(100, 0.0), Prices(), shelf, notes)
    lookups.saw([POST, share(1)])
    one.start()
    until(lambda: len(ties(shelf.events)) == 3, "the lists")
    until(lambda: not lookups.unlisted(time.time_ns() // 10**6), "the answers kept")
    assert one.stop()
    told = {(event.actor, event.follows is not None): event for event in ties(shelf.events)}
    assert told["x:acme", False].followed_by == book.followers["x:acme"]
    assert all(event.complete for event in told.values())
    assert told["x:a1", True].follows == told["x:a1", False].followed_by == []
    profiles = {event.actor: event.followers for event in shelf.events if isinstance(event, Profile)}
    assert profiles == {"x:acme": 25, "x:a1": 0}


def test_it_stops_at_the_budget(lookups: Lookups) -> None:
    """Never a row more than the money buys; a list that it cuts is not called complete, and the rest is counted."""
    book = Book({f"x:a{n}": [f"x:f{n}-{m}" for m in range(35)] for n in range(4)})
    book.counts_at_once = 0
    shelf, notes = Shelf(), Notes()
    one = finding(lookups, book, Budget(100, 0.25), Prices(row=0.01), shelf, notes)
    lookups.saw([share(n, via="x:1", followers=35) for n in range(4)])
    one.start()
    until(lambda: one.findings.unaffordable == 4, f"the budget's end: {one.findings}")
    assert one.stop()
    (cut,) = ties(shelf.events)
    assert (cut.followed_by, cut.complete) == (book.followers["x:a0"][:20], None)
    assert (book.sold, one.findings.rows, one.findings.cut, one.findings.waiting) == (20, 20, 1, 4)
    assert one.findings.dollars == pytest.approx(0.2)


def test_a_list_that_the_budget_cut_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next day it goes on at its next page, behind those nobody asked about, and is whole as of its first page.

    No row is sold twice, and each day's budget is counted once.
    """
    clock = [NOW]
    monkeypatch.setattr("connectors.finding.now_ms", lambda: clock[0])
    book = Book({"x:a1": [f"x:f{n}" for n in range(35)], "x:a2": ["x:g"]})
    book.counts_at_once = 0
    shelf, daily = Shelf(), Budget(100, 0.25)

    def day(number: int, unaffordable: int) -> Lookups:
        """Live through a day, from a start to an end."""
        clock[0] = NOW + number * DAY_MS
        lookups = Lookups(tmp_path / "lookups", WEEK_MS)
        lookups.saw([share(1, via="x:1", followers=35)] if number == 0 else [share(2, via="x:1", followers=1)])
        one = finding(lookups, book, daily, Prices(row=0.01), shelf, Notes())
        one.start()
        until(lambda: one.findings.unaffordable == unaffordable, f"the end of day {number}: {one.findings}")
        until(lambda: bool(unaffordable) or not lookups.unlisted(clock[0]), f"the lists: {one.findings}")
        assert one.stop()
        return lookups

    day(0, 1).close()
    assert [len(event.followed_by or ()) for event in ties(shelf.events)] == [20]
    lookups = day(1, 0)
    assert [account for account, _ in book.asked] == ["x:a1", "x:a1", "x:a2", "x:a1", "x:a1"]
    cut, small, whole = ties(shelf.events)
    assert (whole.followed_by, whole.complete, whole.at) == (book.followers["x:a1"], True, NOW)
    assert (cut.complete, small.complete, len({cut.id, whole.id})) == (None, True, 2)
    assert book.sold == 36
    assert [round(daily.money - lookups.left(NOW + day * DAY_MS, daily).money, 6) for day in (0, 1)] == [0.2, 0.16]
    lookups.close()


def test_a_list_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """After a kill at a page's answer the pages before are not asked for again, and the list is whole."""
    path = tmp_path / "lookups"
    with closing(Lookups(path, WEEK_MS)) as lookups:
        lookups.saw([share(1, via="x:1", followers=35)])
    dies = [sys.executable, "-m", "tests.test_lookups", str(path), "2"]
    done = subprocess.run(dies, env=environment(), cwd=Path(__file__).parents[1], check=False, timeout=HANG_S)
    assert done.returncode == -signal.SIGKILL
    book, shelf = long_list(), Shelf()
    with closing(Lookups(path, WEEK_MS)) as lookups:
        one = finding(lookups, book, DAILY, Prices(row=0.01), shelf, Notes())
        one.start()
        until(lambda: not lookups.unlisted(time.time_ns() // 10**6), "the list kept")
        assert one.stop()
        left = lookups.left(time.time_ns() // 10**6, DAILY)
        assert lookups.accounts() == {"x:a1"}, "what was told is kept no longer"
    (whole,) = ties(shelf.events)
    assert (whole.followed_by, whole.complete) == (book.followers["x:a1"], True)
    assert book.pages == ["20", "30"]
    # Five calls: one of them died with its process, and may have been paid for.
    assert (DAILY.calls - left.calls, round(DAILY.money - left.money, 6)) == (5, 0.45)


def test_a_part_of_a_list_expires(lookups: Lookups) -> None:
    """What was had of a list holds as long as an answer does; then it begins anew, with nothing of what it was."""
    lookups.saw([share(1)])
    had = lookups.open_list("x:a1", "followed_by", NOW)
    lookups.add_page(had._replace(page="next"), ["x:f"], NOW, 0.0)
    lookups.cut("x:a1", NOW)
    assert lookups.open_list("x:a1", "followed_by", NOW + WEEK_MS).page == "next"
    assert [one.account for one in lookups.unlisted(NOW + WEEK_MS)] == ["x:a1"]
    anew = lookups.open_list("x:a1", "followed_by", NOW + WEEK_MS + 1)
    assert (anew.page, anew.begun, lookups.members(anew)) == ("", NOW + WEEK_MS + 1, [])


def test_who_is_forgotten_stands_in_no_list(lookups: Lookups) -> None:
    """Neither an account's own list, nor the account in another's, survives that it is forgotten."""
    lookups.saw([share(1), share(2)])
    for account in ("x:a1", "x:a2"):
        had = lookups.open_list(account, "followed_by", NOW)
        lookups.add_page(had._replace(page="next"), ["x:f", "x:a1"], NOW, 0.0)
    assert lookups.accounts() == {"x:a1", "x:a2", "x:f"}
    assert lookups.forget("x:a1") == 2
    assert lookups.open_list("x:a1", "followed_by", NOW).page == ""
    assert lookups.members(lookups.open_list("x:a2", "followed_by", NOW)) == ["x:f"]


def test_a_small_account_is_asked_about_once_a_page_is_affordable(lookups: Lookups) -> None:
    """Money for less than a page buys nothing: who is small waits as well, and is told as not affordable."""
    book = Book({"x:a1": ["x:f1", "x:f2"]})
    book.counts_at_once = 0
    shelf = Shelf()
    lookups.saw([share(1, via="x:1", followers=2)])
    poor = finding(lookups, book, Budget(100, 0.05), Prices(row=0.01), shelf, Notes())
    poor.start()
    until(lambda: poor.findings.unaffordable == 1, "nothing that is affordable")
    assert poor.stop()
    assert (poor.findings.cut, book.asked) == (0, [])
    able = finding(lookups, book, Budget(100, 0.1), Prices(row=0.01), shelf, Notes())
    able.start()
    until(lambda: len(ties(shelf.events)) == 1, "the list")
    assert able.stop()


def test_a_failed_call_is_tried_again_and_paid_for(lookups: Lookups) -> None:
    """A lost connection and a rate limit delay a look-up; each call counts against the budget."""
    book = Book({}, [NotConnected("lost"), RateLimited("too many", 0), ValueError("token=geheim")])
    book.counts_at_once = 0
    shelf, notes = Shelf(), Notes()
    one = finding(lookups, book, Budget(100, 0.0), Prices(), shelf, notes)
    lookups.saw([share(1, via="x:1")])
    one.start()
    until(lambda: len(ties(shelf.events)) == 1, "the list")
    assert one.stop()
    assert one.findings.calls == 4
    assert [event for event, _ in notes.lines] == ["look-ups wait"] * 3
    assert "geheim" not in repr(notes.lines)


class Partial(Book):
    """A network that shows a part of its lists, and of some nothing."""

    def is_whole(self, account: str, side: str, rows: int) -> bool:
        """Tell that none is."""
        return False


def test_a_list_that_the_network_cuts_is_not_called_whole(lookups: Lookups) -> None:
    """Where the network shows a part as if it were all, that is told as a part; of an empty list nothing is told."""
    book = Partial({"x:a1": ["x:f1", "x:f2"], "x:a2": []})
    book.counts_at_once = 0
    shelf = Shelf()
    one = finding(lookups, book, Budget(100, 0.0), Prices(), shelf, Notes())
    lookups.saw([share(1, via="x:1"), share(2, via="x:1")])
    one.start()
    until(lambda: not lookups.unlisted(time.time_ns() // 10**6), "the answers kept")
    assert one.stop()
    (part,) = ties(shelf.events)
    assert (part.followed_by, part.complete) == (["x:f1", "x:f2"], None)


def test_a_long_list_comes_in_parts(lookups: Lookups) -> None:
    """Over 5,000 accounts are told in several events of one list."""
    book = Book({"x:a1": [f"x:f{n}" for n in range(5_005)]})
    book.page_rows, book.counts_at_once = 10, 0
    shelf = Shelf()
    one = finding(lookups, book, Budget(1_000, 0.0), Prices(), shelf, Notes())
    lookups.saw([share(1, via="x:1")])
    one.start()
    until(lambda: len(ties(shelf.events)) == 2, "both parts")
    assert one.stop()
    first, second = ties(shelf.events)
    assert (first.part, second.part, first.of, second.of, first.list == second.list) == (0, 1, 2, 2, True)
    assert len({first.id, second.id}) == 2
    assert [*(first.followed_by or ()), *(second.followed_by or ())] == book.followers["x:a1"]


if __name__ == "__main__":
    deadly = Deadly(long_list().followers)
    deadly.counts_at_once, deadly.lives = 0, int(sys.argv[2])
    at_work = finding(Lookups(Path(sys.argv[1]), WEEK_MS), deadly, DAILY, Prices(row=0.01), Shelf(), Notes())
    at_work.start()
    time.sleep(HANG_S)
