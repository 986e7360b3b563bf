"""How the tests run, with nobody's own settings.

Examples are random at the desk, so that every run looks elsewhere. Where a machine decides about a change they are more
and always the same, so that red means the change. `--hypothesis-profile hunt` looks for what is rare.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from tests import broker
from tests.crew import Crew, crew

IN_CI = os.environ.get("CI") == "true"

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile("ci", max_examples=400, deadline=None, derandomize=True, print_blob=True, database=None)
settings.register_profile("hunt", max_examples=10_000, deadline=None, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")

for name in [name for name in os.environ if name.startswith("RICOCHET_") and not name.startswith("RICOCHET_TEST_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def kafka_tools() -> None:
    """Hold up the tests that need Kafka where it can't be started: they are skipped, in CI they fail."""
    lacking = broker.missing()
    if lacking is not None and not os.environ.get("KAFKA_BOOTSTRAP"):
        if IN_CI:
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def kafka(kafka_tools: None) -> Iterator[str]:
    """Give the address of a broker that all tests share, each under its own `prefix`."""
    with broker.kafka() as bootstrap:
        yield bootstrap


@pytest.fixture
def hands(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """Give an installation without any worker yet."""
    with crew(kafka, prefix, tmp_path) as made:
        yield made


@pytest.fixture
def brokers_of_its_own(kafka_tools: None) -> None:
    """Hold up the tests that start brokers themselves where there is only somebody's: they are skipped."""
    if broker.missing() is not None:
        pytest.skip("brokers of its own are asked for, and there is only that of KAFKA_BOOTSTRAP")


@pytest.fixture
def own_broker(brokers_of_its_own: None) -> Iterator[broker.Broker]:
    """Give a broker that a test may stop and pause."""
    with broker.Broker() as started:
        yield started


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a prefix for topics that no other test has. Its topics on the shared broker go at the end."""
    mine = f"t{uuid4().hex[:12]}-"
    yield mine
    if "kafka" in request.fixturenames:
        with broker.admin(request.getfixturevalue("kafka")) as client:
            topics = [topic for topic in client.list_topics() if topic.startswith(mine)]
            if topics:
                client.delete_topics(topics)
