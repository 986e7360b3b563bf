"""The state file: a mapping like any other, one process at a time, and plain words when something is wrong with it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spread.events import AnyEvent, Rejected, decode
from streams.embedded import Embedded
from streams.state import FORMAT, Rows, State, StateError
from tests import old_states
from tests.crew import assert_same, embedded
from tests.crowd import crowd
from tests.processes import ended, good

PAGE = 4_096
KEYS = st.sampled_from([b"a", b"a\0\0", b"b", b"\0own", b"\xff", "é".encode()])
VALUES = st.binary(max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("pop"), KEYS),
    st.tuples(st.just("pop or"), KEYS, VALUES),
    st.tuples(st.just("setdefault"), KEYS, VALUES),
    st.tuples(st.just("update"), st.dictionaries(KEYS, VALUES, max_size=3)),
    st.tuples(st.just("clear")),
    st.tuples(st.sampled_from(["write", "commit", "reopen"])),
)


def step(rows: Rows | dict[bytes, bytes], what: str, *args: object) -> object:
    """Do one thing to a mapping, and say what it answers."""
    try:
        match what, args:
            case "set", (bytes(key), bytes(value)):
                rows[key] = value
            case "delete", (bytes(key),):
                del rows[key]
            case "pop", (bytes(key),):
                return rows.pop(key)
            case "pop or", (bytes(key), bytes(value)):
                return rows.pop(key, value)
            case "setdefault", (bytes(key), bytes(value)):
                return rows.setdefault(key, value)
            case "update", (dict(several),):
                rows.update(several)
            case "clear", ():
                rows.clear()
    except KeyError as error:
        return error.args
    return None


class Opened:
    """A state file that can be closed and opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = State(path, throwaway=True)

    def again(self) -> None:
        """Close it, keeping what was committed, and open it."""
        self.state.close()
        self.state = State(self._path, throwaway=True)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Give a state file for many examples."""
    made = Opened(tmp_path_factory.mktemp("opened") / "state")
    yield made
    made.state.close()


@given(steps=st.lists(STEPS, max_size=12), looks=st.lists(st.tuples(st.integers(0, 12), KEYS), max_size=4))
def test_rows_are_a_mapping(opened: Opened, steps: list[tuple[object, ...]], looks: list[tuple[int, bytes]]) -> None:
    """Whatever is done to a table, and whether or not it was written yet, it answers as a dict does."""
    model: dict[bytes, bytes] = {}
    opened.state.people.clear()
    opened.state.commit({})
    for place, (what, *args) in enumerate(steps):
        if what == "write":
            opened.state.people.write()
        elif what == "commit":
            opened.state.commit({})
        elif what == "reopen":
            opened.state.commit({})
            opened.again()
        else:
            assert step(opened.state.people, str(what), *args) == step(model, str(what), *args), what
        rows = opened.state.people
        for key in (key for at, key in looks if at == place):
            assert (key in rows) == (key in model)
            assert (rows.get(key), rows.get(key, b"no")) == (model.get(key), model.get(key, b"no"))
    rows = opened.state.people
    assert list(rows) == sorted(model)
    assert dict(rows.items()) == model
    assert len(rows) == len(model)
    assert list(opened.state.offers) == []


def test_a_table_can_be_changed_while_it_is_walked_through(tmp_path: Path) -> None:
    """Going through more rows than are read at once sees each once, whatever is rewritten or deleted on the way."""
    state = State(tmp_path / "state")
    keys = [n.to_bytes(4, "big") for n in range(1, 3_500)]
    state.offers.update(dict.fromkeys(keys, b"old"))
    seen = []
    for key in state.offers:
        seen.append(key)
        if key[-1] % 3 == 0:
            del state.offers[key]
        else:
            state.offers[key] = b"new"
    assert seen == keys
    assert list(state.offers) == [key for key in keys if key[-1] % 3]
    assert set(state.offers.values()) == {b"new"}
    state.close()


def test_what_was_not_committed_is_not_kept(tmp_path: Path) -> None:
    """Facts and positions last from the commit on, together, and not before."""
    state = State(tmp_path / "state")
    state.people[b"k"] = b"one"
    state.commit({"a": "1"})
    state.people[b"k"] = b"two"
    state.offers[b"o"] = b"two"
    state.people.write()
    assert state.people[b"k"] == b"two"
    state.close()
    state = State(tmp_path / "state")
    assert dict(state.people) == {b"k": b"one"}
    assert dict(state.offers) == {}
    assert (state.position("a"), state.position("b")) == ("1", None)
    state.commit({"a": "2", "b": "0"})
    assert (state.position("a"), state.position("b")) == ("2", "0")
    assert state.nbytes() == (tmp_path / "state").stat().st_size
    state.close()


def test_a_state_file_is_opened_once(tmp_path: Path) -> None:
    """A state that is open can't be opened again until it is closed; nor does a failed opening keep it locked."""
    path = tmp_path / "state"
    state = State(path)
    with pytest.raises(StateError, match="in use"):
        State(path)
    state.close()
    State(path).close()
    path.write_bytes(b"nonsense" * 500)
    for _ in range(2):
        with pytest.raises(StateError, match="damaged"):
            State(path)


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    """A state file of a later version is left as it is, with a line that names both formats."""
    path = tmp_path / "state"
    State(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"format {FORMAT + 1}, this version reads {FORMAT}"):
        State(path)
    assert "format" in ended("report", "--state", path, cwd=tmp_path).complaint()
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A database that is not Ricochet's is left as it is."""
    path = tmp_path / "state"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (name TEXT, born INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StateError):
        State(path).close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("encoding", old_states.ENCODINGS)
