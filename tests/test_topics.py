"""The topics: made as the settings say, on a real Kafka, and refused in words where they are otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams.cluster import Cluster, ClusterError
from streams.topics import OFFER_EVENTS, OFFERS, OFFERS_TABLE, PEOPLE_TABLE, SOCIAL_EVENTS, SPREAD, Layout, topics
from tests import broker
from tests.processes import ended, good, until


@pytest.fixture
def layout(prefix: str) -> Layout:
    """Give a layout of few partitions that differ."""
    return Layout(prefix, social_partitions=3, offer_partitions=2)


@pytest.fixture
def cluster(kafka: str) -> Iterator[Cluster]:
    """Connect to the shared broker."""
    with Cluster(kafka) as connected:
        yield connected


def settled(cluster: Cluster, layout: Layout, faults: list[str]) -> None:
    """Wait for the faults to be these: what was changed reaches the broker's own view a moment later."""
    until(lambda: cluster.check(topics(layout)) == faults, f"{faults}, not {cluster.check(topics(layout))}")


def test_topics_are_made_once_and_then_as_they_should_be(cluster: Cluster, layout: Layout) -> None:
    """What is missing is made, and found right; a second time there is nothing to do."""
    wanted = topics(layout)
    assert cluster.check(wanted) == [
        f"topic {topic.name} is missing; `ricochet topics create` makes it" for topic in wanted
    ]
    done = cluster.create(wanted)
    assert len(done) == len(wanted)
    assert f"made {layout.name(SOCIAL_EVENTS)} with 3 partitions" in done
    settled(cluster, layout, [])
    assert cluster.differences(wanted) == []
    assert cluster.create(wanted) == []
    assert cluster.partitions(layout.name(SOCIAL_EVENTS)) == 3
    assert cluster.partitions(layout.name("nothing")) is None


def test_what_is_read_together_has_the_same_partitions(layout: Layout) -> None:
    """The topics of offers go with `offer-events`, a table's changelog with the events that change the table."""
    partitions = {topic.name: topic.partitions for topic in topics(layout)}
    assert all(name.startswith(layout.prefix) for name in partitions)
    assert {partitions[layout.name(bare)] for bare in (OFFERS, OFFER_EVENTS, SPREAD, "alerts")} == {2}
    assert partitions[layout.changelog(OFFERS_TABLE)] == layout.partitions(OFFER_EVENTS) == 2
    assert partitions[layout.changelog(PEOPLE_TABLE)] == layout.partitions(SOCIAL_EVENTS) == 3
    assert layout.changelog(PEOPLE_TABLE) == f"{layout.prefix}ricochet-people-changelog"
    compacted = {topic.name for topic in topics(layout) if topic.is_compacted}
    assert compacted == {layout.name(OFFERS), layout.name(SPREAD), *map(layout.changelog, (PEOPLE_TABLE, OFFERS_TABLE))}


def test_another_number_of_partitions_is_a_fault_that_is_not_mended(cluster: Cluster, layout: Layout) -> None:
    """Settings that ask for other partitions than there are get a line for each topic, whoever asks, and no change."""
    cluster.create(topics(layout))
    settled(cluster, layout, [])
    more = topics(replace(layout, social_partitions=8))
    faults = [
        f"topic {name} has 3 partitions, the settings say 8; partition counts are fixed, use a new prefix"
        for name in (layout.name(SOCIAL_EVENTS), layout.changelog(PEOPLE_TABLE))
    ]
    assert cluster.check(more) == faults
    assert cluster.create(more) == []
    assert cluster.check(more) == faults


def test_fewer_replicas_are_a_fault_and_more_than_brokers_are_refused(cluster: Cluster, layout: Layout) -> None:
    """Fewer replicas than asked for are told; what the cluster can't give is refused in one line."""
    cluster.create(topics(layout))
    settled(cluster, layout, [])
    safer = replace(layout, replication=cluster.brokers() + 1)
    for fault in (faults := cluster.check(topics(safer))):
        assert fault.endswith(f"has {layout.replication} replica, the settings say {safer.replication}")
    assert len(faults) == len(topics(layout))
    with pytest.raises(ClusterError, match=r"topic other-\S+: .*[Rr]eplication factor"):
        cluster.create(topics(replace(safer, prefix=f"other-{layout.prefix}")))


