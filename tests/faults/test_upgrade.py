"""Workers of this version come to the tables that an older one left."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from spread.partition import partition
from streams.segments import is_segment, key_of
from streams.topics import OFFERS_TABLE, PEOPLE_TABLE, Layout
from tests import old_states
from tests.crew import PARTITIONS, Crew, crew
from tests.faults.story import Story

TABLES = PEOPLE_TABLE, OFFERS_TABLE


@pytest.mark.parametrize("encoding", old_states.ENCODINGS)
def test_tables_of_an_older_encoding_are_gone_on_with(kafka: str, prefix: str, tmp_path: Path, encoding: int) -> None:
    """Though all is sent again, who was erased stays so, and once a worker has them the tables tell of nobody erased.

    Nor does the changelog bring it back to a worker that has lost its folder.
    """
    before, erased, after = old_states.BEFORE, old_states.ERASED, old_states.AFTER
    settings = {"RICOCHET_SUPPRESSION_KEY": "a key of sixteen"}
    with crew(kafka, prefix, tmp_path, settings) as hands, Story(hands) as story:
        old_states.put(encoding, tmp_path / "old")
        for table in TABLES:
            fill(hands, table, old_states.rows(tmp_path / "old", table))
            assert len(old_states.tells(erased, kept(hands, table))) == len(erased)
        story.also(erased)
        story.start("a", "b")
        story.events(before)
        story.reaches(0.5)
        story.kill("a", "b")
        shutil.rmtree(story.place("a"))
        story.start("a")
        story.events(after)
        story.ends_well()
        for table in TABLES:
            rows = kept(hands, table)
            assert not old_states.tells(erased, rows)
            assert old_states.tells(before[:100], rows), "who was not erased is there"
            assert sum(row.startswith(b"\0suppressed") for row in rows) == len(erased)


def fill(hands: Crew, table: str, rows: dict[bytes, bytes]) -> None:
    """Write rows to the changelog of a table, each to its partition; those that a stage keeps for itself, to all."""
    with KafkaProducer(bootstrap_servers=hands.env["RICOCHET_KAFKA"]) as producer:
        for row, stored in rows.items():
            for number in [partition(key_of(row), PARTITIONS)] if is_segment(row) else range(PARTITIONS):
                producer.send(changelog(hands, table), stored, row, partition=number)
        producer.flush()


def kept(hands: Crew, table: str) -> dict[bytes, bytes]:
    """Read what the changelog of a table leaves: of each row the last value, if it was not deleted."""
    topic, rows = changelog(hands, table), dict[bytes, bytes | None]()
    with closing(KafkaConsumer(bootstrap_servers=hands.env["RICOCHET_KAFKA"], group_id=None)) as consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=200).values():
                rows |= {record.key: record.value for record in records}
    return {row: stored for row, stored in rows.items() if stored is not None}


def changelog(hands: Crew, table: str) -> str:
    """Name the changelog of a table."""
    return Layout(hands.env["RICOCHET_TOPIC_PREFIX"]).changelog(table)
