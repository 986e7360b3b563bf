"""Which partition a key belongs to."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as murmur2_of_kafka_python

from spread.partition import murmur2, partition, partition_of_each


@given(st.binary(max_size=64))
def test_the_hash_is_that_of_kafkas_clients(raw: bytes) -> None:
    """Our hash of any bytes is that of another client of Kafka."""
    assert murmur2(raw) == murmur2_of_kafka_python(raw) & 0xFFFFFFFF


@given(st.text(max_size=20), st.integers(1, 200))
def test_a_key_has_one_of_the_partitions(key: str, partitions: int) -> None:
    """A key belongs to one partition, as kafka-python would say."""
    assert partition(key, partitions) == (murmur2_of_kafka_python(key.encode()) & 0x7FFFFFFF) % partitions


@given(st.lists(st.text("aé-\U0001f600", max_size=5), min_size=30, max_size=90), st.integers(1, 200))
def test_many_keys_at_once_have_the_same_partitions(keys: list[str], partitions: int) -> None:
    """However many there are and whatever their lengths, each key has the partition that it has alone."""
    assert partition_of_each(keys, partitions) == [partition(key, partitions) for key in keys]
