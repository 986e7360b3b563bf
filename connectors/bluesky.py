"""Bluesky: posts, reposts with the repost they came through, quotes, replies, follows, deletions.

Two sources say the same: a Jetstream (JSON, the default) and the firehose of a PDS or a relay, whose frames
`connectors.firehose` turns into Jetstream's shape. An id is `bluesky:` and the record's at-URI, an account `bluesky:`
and its DID.

When something happened is read from the revision of its commit, which the server of the account stamps and every
source passes on unchanged; only where that is more than a day from the moment it was seen, that moment counts.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

import msgspec

from connectors.appview import AppView
from connectors.backfill import Backfill
from connectors.clock import now_ms
from connectors.connector import (
    Abilities,
    Check,
    Connector,
    ConnectorError,
    CursorRejected,
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
from connectors.firehose import Firehose
from connectors.jetstream import Jetstream
from connectors.sightings import Authored, Followed, Removed, Shared, Stated, Withdrawn
from spread.events import DAY_MS, MAX_ID_BYTES, UNREADABLE, Rejected

POST: Final = "app.bsky.feed.post"
REPOST: Final = "app.bsky.feed.repost"
FOLLOW: Final = "app.bsky.graph.follow"
COLLECTIONS: Final = (POST, REPOST, FOLLOW)

_FILLED_MS: Final = 30 * DAY_MS
"""How old a post may be to be asked about after a gap."""
_HIDDEN: Final = ("takendown", "suspended", "deactivated")
_DIGITS: Final = {sign: value for value, sign in enumerate("234567abcdefghijklmnopqrstuvwxyz")}


class _Link(msgspec.Struct):
    uri: str | None = None


class _Strong(msgspec.Struct):
    uri: str


class _Subject(msgspec.Struct):
    """Of an embedded record: its own uri, or that of the record in it where media stand beside."""

    uri: str | None = None
    record: _Strong | None = None


class _Embed(msgspec.Struct):
    external: _Link | None = None
    record: _Subject | None = None
    media: "_Embed | None" = None


class _Feature(msgspec.Struct):
    uri: str | None = None
    tag: str | None = None


class _Facet(msgspec.Struct):
    features: list[_Feature] = []


class _Answered(msgspec.Struct):
    root: _Strong
    parent: _Strong


class _Post(msgspec.Struct):
    text: str = ""
    facets: list[_Facet] | None = None
    tags: list[str] | None = None
    embed: _Embed | None = None
    reply: _Answered | None = None


class _Repost(msgspec.Struct):
    subject: _Strong
    via: _Strong | None = None


class _Follow(msgspec.Struct):
    subject: str


class _Commit(msgspec.Struct):
    operation: str
    collection: str
    rkey: str
    rev: str = ""
    record: msgspec.Raw = msgspec.Raw()


class _Account(msgspec.Struct):
    active: bool
    status: str | None = None


class _Totals(msgspec.Struct):
    uri: str
    repostCount: int = 0  # the AppView's names
    quoteCount: int = 0
    likeCount: int = 0
    replyCount: int = 0


class _Message(msgspec.Struct):
    did: str
    time_us: int
    totals: _Totals | None = None
    commit: _Commit | None = None
    account: _Account | None = None


_message: Final = msgspec.json.Decoder(_Message).decode
_post: Final = msgspec.json.Decoder(_Post).decode
_repost: Final = msgspec.json.Decoder(_Repost).decode
_follow: Final = msgspec.json.Decoder(_Follow).decode


class Source(Protocol):
    """Where messages of Jetstream's shape come from."""

    def connect(self, cursor: str | None) -> None:
        """As of a connector."""

    def read(self, timeout_s: float) -> Page | None:
        """As of a connector."""

    def close(self) -> None:
        """As of a connector."""


