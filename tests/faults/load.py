"""Events that keep coming while things go wrong, and how far the workers are with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from kafka import KafkaProducer

from streams.cluster import Cluster, ClusterError
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS, Layout
from tests.crew import PARTITIONS, Crew, messages

BATCH = 50
LEAD = 100
"""Messages that are sent before those that the workers are done with: there is always something to be lost."""
_PATIENCE_MS = 600_000
_FRESH_S = 10.0

Answer = TypeVar("Answer")


class Marks:
    """How far both topics of an installation are filled and done with. For one thread.

    The connection is made anew after trouble, and now and then: a group that moves to another broker is looked for at
    the old one.
    """

    def __init__(self, hands: Crew) -> None:
        self._servers = hands.env["RICOCHET_KAFKA"]
        self._layout = Layout(hands.env["RICOCHET_TOPIC_PREFIX"], PARTITIONS, PARTITIONS)
        self._cluster: Cluster | None = None
        self._made_at = 0.0

    def done(self) -> int | None:
        """Count the messages of social-events that the workers have acknowledged; None while nobody can say."""
        return self._ask(lambda cluster: self._committed(cluster, SOCIAL_EVENTS))

    def nothing_left(self) -> bool:
        """Tell whether all is acknowledged in both topics, what the stages sent each other included."""
        return bool(self._ask(lambda cluster: not any(self._left(cluster))))

    def ends(self) -> dict[str, int] | None:
        """Count the messages that each topic has had."""
        return self._ask(lambda cluster: {topic: self._end(cluster, topic) for topic in (SOCIAL_EVENTS, OFFER_EVENTS)})

    def close(self) -> None:
        """Close the connection."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _ask(self, question: Callable[[Cluster], Answer]) -> Answer | None:
        try:
            if self._cluster is None or time.monotonic() - self._made_at > _FRESH_S:
                self.close()
                self._cluster, self._made_at = Cluster(self._servers), time.monotonic()
            return question(self._cluster)
        except ClusterError:
            self.close()
            return None

    def _left(self, cluster: Cluster) -> Iterator[int]:
        # What is acknowledged has sent what it makes: so first one, then the other, then what came back of that.
        for topic in (SOCIAL_EVENTS, OFFER_EVENTS, SOCIAL_EVENTS):
            yield self._end(cluster, topic) - self._committed(cluster, topic)

    def _end(self, cluster: Cluster, topic: str) -> int:
        return sum(cluster.ends(self._layout.name(topic), PARTITIONS).values())

    def _committed(self, cluster: Cluster, topic: str) -> int:
        return sum(cluster.committed(self._layout.app, self._layout.name(topic)).values())


class Load(threading.Thread):
    """Sends all events, never more than LEAD messages ahead of the workers. Whatever Kafka does, it goes on."""

    def __init__(self, hands: Crew, lines: Sequence[bytes], lead: int = LEAD) -> None:
        super().__init__(daemon=True)
        self._messages = [*messages(lines, BATCH)]
        self._marks, self._lead = Marks(hands), lead
        self._topic = hands.env["RICOCHET_TOPIC_PREFIX"] + SOCIAL_EVENTS
        self._servers = hands.env["RICOCHET_KAFKA"]
        self._given_up = False
        self._before = self._marks.done() or 0
        self.acknowledged = 0
        """Messages that the workers were seen to be done with."""
        self.sent = 0
        self.error: BaseException | None = None

    @property
    def total(self) -> int:
        """All messages that there are."""
        return len(self._messages)

    def run(self) -> None:
        """Send them."""
        try:
            with KafkaProducer(
                bootstrap_servers=self._servers,
                linger_ms=5,
                delivery_timeout_ms=_PATIENCE_MS,
                max_block_ms=_PATIENCE_MS,
                bootstrap_timeout_ms=_PATIENCE_MS,
            ) as producer:
                futures = []
                for number, value in self._messages:
                    while self.sent - self.acknowledged >= self._lead:
                        if self._given_up:
                            return
                        self._look()
                    futures.append(producer.send(self._topic, value, partition=number))
                    self.sent += 1
                for future in futures:
                    future.get(timeout=_PATIENCE_MS / 1000)
            while self.acknowledged < self.total and not self._given_up:
                self._look()
        except BaseException as error:
            self.error = error
        finally:
            self._marks.close()

    def give_up(self) -> None:
        """End, whatever is left."""
        self._given_up = True
        self.join(_PATIENCE_MS / 1000)

    def _look(self) -> None:
        time.sleep(0.1)
        done = self._marks.done()
        if done is not None:
            self.acknowledged = max(self.acknowledged, done - self._before)
