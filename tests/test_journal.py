"""The journal: what is saved lasts, what is not is taken back whole, an account that is forgotten leaves nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.journal import GONE_MS, Entry, Gone, Journal, JournalError, Kind

ROOT = Entry("x:1", "post", "x:acme", 100, "x:1", "offer")
SHARE = Entry("x:2", "share", "x:ana", 200, "x:1", "offer")
FOLLOW = Entry("x:f", "follow", "x:bo", 300, "x:ana")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a place for a journal."""
    return tmp_path / "folder" / "journal"


def test_a_new_journal_is_empty(path: Path) -> None:
    """It is made with its folder, and says that nothing was read."""
    with Journal(path) as journal:
        assert (journal.cursor, journal.heard, journal.entry("x:1"), journal.roots(0)) == (None, None, None, [])


def test_cursor_and_index_last_together(path: Path) -> None:
    """What a saved page brought is there again; what a later page brought, its cursor too, is not."""
    with Journal(path) as journal:
        journal.note(ROOT)
        first = journal.turn("one", 150)
        journal.note(SHARE)
        journal.turn("two", 250)
        assert (journal.cursor, journal.heard) == ("two", 250)
        assert journal.entry("x:1") == ROOT
        assert journal.entry("x:2") == SHARE
        journal.save(first)
        assert journal.entry("x:2") == SHARE
    with Journal(path) as journal:
        assert (journal.cursor, journal.heard) == ("one", 150)
        assert journal.entry("x:1") == ROOT
        assert journal.entry("x:2") is None


def test_it_tells_what_can_be_shared_and_what_may_vanish(path: Path) -> None:
    """Posts and quotes apart, the newest first, not those of who is forgotten; all ids but follows' in pages."""
    quote = Entry("x:3", "quote", "x:ed", 250, "x:1", "offer")
    with Journal(path) as journal:
        for entry in (ROOT, SHARE, quote, quote._replace(id="x:4", account="x:gone", at=260), FOLLOW):
            journal.note(entry)
        journal.save(journal.turn("one", 300))
        journal.note(quote._replace(id="x:5", at=270))
        journal.note_forgotten("x:gone")
        assert [root.id for root in journal.roots(0)] == ["x:1"]
        assert [root.id for root in journal.quotes(0)] == ["x:5", "x:3"]
        assert [root.id for root in journal.quotes(260)] == ["x:5"]
        assert [journal.ids(0, after, 2) for after in ("", "x:2", "x:4")] == [["x:1", "x:2"], ["x:3", "x:4"], []]
        assert journal.ids(200, "", 9) == ["x:2", "x:3", "x:4"]


def test_rewind_takes_back_what_is_not_saved(path: Path) -> None:
    """After a rewind the journal is as it was at the last save, and a late word that a page is safe changes nothing."""
    with Journal(path) as journal:
        journal.note(ROOT)
        journal.save(journal.turn("one", 150))
        journal.note(SHARE)
        late = journal.turn("two", 250)
        journal.note_forgotten("x:acme")
        journal.rewind()
        assert (journal.cursor, journal.entry("x:2"), journal.entry("x:1")) == ("one", None, ROOT)
        journal.save(late)
        assert journal.cursor == "one"
        journal.note(SHARE)
        journal.save(journal.turn("three", 350))
        assert (journal.cursor, journal.entry("x:2")) == ("three", SHARE)


def test_forget_erases_an_account(path: Path) -> None:
    """What it wrote, its follows and those of it are gone, from the file's bytes too; the others stay."""
    with Journal(path) as journal:
        for entry in (ROOT, SHARE, FOLLOW):
            journal.note(entry)
        journal.note_gone(Gone("x:9", 400, "x:ana"))
        journal.save(journal.turn("one", 400))
        journal.forget("x:ana")
        assert not journal.knows("x:ana")
        assert [journal.entry(id) for id in ("x:1", "x:2", "x:f")] == [ROOT, None, None]
        assert journal.gone("x:9") is None
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert b"x:ana" not in path.read_bytes()


def test_another_process_may_forget(path: Path) -> None:
    """While a connector has its journal open, another can erase from it."""
    with Journal(path) as running:
        running.note(SHARE)
        running.save(running.turn("one", 400))
        with Journal(path) as other:
            other.forget("x:ana")
        assert running.entry("x:2") is None
        assert running.cursor == "one"


def kept(path: Path) -> bytes:
    """Read the bytes of a journal and of what lies beside it."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_who_a_page_forgets_leaves_the_log_too(path: Path) -> None:
    """Once the page is saved, neither the file nor the log beside it has a byte of the account's name."""
    with Journal(path) as journal:
        journal.note(SHARE)
        journal.save(journal.turn("one", 1))
        assert b"x:ana" in kept(path)
        journal.note_forgotten("x:ana")
        journal.save(journal.turn("two", 2))
        assert b"x:ana" not in kept(path)


