"""A worker's folder of tables is lost, or is an old one, while events flow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import rocksdict

from streams.tables import CURRENT_AT
from streams.topics import Layout
from tests.crowd import crowd
from tests.faults.story import Story

GHOST = b"=x:ghost" + bytes(8)
"""A row that no changelog has: its deletion, long ago, has gone from there too."""


def test_a_folder_is_deleted_and_others_are_old(story: Story) -> None:
    """Under load a worker comes back without tables, with those of a while ago, and with those of weeks ago.

    Those of weeks ago are not gone on with: they may hold what was erased since.
    """
    story.start("a", "b")
    story.events(crowd(121, 60_000))
    story.reaches(0.2)
    story.stop("b")
    recent, old = story.hands.folder / "recent", story.hands.folder / "old"
    shutil.copytree(story.place("b"), recent)
    shutil.copytree(story.place("b"), old)
    of_weeks_ago(old)
    story.start("b")
    story.reaches(0.4)
    story.kill("a")
    shutil.rmtree(story.place("a"))
    story.start("a")
    for copy, part in ((recent, 0.6), (old, 0.8)):
        story.reaches(part)
        story.kill("b")
        shutil.rmtree(story.place("b"))
        shutil.copytree(copy, story.place("b"))
        assert has_ghost(story.place("b")) == (copy == old)
        story.start("b")
    story.ends_well()
    assert not has_ghost(story.place("b"))


def of_weeks_ago(place: Path) -> None:
    """Make the tables of a place old, and put a row into each that was deleted since."""
    for table in tables(place):
        at = int(table[CURRENT_AT] or 0)
        table[CURRENT_AT] = b"%d" % (at - 14 * Layout().deletions_ms)
        table[GHOST] = b"what was erased"


def has_ghost(place: Path) -> bool:
    """Tell whether any table of a place has the deleted row."""
    return any([GHOST in table for table in tables(place)])


def tables(place: Path) -> Iterator[rocksdict.Rdict]:
    """Open the tables of a place, one after the other."""
    paths = sorted(place.rglob("*.db"))
    assert paths
    for path in paths:
        with closing(rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))) as table:
            yield table
