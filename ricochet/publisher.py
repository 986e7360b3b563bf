"""Brings files of events to Kafka, through the door."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.door import DeadLetters, Door
from ricochet.installation import require_topics
from ricochet.replay import Census, replay
from ricochet.settings import Settings
from spread.events import Rejected
from spread.hashing import Hashing
from streams.letters import foreign_letter
from streams.topics import REJECTED, SOCIAL_EVENTS


@dataclass(frozen=True)
class Published:
    """What the files held, and by partition of `social-events` the offset that a worker must have passed to know it."""

    census: Census
    positions: dict[int, int]


def open_door(settings: Settings, hashing: Hashing | None) -> Door:
    """The door of this installation. Raises `RicochetError` where its topics are not as they should be."""
    require_topics(settings)
    topic, options = settings.layout.name(SOCIAL_EVENTS), settings.kafka_options.client()
    letters = DeadLetters(settings.layout.name(REJECTED), foreign_letter)
    return Door(settings.kafka, topic, options=options, hashing=hashing, letters=letters)


def publish(
    files: Iterable[str],
    settings: Settings,
    *,
    speed: float = 0,
    progress: Callable[[int], None] = lambda _: None,
    on_rejected: Callable[[str, int, Rejected], None] = lambda *_: None,
) -> Published:
    """Bring files to Kafka, and return when it has acknowledged all of their events."""
    with open_door(settings, settings.hashing) as door:
        census = replay(files, door.publish, speed=speed, progress=progress, on_rejected=on_rejected)
        door.flush()
        return Published(census, door.positions())
