"""The door to Kafka: social events in batches, each to the partition of its key, and word when they are safe.

- An event waits at most the linger for others of its partition; a message is an array of up to 500 of them. One key's
  events keep the order in which they were published.
- An event is safe once all replicas that are in sync have it. `on_safe` says so: a connector moves its cursor there
  and not before, and after any crash reads on from the cursor. What comes twice that way is harmless.
- What is not safe yet is bounded in bytes. At the bound `publish` waits: a broker that hangs slows the connector
  down and does not fill the memory.
- A door that failed stays so: what came after the failure was perhaps taken and what came before perhaps not, so the
  connector opens another one and begins again at its cursor.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from spread.events import MAX_MESSAGE_BYTES, AnyEvent, Rejected, key
from spread.hashing import Hashing
from spread.partition import partition_of_each

BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 256 * 1024
_AT_A_TIME: Final = 100
"""Events for which the lock is taken once."""
_FRAME_BYTES: Final = 1_024
"""What Kafka wraps around a message, at most."""
_CONNECT_MS: Final = 10_000
_REQUEST_S: Final = 30.0
_CLOSE_S: Final = 5.0

_encode: Final = msgspec.json.Encoder().encode


class DoorError(Exception):
    """Events could not be brought to Kafka. One line."""


@dataclass(frozen=True)
class DeadLetters:
    """The topic of what could not be read; a letter is written of what was rejected, and where it came from."""

    topic: str
    letter: Callable[[Rejected, str], bytes]


class Door:
    """Publishes events to one topic. Any thread may call any method.

    `options` are the security settings of kafka-python. At most about `held_bytes` wait for Kafka at a time; after
    `delivery_s` seconds without its acknowledgement they are given up.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        options: Mapping[str, Any] | None = None,
        hashing: Hashing | None = None,
        letters: DeadLetters | None = None,
        linger_s: float = 0.03,
        held_bytes: int = 32 * 2**20,
        delivery_s: float = 120.0,
    ) -> None:
        self.topic = topic
        self._hashing, self._letters = hashing, letters
        self._linger_s, self._held_most = linger_s, held_bytes
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=servers,
                bootstrap_timeout_ms=_CONNECT_MS,
                max_block_ms=_CONNECT_MS,
                allow_auto_create_topics=False,
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                batch_size=2 * BATCH_BYTES,
                max_request_size=MAX_MESSAGE_BYTES,
                request_timeout_ms=int(1000 * min(_REQUEST_S, delivery_s / 2)),
                delivery_timeout_ms=int(1000 * delivery_s),
                **(options or {}),
            )
        except (KafkaError, OSError) as error:  # a certificate that can't be read is an OSError
            raise DoorError(f"Kafka at {servers}: {_reason(error)}") from None
        try:
            self._partitions = len(self._producer.partitions_for(topic))
        except KafkaError as error:
            self._producer.close(_CLOSE_S)
            raise DoorError(f"Kafka at {servers} has no topic {topic}: {_reason(error)}") from None
        self._changed = threading.Condition()
        """Guards all that follows."""
        self._open: OrderedDict[int, _Batch] = OrderedDict()
        """By partition, the batch that still takes events; the oldest first."""
        self._unsafe: OrderedDict[int, _Batch] = OrderedDict()
        """By number, the batches that Kafka has not acknowledged; the open ones too."""
        self._opened = 0
        self._held = 0
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()
        """What to call once every batch up to a number is safe."""
        self._positions: dict[int, int] = {}
        self._failure: str | None = None
        self._answers: SimpleQueue[tuple[_Batch, int | Exception] | None] = SimpleQueue()
        """Acknowledgements, as batch and offset; None only wakes the thread."""
        self._closed = False
        self._thread = threading.Thread(target=self._attend, name="door", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Door":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    @property
    def held(self) -> int:
        """Bytes of events that are not safe yet."""
        return self._held

    def publish(self, events: Iterable[AnyEvent], on_safe: Callable[[], None] | None = None) -> None:
        """Take events; `on_safe` is called once these and all that came before are safe.

        Waits where too much is on its way. The calls of `on_safe` come in the order of their `publish`, in a thread of
        the door; one that waits holds the others up. Raises `DoorError` once anything has failed, and for an event
        that is longer than a message may be; those before it were taken. An iterator is read a hundred at a time.
        """
        rest = iter(events)
        while some := list(islice(rest, _AT_A_TIME)):
            self._take([event if self._hashing is None else self._hashing.event(event) for event in some])
        if on_safe is not None:
            with self._changed:
                self._raise_failure()
                self._marks.append((self._opened, on_safe))
                self._answers.put(None)

    def reject(self, rejected: Sequence[Rejected], source: str) -> None:
        """Take dead letters, a message each; without a topic for them they are dropped. Otherwise as `publish`."""
        if self._letters is None:
            return
        for value in [self._letters.letter(one, source) for one in rejected]:
            with self._changed:
                self._wait_for_room(len(value))
                self._opened += 1
                batch = _Batch(self._opened, self._letters.topic, None, None, 0.0)
                batch.n, batch.nbytes = 1, len(value)
                self._unsafe[batch.number] = batch
                self._held += len(value)
                self._hand_over(batch, value)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was published is safe.

        Raises `DoorError` if any of it failed, or is not safe after `timeout_s` seconds: it may still become so.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._open:
                self._send(next(iter(self._open)))
            last = self._opened
            while self._failure is None and next(iter(self._unsafe), last + 1) <= last:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise DoorError(f"{self._waiting():,} events are not in {self.topic} after {timeout_s:g} s")
                self._changed.wait(left)
            self._raise_failure()

    def positions(self) -> dict[int, int]:
        """By partition, the greatest offset that Kafka has acknowledged."""
        with self._changed:
            return dict(self._positions)

    def close(self) -> None:
        """Let go of what is not safe, and of the connection. After `flush` nothing is lost."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._fail("the door is closed")
            self._answers.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        try:
            self._producer.close(_CLOSE_S if not self._unsafe else 0)
        except KafkaTimeoutError:  # it would rather wait for a broker that hangs than let go
            self._producer._sender.force_close()
            self._producer.close(_CLOSE_S)

    def _take(self, events: list[AnyEvent]) -> None:
        lines, keys = [_encode(event) for event in events], [key(event) for event in events]
        places = partition_of_each(keys, self._partitions)
        with self._changed:
            for event, line, of, place in zip(events, lines, keys, places, strict=True):
                size = len(line)
                if size > MAX_MESSAGE_BYTES - _FRAME_BYTES:
                    raise DoorError(f"event {event.id} takes {size:,} bytes, a message at most {MAX_MESSAGE_BYTES:,}")
                self._wait_for_room(size)
                self._add(place, of, line)

    def _add(self, number: int, of: str, encoded: bytes) -> None:
        batch = self._open.get(number)
        if batch is not None and batch.nbytes + len(encoded) > BATCH_BYTES:
            self._send(number)
            batch = None
        if batch is None:
            self._opened += 1
            batch = _Batch(self._opened, self.topic, number, of, time.monotonic() + self._linger_s)
            self._open[number] = self._unsafe[batch.number] = batch
            if len(self._open) == 1:
                self._answers.put(None)
        batch.events.append(encoded)
        batch.nbytes += len(encoded) + 1
        self._held += len(encoded) + 1
        if batch.key != of:
            batch.key = None
        if len(batch.events) >= BATCH_EVENTS:
            self._send(number)

    def _wait_for_room(self, size: int) -> None:
        while self._failure is None and self._held and self._held + size > self._held_most:
            self._changed.wait()
        self._raise_failure()

    def _send(self, number: int) -> None:
        batch = self._open.pop(number)
        if self._failure is not None:
            return
        value = b"[" + b",".join(batch.events) + b"]"
        batch.n, batch.events = len(batch.events), []
        self._hand_over(batch, value)

    def _hand_over(self, batch: "_Batch", value: bytes) -> None:
        name = None if batch.key is None else batch.key.encode()
        try:
            sent = self._producer.send(batch.topic, value, name, partition=batch.partition)
        except (KafkaError, ValueError) as error:  # ValueError: the topic was made anew with fewer partitions
            self._settle(batch, error)
            return
        # The answers come in a thread of Kafka's client, which must not wait for this lock.
        sent.add_callback(lambda stored: self._answers.put((batch, stored.offset)))
        sent.add_errback(lambda error: self._answers.put((batch, error)))

    def _settle(self, batch: "_Batch", answer: int | Exception) -> None:
        del self._unsafe[batch.number]
        self._held -= batch.nbytes
        if isinstance(answer, Exception):
            where = batch.topic if batch.partition is None else f"partition {batch.partition} of {batch.topic}"
            self._fail(f"{batch.n:,} events for {where} are not in Kafka: {_reason(answer)}")
        elif batch.partition is not None:
            self._positions[batch.partition] = max(answer, self._positions.get(batch.partition, -1))

    def _attend(self) -> None:
        """Send what has lingered, take the answers in, tell what is safe; until the door is closed."""
        while not self._closed:
            with self._changed:
                due = next((batch.due for batch in self._open.values()), None)
            answers = self._await_answers(None if due is None else max(0.0, due - time.monotonic()))
            with self._changed:
                for batch, answer in answers:
                    self._settle(batch, answer)
                now = time.monotonic()
                while self._open and next(iter(self._open.values())).due <= now:
                    self._send(next(iter(self._open)))
                safe = []
                while (
                    self._marks
                    and self._failure is None
                    and next(iter(self._unsafe), self._opened + 1) > self._marks[0][0]
                ):
                    safe.append(self._marks.popleft()[1])
                self._changed.notify_all()
            try:
                for on_safe in safe:
                    on_safe()
            except Exception as error:  # the caller's own: it has to learn that its cursor did not move
                with self._changed:
                    self._fail(f"what was to be done with safe events failed: {error!r}")

    def _await_answers(self, timeout_s: float | None) -> list[tuple["_Batch", int | Exception]]:
        """The answers that are there, waiting for the first."""
        answers = []
        try:
            answers.append(self._answers.get(timeout=timeout_s))
            while True:
                answers.append(self._answers.get_nowait())
        except Empty:
            return [answer for answer in answers if answer is not None]

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DoorError(self._failure)

    def _waiting(self) -> int:
        return sum(batch.n or len(batch.events) for batch in self._unsafe.values())


class _Batch:
    """Events of one partition on their way. `key` is their common key, None if they have several.

    A dead letter goes to whichever partition: None.
    """

    __slots__ = ("due", "events", "key", "n", "nbytes", "number", "partition", "topic")

    def __init__(self, number: int, topic: str, partition: int | None, key: str | None, due: float) -> None:
        self.number, self.topic, self.partition, self.due = number, topic, partition, due
        self.key = key
        self.events: list[bytes] = []
        self.n = 0
        self.nbytes = 0


def _reason(error: Exception) -> str:
    """What went wrong, without the number that Kafka gives it."""
    return " ".join(map(str, error.args)) or type(error).__name__
