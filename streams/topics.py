"""The topics (contract v1, section 3), declared once: their names, keys, partitions, and how long they keep what.

What must be read together has the same partitions: `offers`, `spread` and `alerts` go with `offer-events`, and each
table's changelog with the events that change the table.

Compaction is how an erased row leaves Kafka. Of `erasure_ms`, the longest that it may take, a fourteenth is the *step*:
a segment is written to for one step, and a worker writes to each partition once a step, so it is closed after two; it
is compacted four steps after its first record, which takes the row away; what says that the row was deleted stays four
steps more, and goes with the next compaction, which comes within six.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spread.events import DAY_MS, MAX_MESSAGE_BYTES

SOCIAL_EVENTS: Final = "social-events"
OFFERS: Final = "offers"
OFFER_EVENTS: Final = "offer-events"
SPREAD: Final = "spread"
ALERTS: Final = "alerts"
REJECTED: Final = "rejected"

PEOPLE_TABLE: Final = "people"
OFFERS_TABLE: Final = "offers"

_HOUR_MS: Final = 3_600_000
_STEPS: Final = 14


@dataclass(frozen=True)
class Layout:
    """What the settings say of an installation's topics."""

    prefix: str = ""
    social_partitions: int = 8
    offer_partitions: int = 8
    replication: int = 1
    event_retention_ms: int = 7 * DAY_MS
    alert_retention_ms: int = 90 * DAY_MS
    erasure_ms: int = 84 * _HOUR_MS
    """So long at most a changelog, or a worker's disk, still holds a row that was erased."""

    @property
    def step_ms(self) -> int:
        """The step of compaction."""
        return self.erasure_ms // _STEPS

    @property
    def deletions_ms(self) -> int:
        """So long at least a changelog tells that a row was deleted; who read it last before would not learn of it."""
        return 4 * self.step_ms

    @property
    def logs_ms(self) -> int:
        """So long at most a message of the stages can be read again; the last part is Kafka's own delay."""
        return self.event_retention_ms + min(self.event_retention_ms, DAY_MS) + DAY_MS

    @property
    def app(self) -> str:
        """The id of the workers' application, which is also their consumer group."""
        return f"{self.prefix}ricochet"

    def name(self, bare: str) -> str:
        """The full name of a topic."""
        return f"{self.prefix}{bare}"

    def changelog(self, table: str) -> str:
        """The full name of the changelog of a table, as Faust gives it."""
        return f"{self.app}-{table}-changelog"

    def partitions(self, bare: str) -> int:
        """The partitions that the settings give to a topic."""
        return self.social_partitions if bare == SOCIAL_EVENTS else self.offer_partitions


@dataclass(frozen=True)
class Topic:
    """A topic as it should be. `config` holds what is not left to the broker's own defaults."""

    name: str
    key: str
    partitions: int
    replication: int
    config: Mapping[str, str]

    @property
    def is_compacted(self) -> bool:
        """Whether the newest message of each key is kept, and not all messages for a time."""
        return self.config["cleanup.policy"] == "compact"


def topics(layout: Layout) -> list[Topic]:
    """All topics of an installation, the changelogs of its workers' tables included."""
    social, offers, events = layout.social_partitions, layout.offer_partitions, layout.event_retention_ms

    def topic(name: str, key: str, partitions: int, config: dict[str, str]) -> Topic:
        # With three replicas one may fail: a write is safe on two, and goes on with two.
        shared = {"max.message.bytes": MAX_MESSAGE_BYTES, "min.insync.replicas": max(1, layout.replication - 1)}
        config |= {name: str(value) for name, value in shared.items()}
        return Topic(name, key, partitions, layout.replication, config)

    return [
        topic(layout.name(SOCIAL_EVENTS), "account", social, _kept_for(events)),
        topic(layout.name(OFFERS), "offer", offers, _compacted(layout)),
        topic(layout.name(OFFER_EVENTS), "offer", offers, _kept_for(events)),
        topic(layout.name(SPREAD), "offer", offers, _compacted(layout)),
        topic(layout.name(ALERTS), "offer", offers, _kept_for(layout.alert_retention_ms)),
        topic(layout.name(REJECTED), "as it came", 1, _kept_for(events)),
        topic(layout.changelog(PEOPLE_TABLE), "row", social, _compacted(layout)),
        topic(layout.changelog(OFFERS_TABLE), "row", offers, _compacted(layout)),
    ]


def _kept_for(ms: int) -> dict[str, str]:
    # A segment goes when its newest message is too old: one that spans a day keeps its oldest a day too long.
    return {"cleanup.policy": "delete", "retention.ms": str(ms), "segment.ms": str(min(ms, DAY_MS))}


def _compacted(layout: Layout) -> dict[str, str]:
    # The segment that is written to is never compacted, so it must be a short one.
    return {
        "cleanup.policy": "compact",
        "segment.ms": str(layout.step_ms),
        "max.compaction.lag.ms": str(4 * layout.step_ms),
        "delete.retention.ms": str(layout.deletions_ms),
    }
