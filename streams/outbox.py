"""What the stages of a worker send, gathered into few messages, each of one partition."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from spread.partition import partition
from streams import wire
from streams.topics import OFFER_EVENTS, SOCIAL_EVENTS

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """One message; `topic` is its name without the prefix, `partition` None leaves the choice to the producer."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: Headers | None = None


class Outbox:
    """Gathers until `take`. `partitions` says how many each topic has."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self._partitions = partitions
        self._items: defaultdict[tuple[str, int, bool], list[tuple[str | None, bytes]]] = defaultdict(list)
        self._messages: list[Message] = []

    def __bool__(self) -> bool:
        return bool(self._items or self._messages)

    def emit(self, topic: str, key: str | None, item: Any) -> None:
        """Take what a stage sends. A key of None means every partition."""
        encoded = wire.pair(key, item) if topic == OFFER_EVENTS else wire.social_event(item)
        self.send_on(topic, key, encoded, from_stage=True)

    def send_on(self, topic: str, key: str | None, item: bytes, *, from_stage: bool) -> None:
        """Take an encoded item, for instance one that had come to the wrong partition."""
        n = self._partitions[topic]
        for number in range(n) if key is None else (partition(key, n),):
            self._items[topic, number, from_stage].append((key, item))

    def add(self, message: Message) -> None:
        """Take a message as it is."""
        self._messages.append(message)

    def take(self) -> list[Message]:
        """All that has been gathered, as messages."""
        messages, self._messages = self._messages, []
        items, self._items = self._items, defaultdict(list)
        for (topic, number, from_stage), keyed in items.items():
            keys = {key for key, _ in keyed}
            only = keys.pop() if len(keys) == 1 else None
            key = None if only is None else only.encode()
            headers = [wire.FROM_STAGE] if topic == SOCIAL_EVENTS and from_stage else None
            join = wire.envelope if topic == OFFER_EVENTS else wire.batch
            for some in wire.split(item for _, item in keyed):
                messages.append(Message(topic, number, key, join(some), headers))
        return messages
