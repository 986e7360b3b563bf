"""The Kafka cluster as the installation sees it: what topics there are, and how far they were read.

Everything is asked anew each time. A partition count that differs from the settings is a fault that nothing here
mends: the keys would move to other partitions than their facts.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from streams.refusal import HEARD, said
from streams.topics import Topic

CONNECT_MS: Final = 10_000
_PAUSE_S: Final = 0.1
_UNCOMMITTED: Final = -1


class ClusterError(Exception):
    """Kafka can't be reached, or refuses what was asked. One line."""


class Cluster:
    """A connection for questions and for making topics. `options` are the client's security settings.

    For the length of a command: a group that moves to another broker is looked for at the old one.
    """

    def __init__(self, servers: str, options: Mapping[str, Any] | None = None) -> None:
        self.servers = servers
        with trouble(self.servers):
            self._admin = KafkaAdminClient(
                bootstrap_servers=servers, bootstrap_timeout_ms=CONNECT_MS, client_id="ricochet", **(options or {})
            )

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def brokers(self) -> int:
        """How many brokers there are."""
        with trouble(self.servers):
            return len(self._admin.describe_cluster()["brokers"])

    def create(self, topics: Sequence[Topic]) -> list[str]:
        """Make the topics that are missing, and set the retention and the like of the others. What was done, in words.

        Raises `ClusterError` where it is refused, for instance for more replicas than there are brokers. Whatever
        else is wrong with a topic that exists is left as it is; `check` tells.
        """
        with trouble(self.servers):
            found = self._describe(topics)
            new: dict[str, dict[str, Any]] = {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": topic.replication,
                    "configs": dict(topic.config),
                }
                for topic in topics
                if topic.name not in found
            }
            done = []
            if new:
                made = self._admin.create_topics(new, raise_errors=False)["topics"]
                for one in made:
                    if one["error_code"] not in (0, TopicAlreadyExistsError.errno):  # another may have been faster
                        why = one["error_message"] or for_code(one["error_code"]).__name__
                        raise ClusterError(f"topic {one['name']}: {why}")
                self._admin.wait_for_topics(list(new), timeout_ms=60_000)
                done = [f"made {name} with {_count(new[name]['num_partitions'], 'partition')}" for name in new]
            for topic, name, is_, should in self._differing([topic for topic in topics if topic.name in found]):
                resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, {name: should})
                answer = self._admin.alter_configs([resource])["topic"][topic.name]
                if answer != "OK":
                    raise ClusterError(f"topic {topic.name}: {name} can't be set: {answer}")
                done.append(f"set {name} of {topic.name} to {should}, it was {is_}")
            return done

    def check(self, topics: Sequence[Topic]) -> list[str]:
        """What makes it impossible or unsafe to work with these topics, a line each; none if all is well."""
        with trouble(self.servers):
            found = _patiently(lambda: self._describe(topics))
            configs = _patiently(lambda: self._configs([topic for topic in topics if topic.name in found]))
        return [
            f"topic {topic.name} {fault}"
            for topic in topics
            for fault in _faults(topic, found.get(topic.name), configs.get(topic.name, {}))
        ]

    def differences(self, topics: Sequence[Topic]) -> list[str]:
        """Where topics that exist keep things otherwise than the settings say, a line each: no reason not to work."""
        with trouble(self.servers):
            here = [topic for topic in topics if topic.name in self._describe(topics)]
            return [
                f"topic {topic.name} has {name}={is_}, the settings say {should}; `ricochet topics create` sets it"
                for topic, name, is_, should in self._differing(here)
                if name != "cleanup.policy"  # a fault
            ]

    def stuck(self, topics: Sequence[Topic]) -> list[str]:
        """Which partitions take nothing, as fewer brokers are in sync than must have a message: a line for a topic."""
        with trouble(self.servers):
            found = self._describe(topics)
            configs = self._configs([topic for topic in topics if topic.name in found])
        lines = []
        for name, one in found.items():
            least = int(configs[name].get("min.insync.replicas", 1))
            few = [
                part["partition_index"]
                for part in one["partitions"]
                if len(part["isr_nodes"]) < min(least, len(part["replica_nodes"]))
            ]
            if few:
                numbers = ", ".join(map(str, sorted(few)))
                lines.append(
                    f"topic {name} takes nothing: of partition {numbers} fewer than {least} brokers are in sync"
                )
        return lines

    def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has, None if there is no such topic."""
        with trouble(self.servers):
            found = self._admin.describe_topics([topic])[0]
            return None if found["error_code"] else len(found["partitions"])

    def starts(self, topic: str, partitions: int) -> dict[int, int]:
        """The offset of the first message that each partition still has."""
        return {number: at.offset for number, at in self._offsets(topic, partitions, OffsetSpec.EARLIEST).items()}

    def ends(self, topic: str, partitions: int) -> dict[int, int]:
        """The offset behind the last message of each partition."""
        return {number: at.offset for number, at in self._offsets(topic, partitions, OffsetSpec.LATEST).items()}

    def newest(self, topic: str, partitions: int) -> int | None:
        """The greatest timestamp (ms) of a record in a topic, None if it has none."""
        times = [at.timestamp for at in self._offsets(topic, partitions, OffsetSpec.MAX_TIMESTAMP).values()]
        return max((at for at in times if at >= 0), default=None)

    def members(self, group: str) -> int:
        """How many processes are in a consumer group."""
        with trouble(self.servers):
            return len(_patiently(lambda: self._admin.describe_groups([group])[group]["members"]))

    def clock_ahead(self) -> tuple[int, int] | None:
        """How far the clock of Kafka's controller is ahead of ours, and how sure that is: ms, give or take ms.

        The controller tells the moment at which it was last up to date itself, which is when it was asked. None where
        it does not tell: before KRaft, or without the right to ask.
        """
        asked = time.time() * 1000
        try:
            found = self._admin.describe_metadata_quorum()["topics"][0]["partitions"][0]
        except KafkaError:
            return None
        answered = time.time() * 1000
        leader = next((one for one in found["current_voters"] if one["replica_id"] == found["leader_id"]), None)
        if leader is None or leader.get("last_caught_up_timestamp", -1) <= 0:
            return None
        ahead = leader["last_caught_up_timestamp"] - (asked + answered) / 2
        return round(ahead), round((answered - asked) / 2) + 1

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The offset up to which a consumer group has committed each partition; without those it has not."""
        with trouble(self.servers):
            offsets = _patiently(lambda: self._admin.list_group_offsets(group)[group])
        return {
            place.partition: found.offset
            for place, found in offsets.items()
            if place.topic == topic and found.offset != _UNCOMMITTED
        }

    def _offsets(self, topic: str, partitions: int, which: Any) -> dict[int, Any]:
        asked = {TopicPartition(topic, number): which for number in range(partitions)}
        with trouble(self.servers):
            return {place.partition: at for place, at in self._admin.list_partition_offsets(asked).items()}

    def _describe(self, topics: Sequence[Topic]) -> dict[str, Any]:
        """The topics that exist."""
        described = self._admin.describe_topics([topic.name for topic in topics]) if topics else []
        return {one["name"]: one for one in described if not one["error_code"]}

    def _configs(self, topics: Iterable[Topic]) -> dict[str, dict[str, str]]:
        """The settings in force of topics, the broker's defaults included."""
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
        if not asked:
            return {}
        answer = self._admin.describe_configs(asked, config_filter="all")["topic"]
        return {name: {key: one["value"] for key, one in found.items()} for name, found in answer.items()}

    def _differing(self, topics: Sequence[Topic]) -> Iterator[tuple[Topic, str, str, str]]:
        """The settings that are not as they should be: topic, name, what it is, what it should be."""
        configs = self._configs(topics)
        for topic in topics:
            for name, should in topic.config.items():
                if (is_ := configs[topic.name].get(name, "unknown")) != should:
                    yield topic, name, is_, should


