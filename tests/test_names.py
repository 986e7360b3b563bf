"""Numbers for names: a dict that takes less memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spread.names import FEW, Names

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.one_of(TEXTS, st.sampled_from(["", "\0", "a", "a\0", "é", "e\u0301", "😀", "x:1", "x:10", "y" * 5_000]))


@given(st.lists(NAMES, max_size=200), st.lists(NAMES, max_size=20))
def test_names_are_numbered_as_they_come(arrivals: list[str], others: list[str]) -> None:
    """Each new name takes the next number and keeps it; what never came has none."""
    names, plain = Names(), dict[str, int]()
    for name in arrivals:
        assert names.find(name) == plain.get(name, -1)
        assert names.number(name) == plain.setdefault(name, len(plain))
        assert len(names) == len(plain)
    for name in [*arrivals, *others]:
        assert names.find(name) == plain.get(name, -1)
        assert (name in names) == (name in plain)
    assert [names[number] for number in range(len(names))] == list(plain)


@given(TEXTS, st.integers(FEW - 1_000, 4 * FEW))
def test_names_stay_as_the_table_grows(stem: str, n: int) -> None:
    """Thousands of names, through every growth of the table, are all found under their numbers."""
    names = Names()
    every = [f"{stem}{number}" for number in range(n)]
    assert [names.number(name) for name in every] == list(range(n))
    assert [names.number(name) for name in every] == list(range(n))
    assert [names.find(name) for name in every] == list(range(n))
    assert [names[number] for number in range(n)] == every
    assert len(names) == n
    assert names.find(f"{stem}{n}") == -1


def test_no_name_has_no_number() -> None:
    """Without names there is nothing to find, and an unknown number is an error."""
    names = Names()
    assert len(names) == 0
    assert names.find("") == -1
    assert "" not in names
    with pytest.raises(IndexError):
        names[0]


def test_memory_grows_with_the_names() -> None:
    """The bytes stated cover the texts themselves."""
    names = Names()
    before = names.nbytes()
    for number in range(2 * FEW):
        names.number(f"{number:0100}")
        assert names.nbytes() - before >= 100 * (number + 1)
