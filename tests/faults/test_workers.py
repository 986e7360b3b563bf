"""Workers are killed, hang, join and go, while events flow."""

from __future__ import annotations

import random

from tests.crowd import crowd
from tests.faults.story import ALL_PARTITIONS, FENCED, Story

KILLS = 10


def test_ten_kills_of_a_worker_two_at_once_and_during_recovery(story: Story) -> None:
    """Killed at ten seeded points of 100,000 events, both at once, and while it recovers: nothing lost, nothing twice.

    A worker comes back in its place at once, at its own address, or only after its session, at another one.
    """
    rng = random.Random(110)
    story.start("a", "b")
    story.events(crowd(111, 100_000))
    points = sorted(rng.uniform(0.05, 0.9) for _ in range(KILLS))
    at_once, in_recovery, elsewhere = rng.sample(range(KILLS), 3)
    for number, point in enumerate(points):
        story.reaches(point)
        name = rng.choice("ab")
        if number == at_once:
            story.kill("a", "b")
            story.start("a", "b")
            continue
        story.kill(name)
        if number == in_recovery:
            story.start(name)
            story.until(lambda name=name: story.recovers(name), "it recovers")  # type: ignore[misc]
            story.kill(name)
        if number == elsewhere:
            story.moves(name)
        story.start(name)
    story.ends_well()


def test_two_become_three_then_one_and_one_that_hung_is_fenced(story: Story) -> None:
    """Workers join and go under load; one that hangs for longer than its session ends with code 75 once it wakes."""
    story.start("a", "b")
    story.events(crowd(112, 60_000))
    story.reaches(0.15)
    story.start("c")
    story.until(lambda: all(map(story.partitions, "abc")), "all three have partitions")
    story.reaches(0.4)
    story.hang("b")
    story.until(lambda: story.partitions("a") + story.partitions("c") == ALL_PARTITIONS, "the others have all")
    story.wake("b")
    story.until(lambda: story.ended[FENCED] == 1, "it is fenced, and started again")
    story.reaches(0.7)
    story.stop("a", "c")
    story.until(lambda: story.partitions("b") == ALL_PARTITIONS, "one has all")
    story.ends_well()
    assert story.ended == {FENCED: 1}, "nobody else ended"