def test_forgetting_is_part_of_a_page(path: Path) -> None:
    """An account that the network says is gone is gone for the pages behind, and for good once the page is saved."""
    with Journal(path) as journal:
        journal.note(SHARE)
        journal.save(journal.turn("one", 1))
        journal.note_forgotten("x:ana")
        second = journal.turn("two", 2)
        assert (journal.entry("x:2"), journal.of("x:ana"), journal.takes_part("x:ana")) == (None, [], False)
        journal.save(second)
        assert journal.entry("x:2") is None


def test_own_posts_stay_in_clear(path: Path) -> None:
    """The posts of the employer's accounts join what stays in clear, at once, after a new start, and after pruning."""
    with Journal(path, ["x:acme"]) as journal:
        for entry in (ROOT, SHARE):
            journal.note(entry)
        assert journal.own == {"x:acme", "x:1"}
        journal.save(journal.turn("one", 1))
    with Journal(path, ["x:acme"]) as journal:
        assert journal.own == {"x:acme", "x:1"}
        journal.prune(10_000)
        assert (journal.entry("x:1"), journal.entry("x:2")) == (ROOT, None)


def test_early_deletions_are_kept_for_an_hour(path: Path) -> None:
    """A deletion without its target is kept over pages and starts, until an hour of event time has passed."""
    gone = Gone("x:9", 1_000, None)
    with Journal(path) as journal:
        journal.note_gone(gone)
        assert journal.gone("x:9") == gone
        journal.save(journal.turn("one", 1_000))
        assert journal.gone("x:9") == gone
        journal.save(journal.turn("two", 1_000 + GONE_MS + 1))
        assert journal.gone("x:9") is None


def test_what_is_no_journal_is_refused_in_a_line(tmp_path: Path) -> None:
    """Another file, a folder, and a journal of a newer version: one line with the path."""
    (tmp_path / "text").write_text("no journal " * 100)
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for name in ("text", "newer", "."):
        with pytest.raises(JournalError, match=str(tmp_path)) as raised:
            Journal(tmp_path / name)
        assert "\n" not in str(raised.value)


KINDS: list[Kind] = ["post", "share", "reply"]
Step = tuple[str, int, int, Kind]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.integers(0, 5), st.integers(0, 3), st.sampled_from(KINDS)),
        st.tuples(st.just("forget"), st.integers(0, 3), st.just(0), st.just("post")),
        st.tuples(st.just("turn"), st.just(0), st.just(0), st.just("post")),
        st.tuples(st.just("save"), st.integers(0, 3), st.just(0), st.just("post")),
        st.tuples(st.just("crash"), st.just(0), st.just(0), st.just("post")),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_is_what_a_list_of_pages_would_be(tmp_path_factory: pytest.TempPathFactory, steps: list[Step]) -> None:
    """Any pages, saves and crashes: seen is what was saved and what came since, as if the pages were read anew."""
    path = tmp_path_factory.mktemp("journal") / "j"
    saved: dict[str, Entry] = {}
    pages: list[list[Entry | str]] = [[]]
    journal, turned = Journal(path), [0]
    for step, number, at, kind in steps:
        if step == "note":
            entry = Entry(f"x:{number}", kind, f"x:a{number % 4}", at, "x:1", "offer")
            if entry.account in {one for page in pages for one in page if isinstance(one, str)}:
                continue  # whoever is gone writes nothing more
            journal.note(entry)
            pages[-1].append(entry)
        elif step == "forget":
            journal.note_forgotten(f"x:a{number}")
            pages[-1].append(f"x:a{number}")
        elif step == "turn":
            turned.append(journal.turn("c", 1))
            pages.append([])
        elif step == "save":
            last = turned[max(0, len(turned) - 1 - number)]
            journal.save(last)
            while len(pages) > 1 and len(turned) > 1 and turned[1] <= last:
                saved = applied(saved, [pages.pop(0)])
                turned.pop(1)
        else:
            journal.close()
            journal, turned, pages = Journal(path), [0], [[]]
        wanted = applied(saved, pages)
        assert {id: found for id in map("x:{}".format, range(6)) if (found := journal.entry(id))} == wanted
        for who in map("x:a{}".format, range(4)):
            assert journal.takes_part(who) == any(entry.account == who for entry in wanted.values())
            assert journal.of(who) == sorted(entry for entry in wanted.values() if entry.account == who)
    journal.close()


def applied(saved: dict[str, Entry], pages: list[list[Entry | str]]) -> dict[str, Entry]:
    """Give the index after some pages."""
    found = dict(saved)
    for page in pages:
        for one in page:
            if isinstance(one, str):
                found = {id: entry for id, entry in found.items() if entry.account != one}
            else:
                found[one.id] = one
    return found
