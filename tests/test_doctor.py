"""`ricochet doctor`, on a real Kafka: what is well, what is wrong, and what its exit code says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from ricochet.doctor import LAG
from tests import broker
from tests.processes import Ended, ended, good, until
from tests.test_publisher import environment_of


def doctor(env: Mapping[str, str], folder: Path) -> Ended:
    """Ask the doctor."""
    return ended("doctor", cwd=folder, env=env)


def failures(said: Ended) -> list[str]:
    """Give the lines of what is wrong."""
    return [line.removeprefix("FAIL  ") for line in said.out.splitlines() if line.startswith("FAIL")]


def test_an_installation_that_is_well(kafka: str, prefix: str, tmp_path: Path) -> None:
    """With its topics made nothing is wrong: folder, broker, topics, tables, reading and clock have a line each."""
    env = environment_of(kafka, prefix)
    good("topics", "create", cwd=tmp_path, env=env)
    until(lambda: doctor(env, tmp_path).code == 0, "all to be well")
    lines = doctor(env, tmp_path).out.splitlines()
    assert lines[0] == "--    data folder ricochet-data: none yet, the first worker makes it"
    assert lines[1] == f"ok    Kafka at {kafka}: brokers: 1"
    assert f"ok    topic {prefix}social-events: partitions: 3, copies: 1, keeps 7 days" in lines
    changelog = f"{prefix}ricochet-people-changelog"
    assert f"ok    table people: topic {changelog}: partitions: 3, copies: 1, compacted" in lines
    assert f"--    topic {prefix}social-events: unread messages: 0; workers: none in group {prefix}ricochet" in lines
    assert lines[-1].startswith("ok    clock: Kafka's is 0.")
    assert len(lines) == 1 + 1 + 8 + 2 + 1
    (tmp_path / "ricochet-data").mkdir()
    assert doctor(env, tmp_path).out.startswith("ok    data folder ricochet-data: free: ")
    assert not list((tmp_path / "ricochet-data").iterdir())


def test_what_is_wrong_with_topics_and_tables(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Missing topics, other partitions, too few brokers and another retention each fail, and so does the command."""
    env = environment_of(kafka, prefix)
    missing = doctor(env, tmp_path)
    assert missing.code == 1
    assert f"topic {prefix}alerts is missing; `ricochet topics create` makes it" in failures(missing)
    good("topics", "create", cwd=tmp_path, env=env)
    other = {
        "RICOCHET_OFFER_PARTITIONS": "5",
        "RICOCHET_REPLICATION": "3",
        "RICOCHET_ALERT_RETENTION_DAYS": "1",
    }
    said = doctor(env | other, tmp_path)
    assert said.code == 1
    wrong = failures(said)
    assert f"Kafka at {kafka}: brokers: 1, too few for 3 copies of each topic" in wrong
    table = f"table offers: topic {prefix}ricochet-offers-changelog"
    assert f"{table} has 2 partitions, the settings say 5; partition counts are fixed, use a new prefix" in wrong
    assert f"{table} has 1 replica, the settings say 3" in wrong
    assert any("alerts has retention.ms=7776000000, the settings say 86400000" in line for line in wrong)


def test_what_was_not_read(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Unread messages fail without a worker, and with one if they are many; so does what was deleted unread."""
    env = environment_of(kafka, prefix)
    good("topics", "create", cwd=tmp_path, env=env)
    topic, group = f"{prefix}social-events", f"{prefix}ricochet"
    with KafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(5):
            producer.send(topic, b"[]", partition=0).get(60)
    with broker.admin(kafka) as client:
        client.alter_group_offsets(group, {TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
        until(lambda: bool(failures(doctor(env, tmp_path))), "what is unread to be seen")
        [line] = failures(doctor(env, tmp_path))
        assert line.startswith(f"topic {topic}: unread messages: 3; workers: none in group {group}, the newest message")
        with KafkaConsumer(topic, bootstrap_servers=kafka, group_id=group, enable_auto_commit=False) as worker:
            until(lambda: worker.poll(100) is not None and bool(worker.assignment()), "a worker")
            said = doctor(env, tmp_path)
            assert said.code == 0
            assert f"ok    topic {topic}: unread messages: 3; workers: 1 in group {group}, " in said.out
            with KafkaProducer(bootstrap_servers=kafka, linger_ms=20) as producer:
                for _ in range(LAG):
                    producer.send(topic, b"[]", partition=1)
            until(lambda: bool(failures(doctor(env, tmp_path))), "the lag to be seen")
            [line] = failures(doctor(env, tmp_path))
            assert line.startswith(
                f"topic {topic}: unread messages: {LAG + 3:,}, too many; workers: 1 in group {group}"
            )
        client.delete_records({TopicPartition(topic, 0): 4})
    lost = f"topic {topic}: 2 messages were deleted before group {group} had read them"
    until(lambda: lost in failures(doctor(env, tmp_path)), "what was lost to be seen")


def test_no_broker_is_the_first_thing_that_is_wrong(prefix: str, tmp_path: Path) -> None:
    """Where nobody listens there is one line of it, and the command fails as it does for any other finding."""
    said = doctor(environment_of("127.0.0.1:1", prefix), tmp_path)
    assert said.code == 1
    assert said.err == ""
    [line] = failures(said)
    assert said.out.splitlines()[1:] == [f"FAIL  {line}"]
    assert line.startswith("Kafka at 127.0.0.1:1: ")


HARD_UP = """
import shutil
import time

clock, usage = time.time, shutil.disk_usage
time.time = lambda: clock() + 60
shutil.disk_usage = lambda path: usage(path)._replace(free=300 * 2**20)
"""
"""A machine whose clock is ahead, and whose disk is nearly full."""


def test_what_is_wrong_with_the_machine(kafka: str, prefix: str, tmp_path: Path) -> None:
    """A clock that differs, a full disk and a folder that can't be written fail; tables in memory want no room."""
    env = environment_of(kafka, prefix)
    good("topics", "create", cwd=tmp_path, env=env)
    (hook := tmp_path / "hook").mkdir()
    (hook / "sitecustomize.py").write_text(HARD_UP)
    (tmp_path / "ricochet-data").mkdir()
    said = doctor(env | {"PYTHONPATH": str(hook)}, tmp_path)
    assert said.code == 1
    disk, clock = failures(said)
    assert disk == "data folder ricochet-data: free: 0.3 GiB, too little"
    assert clock.startswith(("clock: Kafka's is 60.", "clock: Kafka's is 59."))
    assert " s behind, give or take " in clock
    in_memory = doctor(env | {"PYTHONPATH": str(hook), "RICOCHET_TABLES": "memory"}, tmp_path)
    assert failures(in_memory)[0].startswith("clock")
    (tmp_path / "file").touch()
    for folder, why in (("file", "Not a directory"), ("/proc/self", "No such file or directory")):
        assert failures(doctor(env | {"RICOCHET_DATA": folder}, tmp_path)) == [
            f"data folder {folder} can't be written: {why}"
        ]
