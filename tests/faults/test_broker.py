"""The broker goes, comes back, and hangs, while events flow."""

from __future__ import annotations

import time

from tests.broker import Broker
from tests.crowd import crowd
from tests.faults.story import Story

AWAY_S = 60.0
STALLED_S = 20.0


def test_the_broker_is_stopped_and_killed(story: Story, broker: Broker) -> None:
    """A broker that is restarted in good order, and one that is killed, cost nothing but time."""
    story.start("a", "b")
    story.events(crowd(101, 40_000))
    story.reaches(0.2)
    broker.stop()
    broker.start()
    story.reaches(0.5)
    broker.kill()
    broker.start()
    story.reaches(0.7)
    broker.kill()
    broker.start()
    story.ends_well()


def test_the_broker_is_away_for_a_minute(story: Story, broker: Broker) -> None:
    """After a minute without any broker, what waited in workers and producers goes on."""
    story.start("a", "b")
    story.events(crowd(102, 30_000))
    story.reaches(0.4)
    broker.kill()
    time.sleep(AWAY_S)  # the minute itself, not a wait for anything
    broker.start()
    story.ends_well()


def test_the_broker_stalls_as_a_commit_falls_due(story: Story, broker: Broker) -> None:
    """A broker that hangs with events taken in and not committed, for longer than a session, loses none of them."""
    story.start("a", "b")
    story.events(crowd(103, 40_000))
    for part in (0.3, 0.6):
        story.reaches(part)
        story.until(lambda: any(story.unacknowledged(name) for name in story.workers), "something to commit")
        broker.pause()
        time.sleep(STALLED_S)  # the stall itself
        broker.resume()
    story.ends_well()
