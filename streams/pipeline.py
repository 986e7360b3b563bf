"""Both stages over one pair of tables, driven until nothing is left to send. The heart of the embedded engine."""

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Any

from spread.events import AnyEvent
from spread.facts import Fact
from streams import heap
from streams.health import Health
from streams.keeping import FOREVER, Keeping
from streams.offers import Offers
from streams.people import People
from streams.stage import MEMORY
from streams.table import Table
from streams.topics import SOCIAL_EVENTS


class Pipeline:
    """PEOPLE and OFFERS as one partition."""

    def __init__(
        self, people: Table, offers: Table, health: Health, *, keeping: Keeping = FOREVER, memory: int = MEMORY
    ) -> None:
        self.health = health
        self.people_table, self.offers_table = people, offers
        self.people = People(health, keeping=keeping, memory=memory)
        self.offers = Offers(health, keeping=keeping, memory=memory)

    @heap.growing()
    def feed(self, events: Sequence[AnyEvent], now: int) -> None:
        """Take events through both stages; nothing is written before `flush`."""
        social: deque[AnyEvent] = deque(events)
        while social:
            facts: list[tuple[str | None, Fact]] = []
            again: deque[AnyEvent] = deque()

            def emit(topic: str, key: str | None, item: Any) -> None:
                if topic == SOCIAL_EVENTS:
                    again.append(item)  # noqa: B023  # called before the loop goes on
                else:
                    facts.append((key, item))  # noqa: B023

            with self.health.timed(self.people.name):
                self.people.apply(social, self.people_table, emit, now)
            while facts:
                batch, facts = facts, []
                with self.health.timed(self.offers.name):
                    self.offers.apply(batch, self.offers_table, emit, now)
            social = again

    @heap.growing()
    def flush(self) -> None:
        """Write what is new to the tables."""
        self.people.flush(self.people_table)
        self.offers.flush(self.offers_table)

    @heap.growing()
    def expire(self, now: int) -> None:
        """Obey the retention."""
        for _ in chain(self.people.expiring(self.people_table, now), self.offers.expiring(self.offers_table, now)):
            pass
