"""A network that pushes, and that can be asked again: webhooks, with a pull behind them that fills what they missed.

- A delivery is a page of its own and moves no cursor: only the pull does, once it has had everything since the cursor.
  So a webhook that was blocked, revoked or never set up costs time, and no event that the network still tells.
- The cursor holds three moments (ms): `seen`, until when all that people did was had, `posts`, until when the posts of
  the employer were had, and `counted`, when totals were last asked for. The network tells again what happened in the
  last `kept_ms`; beyond, the cursor is rejected, which is a gap, and posts are filled in from where they were all the
  same.
- A pull begins `OVERLAP_MS` earlier than the last one ended: so much may clocks differ, and messages come late. What
  was given since the connection was made is not given again.
- What is pushed about a post that was not read yet has that post read first: a share of an unknown post is nobody's.
- Totals come as of the moment of the network's answer, and have an id by post and moment: a page that comes twice has
  the same ids, and an answer is another statement.
"""

import hashlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec

from connectors.clock import now_ms
from connectors.connector import (
    Connector,
    ConnectorError,
    CursorRejected,
    Known,
    NotConnected,
    Option,
    Options,
    Page,
    Refused,
    Root,
)
from connectors.webhook import Delivered, Inbox
from spread.events import DAY_MS

OVERLAP_MS: Final = 600_000
POSTS_MS: Final = 60 * DAY_MS
"""How old posts are read at a cold start, and how old they are counted."""
WARNED_MS: Final = 14 * DAY_MS
"""How long before its credentials end a connector says so."""
_REMEMBERED: Final = 20_000


def pull_options() -> tuple[Option, ...]:
    """The options of every connector of this kind."""
    return (
        Option("pull_every_s", "Seconds between two pulls of what webhooks may have missed.", 300.0),
        Option("count_every_s", "Seconds between two questions for the totals of each post.", 3_600.0),
        Option("token_expires", "Day on which the token ends (2027-01-31), if the network is not to be asked."),
    )


@dataclass(frozen=True)
class Mark:
    """The cursor, see above."""

    seen: int
    posts: int
    counted: int

    def __str__(self) -> str:
        return f"{self.seen} {self.posts} {self.counted}"

    @classmethod
    def read(cls, cursor: str) -> "Mark | None":
        """The cursor in a text; None if there is none in it."""
        try:
            seen, posts, counted = map(int, cursor.split())
        except ValueError:
            return None
        return cls(seen, posts, counted)


