"""Waiting for workers: until they are done with what was sent, or do nothing at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ricochet import waiting
from ricochet.errors import RicochetError
from ricochet.waiting import Left, wait
from streams.cluster import Cluster
from streams.topics import SOCIAL_EVENTS, Layout
from tests.crew import PARTITIONS, Crew
from tests.crowd import crowd
from tests.processes import started, until

REPLAY = ("replay", "events.jsonl", "--to", "kafka", "--report", "-")


@contextmanager
def others_sending(hands: Crew, lines: list[bytes]) -> Iterator[None]:
    """Let others send events, over and over, as long as the block runs."""
    ends = threading.Event()

    def send() -> None:
        while not ends.wait(0.02):
            hands.send(lines)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        ends.set()
        sending.join()


def test_waiting_ends(hands: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker moves it ends in a line that says what is awaited; with one it ends though others go on."""
    layout = Layout(hands.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
    topic = layout.name(SOCIAL_EVENTS)
    hands.send(crowd(26, 30), batch=1, to=2)
    told: list[Left] = []
    with Cluster(hands.env["RICOCHET_KAFKA"]) as cluster:
        with monkeypatch.context() as hurried:
            hurried.setattr(waiting, "PATIENCE_S", 1.0)
            with pytest.raises(RicochetError) as raised:
                wait(cluster, layout, {2: 29}, told.append)
        left = f"30 of 30 messages of {topic} are not done (partition 2 is at 0 of 30)"
        assert str(raised.value) == f"the workers have made no progress for 1 s: {left}; is one running?"
        assert {str(one) for one in told} == {left}
        (hands.folder / "events.jsonl").write_bytes(b"".join(crowd(28, 30)))
        with started(*REPLAY, cwd=hands.folder, env=hands.env) as replay:
            assert f" messages of {topic} are not done (partition " in replay.line("waiting for the workers: ")
            hands.start()
            assert replay.ends() == 0, replay.said
        assert wait(cluster, layout, {2: 29}, told.append)
        assert (told[-1].done, told[-1].total) == (told[-1].total, told[-1].total)
        with others_sending(hands, crowd(27, 50)):
            before = cluster.ends(topic, PARTITIONS)
            until(lambda: cluster.ends(topic, PARTITIONS) != before, "more to come")
            assert not wait(cluster, layout, {2: 29}, told.append)
