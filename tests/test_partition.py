"""Which partition a key belongs to."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as murmur2_of_kafka_python

from spread.partition import murmur2, partition


@given(st.binary(max_size=64))
def test_the_hash_is_that_of_kafkas_clients(raw: bytes) -> None:
    """Our hash of any bytes is that of another client of Kafka."""
    assert murmur2(raw) == murmur2_of_kafka_python(raw) & 0xFFFFFFFF


@given(st.text(max_size=20), st.integers(1, 200))
def test_a_key_has_one_of_the_partitions(key: str, partitions: int) -> None:
    """A key belongs to one partition, as kafka-python would say."""
    assert partition(key, partitions) == (murmur2_of_kafka_python(key.encode()) & 0x7FFFFFFF) % partitions
