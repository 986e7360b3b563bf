"""The broker that the tests start: it answers, keeps what it was given, and can be stopped and paused."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from tests import broker
from tests.broker import Broker


def test_topics_of_one_test_are_its_own(kafka: str, prefix: str) -> None:
    """The shared broker answers, and starts with no topic of this test's prefix."""
    with broker.admin(kafka) as client:
        assert not [topic for topic in client.list_topics() if topic.startswith(prefix)]
        client.create_topics({f"{prefix}a": {"num_partitions": 3, "replication_factor": 1}})
        client.wait_for_topics([f"{prefix}a"])


def test_a_broker_of_its_own_can_be_stopped_and_keeps_what_it_has(own_broker: Broker, prefix: str) -> None:
    """After a pause and after a restart the same address answers, with the topics that it had."""
    topic = f"{prefix}a"
    with broker.admin(own_broker.bootstrap) as client:
        client.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        client.wait_for_topics([topic])
    with KafkaProducer(bootstrap_servers=own_broker.bootstrap) as producer:
        assert producer.send(topic, b"1").get(60).offset == 0
        own_broker.pause()
        sent = producer.send(topic, b"2")
        assert not sent.is_done
        own_broker.resume()
        assert sent.get(60).offset == 1
    own_broker.stop()
    own_broker.start()
    with broker.admin(own_broker.bootstrap) as client:
        assert topic in client.list_topics()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java and Maven one line says so, and how to get them."""
    monkeypatch.setenv("PATH", "/nowhere")
    said = broker.missing()
    assert said is not None
    assert said.startswith("java and mvn missing: install ")
    assert "KAFKA_BOOTSTRAP" in said
