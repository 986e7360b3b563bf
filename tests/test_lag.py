"""How far workers say that they are behind, while they really are."""

from __future__ import annotations

from pathlib import Path

from ricochet.settings import PREFIX
from streams.cluster import Cluster
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS
from tests.crew import PARTITIONS, Crew, assert_same, embedded, offers_of
from tests.crowd import crowd
from tests.processes import Child, until

DEAF = """
import asyncio
import os

from aiokafka.consumer.fetcher import Fetcher

ask = Fetcher._proc_fetch_request


async def asked(*args):
    while os.path.exists(os.environ["TEST_DEAF"]):
        await asyncio.sleep(0.05)
    return await ask(*args)


Fetcher._proc_fetch_request = asked
"""
"""As long as a file is there, no fetch has an answer."""


def lag(child: Child, unit: str) -> dict[str, float]:
    """Read the lag of each stage."""
    name = f"ricochet_consumer_lag_{unit}"
    return {dict(labels)["stage"]: n for (metric, labels), n in child.samples().items() if metric == name}


def has_none(child: Child) -> bool:
    """Tell whether a worker says that it is done with everything."""
    return not any([*lag(child, "events").values(), *lag(child, "seconds").values()])


def unread(hands: Crew, bare: str) -> int:
    """Ask Kafka how many messages of a topic are not acknowledged."""
    prefix = hands.env["RICOCHET_TOPIC_PREFIX"]
    with Cluster(hands.env["RICOCHET_KAFKA"]) as cluster:
        ends, done = cluster.ends(prefix + bare, PARTITIONS), cluster.committed(f"{prefix}ricochet", prefix + bare)
    return sum(ends.values()) - sum(done.values())


def test_a_worker_that_is_told_nothing_more_lags(hands: Crew, tmp_path: Path) -> None:
    """Where fetches have no answer a worker knows how much is left all the same, and is not ready until it has it."""
    (hook := tmp_path / "hook").mkdir()
    (hook / "sitecustomize.py").write_text(DEAF)
    deaf, env = tmp_path / "deaf", {"PYTHONPATH": str(hook), f"{PREFIX}STALLED_SECONDS": "2"}
    lines = crowd(20, 1_500)
    child = hands.start(env=env | {"TEST_DEAF": str(deaf)})
    hands.send(lines[:500], batch=1)
    hands.caught_up()
    until(lambda: has_none(child), "none to be behind", every_s=0.1)
    hands.ready(child)
    deaf.touch()
    hands.send(lines[500:], batch=1)
    until(lambda: child.get("/readyz").text == "lagging without progress\n", "it lags", every_s=0.1)
    left = unread(hands, SOCIAL_EVENTS)
    assert left > 0
    # Messages of an event each, but for some that the stages sent each other.
    until(lambda: left <= lag(child, "events")["people"] < 1.5 * left, "what is left", every_s=0.1)
    assert (lag(child, "events")["offers"] > 0) == (unread(hands, OFFER_EVENTS) > 0)
    seconds = lag(child, "seconds")
    assert seconds["people"] > 2, "so long at least nothing has come"
    until(lambda: lag(child, "seconds")["people"] > seconds["people"] + 1, "more", every_s=0.1)
    deaf.unlink()
    hands.caught_up()
    hands.ready(child)
    until(lambda: has_none(child), "none to be behind", every_s=0.1)
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))
