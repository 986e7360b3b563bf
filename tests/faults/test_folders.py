"""A worker's folder of tables is lost, or is an old one, while events flow."""

from __future__ import annotations

import shutil

from tests.crowd import crowd
from tests.faults.story import Story


def test_a_folder_is_deleted_and_another_is_an_old_one(story: Story) -> None:
    """Under load one worker comes back without its tables, and one with those that it had long ago."""
    story.start("a", "b")
    story.events(crowd(121, 60_000))
    story.reaches(0.2)
    story.stop("b")
    old = story.hands.folder / "old"
    shutil.copytree(story.place("b"), old)
    story.start("b")
    story.reaches(0.5)
    story.kill("a")
    shutil.rmtree(story.place("a"))
    story.start("a")
    story.reaches(0.8)
    story.kill("b")
    shutil.rmtree(story.place("b"))
    shutil.copytree(old, story.place("b"))
    story.start("b")
    story.ends_well()
