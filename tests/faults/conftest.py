"""One broker for all scenarios that only stop it, kill it or let it hang: started again, it has all that it had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.crew import crew
from tests.faults.story import Story


@pytest.fixture(scope="session")
def broker(kafka_tools: None) -> Iterator[Broker]:
    """Give the broker."""
    with Broker() as started:
        yield started


@pytest.fixture(scope="session")
def kafka(broker: Broker) -> str:
    """Give its address, in the place of the broker of the other tests."""
    return broker.bootstrap


@pytest.fixture
def story(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Story]:
    """Give an installation without any worker or event yet."""
    with crew(kafka, prefix, tmp_path) as hands, Story(hands) as told:
        yield told