def test_a_state_of_an_older_encoding_is_gone_on_with(tmp_path: Path, encoding: int) -> None:
    """Who was erased stays so though everything is fed again, and is known by its keyed mark alone, in every byte."""
    path, env = tmp_path / "state", {"RICOCHET_SUPPRESSION_KEY": "a key of sixteen"}
    before, erased, after = old_states.BEFORE, old_states.ERASED, old_states.AFTER
    old_states.put(encoding, path)
    tables = ("people", "offers")
    for table in tables:
        told = old_states.tells(erased, old_states.rows(path, table))
        assert len(told) == len(erased)
        assert all(row.startswith(old_states.UNKEYED) for row in told)
    wanted = embedded(before + erased, tmp_path)
    good("report", "--state", path, "--out", "given", "--edges", "given-edges", cwd=tmp_path, env=env)
    assert_same(((tmp_path / "given").read_bytes(), (tmp_path / "given-edges").read_bytes()), wanted)
    for table in tables:
        rows = old_states.rows(path, table)
        assert not old_states.tells(erased, rows)
        assert old_states.tells(before[:100], rows), "who was not erased is there"
        assert sum(row.startswith(b"\0suppressed") for row in rows) == len(erased)
    assert old_states.UNKEYED not in b"".join(one.read_bytes() for one in tmp_path.glob("state*"))

    (tmp_path / "again").write_bytes(b"".join(before + after))
    good("replay", "again", "--state", path, "--report", "given", "--edges", "given-edges", cwd=tmp_path, env=env)
    given = b"".join((tmp_path / "given").read_bytes().splitlines(keepends=True)[:-1])
    assert_same((given, (tmp_path / "given-edges").read_bytes()), embedded(before + erased + after, tmp_path))
    assert not any(old_states.tells(erased, old_states.rows(path, table)) for table in tables)


def test_a_state_of_the_oldest_format_says_how_to_make_it_anew(tmp_path: Path) -> None:
    """Its rows have other names: it is left as it is, with a line that says what to do."""
    path = tmp_path / "state"
    State(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    told = ended("report", "--state", path, cwd=tmp_path).complaint()
    assert "has format 1" in told
    assert "`ricochet replay`" in told
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state file with a good many pages."""
    path = tmp_path_factory.mktemp("whole") / "state"
    events: list[AnyEvent] = []
    for line in crowd(13, 4_000, offers=6):
        (event,) = decode(line)
        assert not isinstance(event, Rejected)
        events.append(event)
    with Embedded(path) as engine:
        engine.feed(events)
    return path


def damaged(whole: Path, folder: Path, places: Iterator[int] | range, seed: int) -> Path:
    """Give a copy of a state file with nonsense on some of its pages."""
    path = folder / "state"
    shutil.copy(whole, path)
    rng = random.Random(seed)
    with open(path, "r+b") as file:
        for page in places:
            file.seek(page * PAGE)
            file.write(rng.randbytes(PAGE))
    return path


def test_a_damaged_state_is_one_line(whole: Path, tmp_path: Path) -> None:
    """With nonsense on its pages from the middle on, a state file is refused in one line by whatever reads it."""
    pages = whole.stat().st_size // PAGE
    assert pages > 40
    path = damaged(whole, tmp_path, range(pages // 2, pages), 1)
    (tmp_path / "events").write_bytes(b"".join(crowd(13, 4_000, offers=6)))
    for args in (
        ("report", "--state", path),
        ("replay", "events", "--state", path),
        ("run", "--tail", "events", "--state", path, "--port", "0"),
    ):
        result = ended(*args, cwd=tmp_path, env={"RICOCHET_LOG_LEVEL": "error"})
        assert "damaged" in result.complaint(), args


def test_a_state_cut_short_is_one_line(whole: Path, tmp_path: Path) -> None:
    """A state file that lost its end is refused in one line."""
    path = tmp_path / "state"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    assert "damaged" in ended("report", "--state", path, cwd=tmp_path).complaint()


@pytest.mark.parametrize("seed", range(8))
def test_one_damaged_page_is_never_a_traceback(whole: Path, tmp_path: Path, seed: int) -> None:
    """One page of nonsense either bears on nothing that a report reads, or is one line."""
    page = random.Random(seed).randrange(1, whole.stat().st_size // PAGE)
    result = ended("report", "--state", damaged(whole, tmp_path, range(page, page + 1), seed), cwd=tmp_path)
    if result.code == 0:
        assert {json.loads(line)["type"] for line in result.out.splitlines()} == {"cascade", "offer"}
    else:
        result.complaint()


@pytest.mark.parametrize("table", ["people", "offers"])
def test_a_row_that_cannot_be_read_is_one_line(whole: Path, tmp_path: Path, table: str) -> None:
    """A sound database with a row of nonsense, or of a later encoding, is refused in one line."""
    (tmp_path / "events").write_bytes(b"".join(crowd(13, 4_000, offers=6)))
    for nonsense in (b"nonsense", b"\x92\x63\x90"):
        path = tmp_path / "state"
        shutil.copy(whole, path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"UPDATE {table} SET value = ? WHERE substr(key, 1, 1) != x'00'", (nonsense,))
            connection.commit()
        assert str(path.name) in ended("replay", "events", "--state", path, cwd=tmp_path).complaint()