def test_compaction_and_retention_are_told_and_set(cluster: Cluster, kafka: str, layout: Layout) -> None:
    """A topic that others made gets the compaction it needs; another retention is no fault, and is set the same way."""
    spread, social = layout.name(SPREAD), layout.name(SOCIAL_EVENTS)
    with broker.admin(kafka) as client:
        client.create_topics({spread: {"num_partitions": 2, "replication_factor": 1}})
        client.create_topics(
            {social: {"num_partitions": 3, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}}
        )
        client.wait_for_topics([spread, social])
    assert f"topic {spread} is not compacted (cleanup.policy=delete); `ricochet topics create` sets it" in (
        cluster.check(topics(layout))
    )
    assert any(
        fault.startswith(f"topic {social} is compacted and loses events") for fault in cluster.check(topics(layout))
    )
    assert any(line.startswith(f"set cleanup.policy of {spread} to compact") for line in cluster.create(topics(layout)))
    settled(cluster, layout, [])
    longer = topics(replace(layout, event_retention_ms=30 * 86_400_000))
    assert cluster.check(longer) == []
    differences = cluster.differences(longer)
    assert any("retention.ms=604800000, the settings say 2592000000" in line for line in differences)
    assert len(cluster.create(longer)) == len(differences) == 3
    until(lambda: cluster.differences(longer) == [], "the retention to be set")


def test_how_far_a_topic_goes_and_was_read(cluster: Cluster, kafka: str, layout: Layout) -> None:
    """Ends, the newest record's time and a group's committed offsets are those of the broker."""
    cluster.create(topics(layout))
    topic = layout.name(SOCIAL_EVENTS)
    assert cluster.newest(topic, 3) is None
    with KafkaProducer(bootstrap_servers=kafka) as producer:
        for at in (7_000, 9_000, 8_000):
            producer.send(topic, b"{}", partition=1, timestamp_ms=at).get(60)
    assert cluster.ends(topic, 3) == {0: 0, 1: 3, 2: 0}
    assert cluster.newest(topic, 3) == 9_000
    assert cluster.committed(layout.app, topic) == {}
    with broker.admin(kafka) as client:
        client.alter_group_offsets(layout.app, {TopicPartition(topic, 1): OffsetAndMetadata(2, "", -1)})
    assert cluster.committed(layout.app, topic) == {1: 2}


def test_the_commands_make_and_check_topics(kafka: str, prefix: str, tmp_path: Path) -> None:
    """`topics create` makes them, `topics check` answers with its exit code; the settings decide."""
    env = {"RICOCHET_KAFKA": kafka, "RICOCHET_TOPIC_PREFIX": prefix, "RICOCHET_SOCIAL_PARTITIONS": "2"}
    before = ended("topics", "check", cwd=tmp_path, env=env)
    assert before.code == 1
    assert f"topic {prefix}social-events is missing; `ricochet topics create` makes it" in before.out.splitlines()
    assert f"made {prefix}social-events with 2 partitions" in good("topics", "create", cwd=tmp_path, env=env).out
    until(lambda: ended("topics", "check", cwd=tmp_path, env=env).code == 0, "the topics to be as they should be")
    assert good("topics", "create", cwd=tmp_path, env=env).out == "all 8 topics are there\n"
    longer = env | {"RICOCHET_EVENT_RETENTION_DAYS": "8"}
    assert "retention.ms=604800000, the settings say 691200000" in good("topics", "check", cwd=tmp_path, env=longer).out
    more = ended("topics", "check", cwd=tmp_path, env=env | {"RICOCHET_SOCIAL_PARTITIONS": "3"})
    assert more.code == 1
    assert "has 2 partitions, the settings say 3; partition counts are fixed, use a new prefix" in more.out


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    """Where nobody listens the command says so, and names the servers."""
    said = ended("topics", "check", cwd=tmp_path, env={"RICOCHET_KAFKA": "127.0.0.1:1"}).complaint()
    assert said.startswith("ricochet: Kafka at 127.0.0.1:1: ")
