"""Mastodon: what an account is shown and notified of, and hashtags, on the instances that its user names.

There is no list of default: each instance has terms of its own, and some forbid what this does. With the token of an
account (best the employer's) its user stream tells posts and boosts of those it follows, and boosts, quotes and replies
of its own posts; a stream for each hashtag tells public posts.

Streams resume nowhere, and tell nothing of what they leave out. So they are attached first, then each timeline is read
on from its last id; and again every few minutes. The cursor moves by timelines alone: after a crash some minutes are
read twice, and what a stream missed in silence comes late, not never. Several instances stand and fall together.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, Final

from connectors.clock import now_ms
from connectors.connector import (
    Abilities,
    Blind,
    Check,
    Connector,
    ConnectorError,
    Declaration,
    Known,
    Normal,
    Option,
    Options,
    Page,
    Prices,
    Refused,
    lookup_options,
)
from connectors.mastodon_followers import Followers
from connectors.mastodon_instance import Instance
from connectors.mastodon_statuses import normalise
from connectors.mastodon_streams import Stream
from connectors.mastodon_sweep import Sweep
from connectors.mastodon_timelines import NOTIFICATIONS, CatchUp, Place, Places, newest, place_of
from spread.events import DAY_MS

_SWEPT_MS: Final = 30 * DAY_MS
"""How old a post may be to be asked about."""
AGAIN_S = 300.0
"""After which timelines are read on although their streams stand."""


class MastodonConnector(Connector):
    """The connector."""

    declared: ClassVar = Declaration(
        name="mastodon",
        network="mastodon",
        summary="What an account on listed instances is shown and notified of, and hashtags, live",
        abilities=Abilities(
            reshares="boosts and quotes of the account's posts, live; of others' posts now and then",
            parents="of quotes; a boost names the first post alone",
            followers="counts live; lists where an instance shows them",
            deletes="own posts; posts and boosts of those it follows",
            resume="timelines from the last id, as far as the instance keeps",
        ),
        options=(
            Option("instances", "Instances whose terms allow it: no other is asked.", [], required=True),
            Option(
                "token",
                "Access token (scope read) of an account there; of several instances social.example=TOKEN, ...",
                secret=True,
                required=True,
            ),
            Option("hashtags", "Hashtags whose public posts are read, without #.", []),
            Option("stream_hosts", "Hosts that instances stream from, if not below their own names or not public.", []),
            Option("sweep_minutes", "Minutes between questions about the offers' posts; 0: none.", 60.0),
            Option("silence_s", "Seconds without a sign of life after which a stream is given up.", 60.0),
            *lookup_options(calls=1_000),
        ),
        in_order=False,
        prices=Prices(),
    )  # fmt: skip

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._instances = self._made()
        tags = dict.fromkeys(tag.removeprefix("#").lower() for tag in options.texts("hashtags"))
        self._streamed = ("home", *(f"tag/{tag}" for tag in tags))
        self._timelines = ("home", NOTIFICATIONS, *self._streamed[1:])
        self._news = threading.Event()
        self._streams: list[Stream] = []
        self._places = Places(None, ())
        self._behind: deque[CatchUp] = deque()
        self._is_new = False
        self._heard = 0
        """When the newest message happened (ms)."""
        self._sweep = Sweep(self._instances, known.has)
        self._sweep_s = options.number("sweep_minutes") * 60
        self._next_sweep = time.monotonic() + self._sweep_s
        self._next_look = 0.0

    def connect(self, cursor: str | None) -> None:
        """Find where each timeline stands, attach the streams, and plan to catch up from there."""
        self.close()
        self._places = Places(cursor, (one.host for one in self._instances))
        known = str(self._places)
        for instance in self._instances:
            instance.greet()
            for timeline in self._timelines:
                if self._places.get(instance.host, timeline) is None:
                    self._places.move(instance.host, timeline, newest(instance, timeline))
        self._is_new = str(self._places) != known
        self._news.clear()
        for instance in self._instances:
            self._streams += [Stream(instance, timeline, self._news) for timeline in self._streamed]
        for stream in self._streams:
            stream.attached()
        self._catch_up(looks_back=True)

    def read(self, timeout_s: float) -> Page | None:
        """First the past, a page at a time; then what streams tell, and now and then an answer of a sweep."""
        if self._is_new:
            self._is_new = False
            return Page(cursor=str(self._places))
        if time.monotonic() >= self._next_look:
            self._catch_up(looks_back=False)
        if self._behind:
            return self._caught_up()
        if swept := self._swept():
            return Page(swept, source="backfill")
        return self._streamed_page() or (self._streamed_page() if self._waited(timeout_s) else None)

    def close(self) -> None:
        """Leave streams and instances."""
        while self._streams:
            self._streams.pop().close()
        self._behind.clear()
        for instance in self._instances:
            instance.close()

    def finder(self) -> Followers:
        """Ask the instances, over connections of its own."""
        return Followers(self._made())

    def check(self) -> Check:
        """Ask each instance who the token is and whether it streams."""
        sees: list[str] = []
        misses = [
            "what only followers or the mentioned may see, on purpose; likes, but as totals",
            "boosts of other people's posts, unless by accounts it follows or found among their newest forty statuses",
            "deletions by accounts that it does not follow; those while not connected, but for posts of the instance",
            "lists of followers that are hidden; of accounts elsewhere they are parts",
        ]
        try:
            for instance in self._instances:
                instance.greet()
                stream = Stream(instance, "home", self._news)
                self._streams.append(stream)
                stream.attached()
                sees.append(
                    f"{instance.host}: posts and boosts shown to {instance.me}, and of its own posts all boosts"
                )
                sees += [f"{instance.host}: public posts with #{name.partition('/')[2]}" for name in self._streamed[1:]]
                misses += _filtered(instance)
        finally:
            self.close()
        return Check(tuple(sees), tuple(misses))

    @classmethod
    def normalise(cls, raw: bytes) -> Sequence[Normal]:
        """What a message says."""
        return normalise(raw)

    def _made(self) -> list[Instance]:
        """The instances, each with its token."""
        names = self.options.texts("instances")
        tokens = [part.strip() for part in self.options.text("token").split(",") if part.strip()]
        if len(names) == 1 and len(tokens) == 1 and not tokens[0].startswith(f"{names[0]}="):
            tokens = [f"{names[0]}={tokens[0]}"]
        of = {name: token for name in names for token in _tokens(name, tokens)}
        if of.keys() != {*names} or len(tokens) != len(of):
            raise Refused("option token of connector mastodon: one token for each of the instances, as HOST=TOKEN")
        silence_s, hosts = self.options.number("silence_s"), self.options.texts("stream_hosts")
        return [Instance(name, token, silence_s, hosts) for name, token in of.items()]

    def _catch_up(self, *, looks_back: bool) -> None:
        """Plan to read all timelines on from where they stand."""
        self._next_look = time.monotonic() + AGAIN_S
        for instance in self._instances:
            for timeline in self._timelines:
                since = self._places.get(instance.host, timeline) or Place("", 0)
                self._behind.append(CatchUp(instance, timeline, since, looks_back=looks_back))

    def _caught_up(self) -> Page:
        """The next page of the past."""
        behind = self._behind[0]
        rows, places, blind = behind.step()
        if behind.is_over:
            self._behind.popleft()
        event = "notification" if behind.timeline == NOTIFICATIONS else "update"
        messages = [behind.instance.message(event, row.decode(errors="replace")) for row in rows]
        for place in places:
            self._places.move(behind.instance.host, behind.timeline, place)
            self._heard = max(self._heard, place.at)
        return self._page(messages, blind)

    def _streamed_page(self) -> Page | None:
        messages: list[bytes] = []
        for stream in self._streams:
            try:
                said = stream.get()
            except ConnectorError:
                if not messages:
                    raise
                break  # the end shows again at the next read
            for event, payload in said:
                messages.append(stream.instance.message(event, payload))
                self._heard = max(self._heard, place_of(payload).at)
        return self._page(messages) if messages else None

    def _page(self, messages: list[bytes], blind: Blind | None = None) -> Page:
        if blind is not None:
            self._next_sweep = 0.0
        return Page(messages, str(self._places), self._heard or None, blind=blind)

    def _swept(self) -> list[bytes]:
        now = time.monotonic()
        if self._sweep_s and now >= self._next_sweep and self._sweep.is_over:
            self._next_sweep = now + self._sweep_s
            since = now_ms() - _SWEPT_MS
            self._sweep.begin([*self.known.roots(since), *self.known.quotes(since)])
        swept = self._sweep.step()
        self.warns = self._sweep.refused
        return swept

    def _waited(self, timeout_s: float) -> bool:
        """Wait for news; whether there may be some."""
        found = self._news.wait(timeout_s)
        self._news.clear()
        return found


def _tokens(name: str, tokens: list[str]) -> list[str]:
    return [token.removeprefix(f"{name}=") for token in tokens if token.startswith(f"{name}=")]


def _filtered(instance: Instance) -> list[str]:
    """Notifications that the account itself holds back."""
    try:
        policy = instance.ask("notifications/policy", lambda client: client.notifications_policy()).object
    except ConnectorError:
        return []  # servers before 4.3 have none
    held = [name.removeprefix("for_").replace("_", " ") for name, what in policy.items() if what in ("filter", "drop")]
    return [f"{instance.host}: notifications of accounts that the account filters: {', '.join(held)}"] if held else []