class Bluesky(Connector):
    """The connector."""

    declared: ClassVar = Declaration(
        name="bluesky",
        network="bluesky",
        summary="All public posts and reposts of the network, live",
        abilities=Abilities(
            reshares="reposts and quotes, live",
            parents="`via` of a repost, where the app recorded it",
            followers="follows live; lists and counts from the AppView",
            deletes="posts, reposts, follows, accounts",
            resume="Jetstream: 36 h back; firehose: as far as its host keeps",
        ),
        options=(
            Option("source", "jetstream, or firehose for the stream of a PDS or relay.", "jetstream"),
            Option("jetstream", "Address of the Jetstream.", "wss://jetstream2.us-east.bsky.network/subscribe"),
            Option("firehose", "Address of the PDS or relay.", "wss://bsky.network"),
            Option("appview", "Address of the AppView that knows followers.", "https://public.api.bsky.app"),
            *lookup_options(calls=3_000),
        ),
        prices=Prices(),
    )

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._source: Source
        if options.text("source") == "jetstream":
            self._source = Jetstream(options.text("jetstream"), COLLECTIONS)
        elif options.text("source") == "firehose":
            self._source = Firehose(options.text("firehose"), COLLECTIONS)
        else:
            raise Refused("option source of connector bluesky is jetstream or firehose")
        self._appview = self.finder()
        self._backfill = Backfill(self._appview, known)

    def connect(self, cursor: str | None) -> None:
        """Connect to the source."""
        try:
            self._source.connect(cursor)
        except CursorRejected:
            self._fill()
            raise

    def read(self, timeout_s: float) -> Page | None:
        """Some hundred messages at most; after a gap now and then one of what it hid."""
        lines = self._backfill.step()
        self.warns = self._backfill.refused
        if lines:
            return Page(lines, source="backfill")
        try:
            page = self._source.read(timeout_s)
        except CursorRejected:
            self._fill()
            raise
        if page is not None and page.blind is not None:
            self._fill()
        return page

    def close(self) -> None:
        """Leave the source and the AppView."""
        self._source.close()
        self._appview.close()

    def _fill(self) -> None:
        self._backfill.begin(now_ms() - _FILLED_MS)

    def finder(self) -> AppView:
        """Ask the AppView."""
        return AppView(self.options.text("appview"))

    def check(self) -> Check:
        """No credentials are needed; ask whether both ends answer."""
        name = self.options.text("source")
        sees = [f"all posts, reposts, quotes, replies and follows of {self.options.text(name)}"]
        misses = ["likes, on purpose", "what private accounts do: the network has none"]
        self._source.connect(None)
        self._source.close()
        appview = self.finder()
        try:
            appview.counts([])
            sees.append(f"followers by {self.options.text('appview')}")
        except ConnectorError as error:
            misses.append(f"followers: {error}")
        finally:
            appview.close()
        return Check(tuple(sees), tuple(misses))

    @classmethod
    def normalise(cls, raw: bytes | str) -> Sequence[Normal]:
        """What a message in Jetstream's shape says."""
        try:
            message = _message(raw)
            seen = _seen(message)
        except UNREADABLE as error:
            reason = "mistyped field" if isinstance(error, msgspec.ValidationError) else "not JSON"
            return [Rejected(reason, str(error), raw.encode() if isinstance(raw, str) else raw)]
        return seen


def _seen(message: _Message) -> Sequence[Normal]:
    if message.account is not None:
        return _withdrawn(message, message.account)
    if message.totals is not None:
        return [_stated(message.totals, message.time_us)]
    if message.commit is None or message.commit.collection not in COLLECTIONS:
        return []
    return [_of_commit(message, message.commit)]


def _of_commit(message: _Message, commit: _Commit) -> Normal:
    seen_ms = message.time_us // 1000
    id, actor = f"bluesky:at://{message.did}/{commit.collection}/{commit.rkey}", f"bluesky:{message.did}"
    if len(id) > MAX_ID_BYTES:
        return Rejected("too long", "an id", b"")
    at = _moment(commit.rev, seen_ms)
    if commit.operation == "delete":
        return Removed(target=id, at=at, actor=actor)
    record = bytes(commit.record)
    if commit.collection == POST:
        return _authored(id, actor, at, _post(record))
    if commit.collection == REPOST:
        repost = _repost(record)
        via = None if repost.via is None else _id(repost.via)
        return Shared(id=id, actor=actor, at=at, of=_id(repost.subject), via=via)
    return Followed(id=id, actor=actor, at=at, whom=f"bluesky:{_follow(record).subject}")


def _authored(id: str, actor: str, at: int, post: _Post) -> Authored:
    features = [feature for facet in post.facets or () for feature in facet.features]
    embed = post.embed or _Embed()
    links = [feature.uri for feature in features] + [
        one.external.uri for one in (embed, embed.media) if one is not None and one.external is not None
    ]
    quoted = embed.record and (embed.record.record or embed.record)
    return Authored(
        id=id,
        actor=actor,
        at=at,
        text=post.text,
        urls=tuple(dict.fromkeys(link for link in links if link)),
        tags=tuple(dict.fromkeys([*(feature.tag for feature in features if feature.tag), *(post.tags or ())])),
        quotes=_id(quoted) if quoted and quoted.uri else None,
        replies_to=_id(post.reply.parent) if post.reply else None,
        thread=_id(post.reply.root) if post.reply else None,
    )


def _withdrawn(message: _Message, account: _Account) -> Sequence[Normal]:
    """An account that is gone, or hidden. One that is merely not synchronised stays."""
    if account.active or account.status not in ("deleted", *_HIDDEN):
        return []
    at = message.time_us // 1000
    actor = f"bluesky:{message.did}"
    return [Withdrawn(id=f"{actor}#{account.status}", actor=actor, at=at, for_good=account.status == "deleted")]


def _stated(totals: _Totals, time_us: int) -> Stated:
    """Totals from the AppView: reposts and quotes are both shares."""
    id = f"bluesky:{totals.uri}"
    return Stated(
        id=f"{id}#totals-{time_us}",
        at=time_us // 1000,
        target=id,
        shares=totals.repostCount + totals.quoteCount,
        likes=totals.likeCount,
        replies=totals.replyCount,
    )


def _id(record: _Strong | _Subject) -> str:
    return f"bluesky:{record.uri}"


def _moment(rev: str, seen_ms: int) -> int:
    """When a commit was made (ms), by its revision: 53 bits of microseconds and 10 of a clock's number, in base 32."""
    number = 0
    for sign in rev:
        number = number << 5 | _DIGITS.get(sign, 0)
    at = (number >> 10) // 1000
    return at if abs(at - seen_ms) < DAY_MS else seen_ms
