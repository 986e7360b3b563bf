"""Three brokers, every topic on each: one is lost for good."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from kafka.admin import ConfigResource, ConfigResourceType

from ricochet.settings import PREFIX
from streams.topics import OFFERS_TABLE, PEOPLE_TABLE, Layout
from tests.broker import admin
from tests.brokers import cluster
from tests.crew import PARTITIONS, crew
from tests.crowd import crowd
from tests.faults.story import Story
from tests.installation import ROOT, env_file
from tests.processes import ended


def test_one_of_three_brokers_is_lost_for_good(brokers_of_its_own: None, tmp_path: Path) -> None:
    """With replication 3, a broker and its disk go while events flow, and nothing is lost; workers start without it.

    Where more brokers must take a write than there are, a worker is stalled, and goes on once there are enough.
    """
    settings = {f"{PREFIX}REPLICATION": "3", f"{PREFIX}STALLED_SECONDS": "2"}
    with (
        cluster(env_file(ROOT / "replicated.env"), tmp_path / "brokers") as (servers, nodes),
        crew(servers, "", tmp_path, settings) as hands,
        Story(hands) as story,
    ):
        lines = crowd(21, 24_000)
        story.start("a", "b")
        story.events(lines[:16_000])
        story.reaches(0.4)
        name, lost = next(iter(nodes.items()))
        assert lost.end(signal.SIGKILL) == -signal.SIGKILL
        shutil.rmtree(tmp_path / "brokers" / name)
        story.start("c")
        story.reaches(1.0)
        must_be_in_sync(servers, 3)
        story.events(lines[16_000:])
        story.until(lambda: story.says("stalled: the last flush was long ago"), "a worker is stalled")
        told = ended("doctor", cwd=tmp_path, env=hands.env).out
        numbers = ", ".join(map(str, range(PARTITIONS)))
        stuck = f"takes nothing: of partition {numbers} fewer than 3 brokers are in sync"
        changelog = Layout().changelog(OFFERS_TABLE)
        assert f"FAIL  table offers: topic {changelog} {stuck}" in [
            line for line in told.splitlines() if changelog in line
        ]
        must_be_in_sync(servers, 2)
        story.ends_well()


def must_be_in_sync(servers: str, brokers: int) -> None:
    """Have the tables' changelogs take what so many brokers take alone."""
    with admin(servers) as client:
        for table in (PEOPLE_TABLE, OFFERS_TABLE):
            name, config = Layout().changelog(table), {"min.insync.replicas": str(brokers)}
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