@contextmanager
def trouble(servers: str) -> Iterator[None]:
    """Say in one line what Kafka, or the way to it, does not do."""
    begun = time.monotonic()
    try:
        yield
    except (KafkaError, OSError) as error:
        why = HEARD.since(begun) if isinstance(error, KafkaTimeoutError) else None
        raise ClusterError(f"Kafka at {servers}: {why or said(error)}") from None


def _patiently(ask: Callable[[], Any]) -> Any:
    """Ask again while a group's coordinator is being elected, or a broker that has just gone is still asked."""
    deadline = time.monotonic() + CONNECT_MS / 1000
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def _faults(topic: Topic, found: Mapping[str, Any] | None, config: Mapping[str, str]) -> Iterator[str]:
    if found is None:
        yield "is missing; `ricochet topics create` makes it"
        return
    partitions = found["partitions"]
    if len(partitions) != topic.partitions:
        has = _count(len(partitions), "partition")
        yield f"has {has}, the settings say {topic.partitions}; partition counts are fixed, use a new prefix"
    replicas = min(len(one["replica_nodes"]) for one in partitions)
    if replicas < topic.replication:
        yield f"has {_count(replicas, 'replica')}, the settings say {topic.replication}"
    policy = config.get("cleanup.policy", "")
    if topic.is_compacted and policy != "compact":
        yield f"is not compacted (cleanup.policy={policy}); `ricochet topics create` sets it"
    elif not topic.is_compacted and "compact" in policy:
        yield f"is compacted and loses events (cleanup.policy={policy}); `ricochet topics create` sets it"
    leaderless = [one["partition_index"] for one in partitions if one["leader_id"] < 0]
    if leaderless:
        yield f"has no leader for partition {', '.join(map(str, leaderless))}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