class Pushed(Connector):
    """What such connectors share. Raw messages are dicts."""

    kept_ms: ClassVar[int]
    """How far back the network tells what it pushed."""
    history_ms: ClassVar[int] = 0
    """How far back a cold start asks for what people did."""
    counts_at_once: ClassVar[int] = 1
    """Posts that one question for totals is about."""

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._inbox = Inbox()
        self._held: Delivered | None = None
        """A delivery whose post could not be read yet."""
        self._mark = Mark(0, 0, 0)
        self._is_new = self._is_first = False
        self._cycle: Iterator[Page] | None = None
        self._is_turn = False
        """Whether the pull had the last turn."""
        self._due = 0.0
        self._given: dict[bytes, None] = {}
        self._told: dict[str, None] = {}
        self._counted: dict[str, int] = {}
        self._warnings: dict[str, str] = {}

    @abstractmethod
    def pull(self, since: Mark, until_ms: int) -> Iterator[list[Any]]:
        """The posts of the employer since `posts`, then what people did since `seen`: the answer to one question each.

        `until_ms` is now.
        """

    @abstractmethod
    def count(self, roots: list[Root]) -> list[Any]:
        """Totals of some posts, at most `counts_at_once`, and what they show to be missing."""

    @abstractmethod
    def audience(self) -> Iterator[list[Any]]:
        """How many follow the employer's accounts."""

    @abstractmethod
    def post(self, id: str) -> list[Any]:
        """One post of the employer, by its native id; nothing where the network does not have it."""

    @abstractmethod
    def post_in(self, raw: Any) -> str | None:
        """The native id of the employer's post that a message is."""

    @abstractmethod
    def post_of(self, raw: Any) -> str | None:
        """The native id of the post that a message is about, of those that `post` can give."""

    @abstractmethod
    def ends_ms(self) -> int | None:
        """When the network says that the credentials end; None where it does not."""

    @abstractmethod
    def unheard(self) -> str | None:
        """Why the network pushes nothing, None where it does, or where it can't be asked."""

    def connect(self, cursor: str | None) -> None:
        """Begin to pull from a cursor on. It is in the first pull that credentials are tried."""
        now = now_ms()
        mark = Mark(now - self.history_ms, now - POSTS_MS, now) if cursor is None else Mark.read(cursor)
        if mark is None:
            raise CursorRejected(f"the cursor is none of {self.declared.name}")
        oldest = now - self.kept_ms
        if cursor is not None and mark.seen < oldest:
            why = f"{self.declared.name} tells again what happened in the last {self.kept_ms // 3_600_000} h alone"
            earliest = oldest + OVERLAP_MS  # some time to connect with it
            raise CursorRejected(why, str(replace(mark, seen=earliest)), earliest)
        self._mark, self._is_new, self._is_first = mark, cursor is None, True
        self._cycle, self._due = None, 0.0
        self._given.clear()
        self._told.clear()
        self.expires_ms = self._ends_ms()

    def read(self, timeout_s: float) -> Page | None:
        """What was pushed, and the next answer of a pull that is due, in turn."""
        if self._is_new:
            self._is_new = False
            return Page(cursor=str(self._mark))
        self._heed_credentials()
        if self._cycle is None and time.monotonic() >= self._due:
            self._cycle = self._pulled()
        self._is_turn = not self._is_turn and self._cycle is not None
        if self._is_turn:  # however much is pushed
            return self._next()
        wait_s = 0.0 if self._cycle is not None else min(timeout_s, max(0.0, self._due - time.monotonic()))
        if self._held is None:
            self._held = self._inbox.get(wait_s)
        return None if self._held is None else self._pushed(self._held)

    def close(self) -> None:
        """Forget where a pull was: it begins anew."""
        self._cycle = None

    def warn(self, topic: str, text: str | None) -> None:
        """Say what a person should see to, or that it is well again."""
        if text is None:
            self._warnings.pop(topic, None)
        else:
            self._warnings[topic] = text
        self.warns = "; ".join(self._warnings.values()) or None

    def at_once(self) -> tuple[list[str], list[str]]:
        """What `check` says of the webhook: what is seen, and what is missed."""
        if not self.hooks:
            return [], ["anything at once: without the application's secret no webhook is taken"]
        try:
            why = self.unheard()
        except ConnectorError as error:
            why = str(error)
        return ([], [f"anything at once: {why}"]) if why else (["what happens, at once, by webhook"], [])

    def _next(self) -> Page | None:
        assert self._cycle is not None
        try:
            return next(self._cycle)
        except StopIteration:
            self._cycle = None
            self._due = time.monotonic() + self.options.number("pull_every_s")
            return None

    def _pushed(self, delivered: Delivered) -> Page:
        raws = self._fresh(delivered.messages)
        self._held = None
        return Page(raws, ack=delivered.ack)

    def _pulled(self) -> Iterator[Page]:
        now = now_ms()
        since = replace(self._mark, seen=self._mark.seen - OVERLAP_MS, posts=self._mark.posts - OVERLAP_MS)
        last: list[Any] = []
        for raws in self.pull(since, now):
            if fresh := self._fresh(raws):
                if last:
                    yield Page(last, source="poll")
                last = fresh
        self._mark = Mark(now, now, self._mark.counted)
        yield Page(last, str(self._mark), heard=now, source="poll")
        if self._is_first:
            self._is_first = False
            self._heed_webhook()
        if now - self._mark.counted < self.options.number("count_every_s") * 1000:
            return
        try:
            for raws in self._totals(now):
                if fresh := self._fresh(raws):
                    yield Page(fresh, source="poll")
        except (Refused, NotConnected) as error:  # what it pulls is worth going on for; the next pull tries again
            self.warn("totals", f"no totals: {error}")
            return
        self.warn("totals", None)
        self._heed_webhook()
        self._mark = replace(self._mark, counted=now)
        yield Page(cursor=str(self._mark), source="poll")

    def _totals(self, now: int) -> Iterator[list[Any]]:
        """Ask for totals; where a limit cut that short, it goes on with the rest."""
        since = now - self.options.number("count_every_s") * 1000
        roots = [root for root in self.known.roots(now - POSTS_MS) if self._counted.get(root.id, 0) <= since]
        for at in range(0, len(roots), self.counts_at_once):
            some = roots[at : at + self.counts_at_once]
            yield self.count(some)
            self._counted |= {root.id: now for root in some}
        yield from self.audience()
        self._counted.clear()

    def _fresh(self, raws: Sequence[Any]) -> list[Any]:
        """Messages that were not given since the connection was made, behind the posts that they are about."""
        fresh: list[Any] = []
        for raw in raws:
            digest = hashlib.blake2b(msgspec.json.encode(raw, order="sorted"), digest_size=16).digest()
            if digest in self._given:
                continue
            fresh += self._read_before(raw)
            if (id := self.post_in(raw)) is not None:
                _remember(self._told, id)
            if (about := self.post_of(raw)) is None or about in self._told:
                _remember(self._given, digest)  # else it comes once more, as its post may be there by then
            fresh.append(raw)
        return fresh

    def _read_before(self, raw: Any) -> list[Any]:
        """The post that a message is about, if it was not read yet."""
        id = self.post_of(raw)
        if id is None or id in self._told:
            return []
        posts = self.post(id)
        if posts:
            _remember(self._told, id)
        return posts

    def _ends_ms(self) -> int | None:
        day = self.options.text("token_expires")
        if not day:
            return self.ends_ms()
        try:
            ends = datetime.fromisoformat(day)
        except ValueError:
            raise Refused(f"option token_expires of connector {self.declared.name} is no day") from None
        return int((ends if ends.tzinfo else ends.replace(tzinfo=UTC)).timestamp() * 1000)

    def _heed_credentials(self) -> None:
        if self.expires_ms is None or self.expires_ms - now_ms() > WARNED_MS:
            self.warn("credentials", None)
            return
        day = datetime.fromtimestamp(self.expires_ms / 1000, UTC).date()
        self.warn("credentials", f"the token ends on {day}: get another before")

    def _heed_webhook(self) -> None:
        if self.hooks:
            try:
                why = self.unheard()
            except (Refused, NotConnected):
                return  # it may not be asked, or not now
            self.warn("webhook", why and f"{why}: what happens comes by pull alone")


def _remember(known: dict[Any, None], one: Any) -> None:
    """Keep the newest of many."""
    known[one] = None
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
