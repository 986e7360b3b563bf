"""Threads: posts of one account, replies and mentions, how often its posts were reposted and quoted.

Who reposts is told nobody, so reposts and quotes of others are totals alone. Replies, mentions, publications and
deletions are pushed to `/hooks/threads`; where the totals of a post have changed, its conversation is listed, so that a
webhook that was away is made up for. A message is a media object as the API has it; accounts are named by username, as
replies have nothing else.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec

from connectors.api import Missing
from connectors.connector import Abilities, Check, Declaration, Known, Normal, Options, Root
from connectors.messages import normalised
from connectors.meta import THREADS_VERSION, Graph, Meta, found, looked_up, meta_options, rows, tried
from connectors.pushed import Mark
from connectors.sightings import Authored, Removed, Shared, Stated

NETWORK: Final = "threads:"
_MEDIA: Final = (
    "id,username,text,timestamp,media_type,link_attachment_url,topic_tag,quoted_post,reposted_post,replied_to,root_post"
)
_METRICS: Final = "views,likes,replies,reposts,quotes"
_WRITTEN: Final = frozenset({"publish", "replies", "mentions"})
_PERMISSIONS: Final = {
    "threads_basic": "posts of the account",
    "threads_manage_insights": "totals, and how many follow",
    "threads_read_replies": "replies",
    "threads_manage_mentions": "mentions",
}


class _Ref(msgspec.Struct):
    id: str


class _Media(msgspec.Struct):
    id: str
    username: str
    timestamp: str
    text: str = ""
    media_type: str = ""
    link_attachment_url: str | None = None
    topic_tag: str | None = None
    quoted_post: _Ref | None = None
    reposted_post: _Ref | None = None
    replied_to: _Ref | None = None
    root_post: _Ref | None = None


class _Gone(msgspec.Struct):
    id: str
    deleted_at: str


class _Value(msgspec.Struct):
    value: int


class _Metric(msgspec.Struct):
    name: str
    values: list[_Value] = []


class _Insights(msgspec.Struct):
    id: str
    data: list[_Metric]


class _Raw(msgspec.Struct):
    media: _Media | None = None
    deleted: _Gone | None = None
    insights: _Insights | None = None
    at: int = 0


class Threads(Meta):
    """The connector."""

    declared: ClassVar = Declaration(
        name="threads",
        network="threads",
        summary="Posts of your account, replies, how often they were reposted and quoted",
        abilities=Abilities(
            reshares="totals alone",
            followers="count of your account's followers",
            deletes="by webhook",
            resume="posts, replies and totals; deletions 36 h back",
        ),
        options=meta_options("https://graph.threads.net"),
        in_order=False,
    )
    version = THREADS_VERSION
    hook_path = "/hooks/threads"

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._graph: Graph = self.graph()
        self._username = ""
        self._totals_of: dict[str, bytes] = {}
        """The totals of a post when its conversation was last listed."""

    def connect(self, cursor: str | None) -> None:
        """Ask whose token this is."""
        super().connect(cursor)
        username = found(self._graph.ask("me", {"fields": "id,username"}, "the account").said, "username")
        self._username = username if isinstance(username, str) else ""
        self._totals_of.clear()

    def close(self) -> None:
        """Leave the API."""
        super().close()
        self._graph.close()

    def pull(self, since: Mark, until_ms: int) -> Iterator[list[Any]]:
        """The posts of the account. Replies are listed when totals have changed."""
        params = {"fields": _MEDIA, "since": since.posts // 1000, "limit": 100}
        for posts in self._graph.listed("me/threads", params, "posts"):
            yield [{"media": post} for post in posts]

    def count(self, roots: list[Root]) -> list[Any]:
        """Totals of a post; where they are other than before, its conversation."""
        (root,) = roots
        if root.account != NETWORK + self._username:
            return []  # others' posts have no totals for us
        id = root.id.removeprefix(NETWORK)
        try:
            answer = self._graph.ask(f"{id}/insights", {"metric": _METRICS}, "totals")
        except Missing:
            return self._graph.gone("me/threads", id, root)
        data = found(answer.said, "data")
        raws: list[Any] = [{"insights": {"id": id, "data": data}, "at": answer.at}]
        totals = msgspec.json.encode(data)
        if self._totals_of.get(id) != totals:
            params = {"fields": _MEDIA, "limit": 100}
            for replies in self._graph.listed(f"{id}/conversation", params, "replies"):
                raws += [{"media": reply} for reply in replies]
            self._totals_of[id] = totals
        return raws

    def audience(self) -> Iterator[list[Any]]:
        """How many follow the account."""
        answer = self._graph.ask("me/threads_insights", {"metric": "followers_count"}, "followers")
        for metric in rows(answer.said, "data"):
            if isinstance(n := found(found(metric, "total_value"), "value"), int):
                yield [{"followers": {"account": self._username, "n": n}, "at": answer.at}]

    def post(self, id: str) -> list[Any]:
        """One post."""
        post = looked_up(lambda: self._graph.ask(id, {"fields": _MEDIA}, "a post").said)
        return [] if post is None else [{"media": post}]

    def post_in(self, raw: Any) -> str | None:
        """The id of a post that is no reply."""
        media = found(raw, "media")
        id = found(media, "id") if found(media, "root_post") is None else None
        return id if isinstance(id, str) else None

    def post_of(self, raw: Any) -> str | None:
        """The post at the top of a reply's conversation."""
        id = found(found(found(raw, "media"), "root_post"), "id")
        return id if isinstance(id, str) else None

    def opened(self, said: Any) -> list[Any]:
        """What was pushed: one value, or a list of them."""
        told = found(said, "values")
        raws: list[Any] = []
        for one in told if isinstance(told, list) else [told]:
            field, value = found(one, "field"), found(one, "value")
            if isinstance(field, str) and field in _WRITTEN:
                raws.append({"media": value})
            elif field == "delete":
                raws.append({"deleted": value})
        return raws

    def unheard(self) -> str | None:
        """Nothing: Threads does not tell whether a webhook is registered."""
        return None

    def check(self) -> Check:
        """Ask for what the account shows to this token."""
        self.connect(None)
        next(self._graph.listed("me/threads", {"fields": _MEDIA, "limit": 1}, "posts"))
        sees, misses = [f"posts and replies of {self._username}"], ["who reposts: Threads tells totals alone"]
        misses += ["who follows whom", *self.lacking(_PERMISSIONS)]
        if (why := tried(lambda: next(self.audience(), None))) is None:
            sees.append("totals, and how many follow")
        else:
            misses.append(f"totals, and how many follow: {why}")
        at_once, not_at_once = self.at_once()
        self.close()
        return Check((*sees, *at_once), (*misses, *not_at_once))

    @classmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a message says."""
        return normalised(raw, "threads", _Raw, _seen)


def _seen(message: _Raw) -> Sequence[Normal]:
    if message.media is not None:
        return [_authored(message.media)]
    if message.deleted is not None:
        return [Removed(target=NETWORK + message.deleted.id, at=_moment_ms(message.deleted.deleted_at))]
    return [] if message.insights is None else [_stated(message.insights, message.at)]


def _authored(media: _Media) -> Authored | Shared:
    id, actor, at = NETWORK + media.id, NETWORK + media.username, _moment_ms(media.timestamp)
    if media.media_type == "REPOST_FACADE" and media.reposted_post is not None:
        return Shared(id=id, actor=actor, at=at, of=NETWORK + media.reposted_post.id)
    return Authored(
        id=id,
        actor=actor,
        at=at,
        text=media.text,
        urls=(media.link_attachment_url,) if media.link_attachment_url else (),
        tags=(media.topic_tag,) if media.topic_tag else (),
        quotes=_named(media.quoted_post),
        replies_to=_named(media.replied_to),
        thread=_named(media.root_post),
    )


def _named(ref: _Ref | None) -> str | None:
    return None if ref is None else NETWORK + ref.id


def _stated(insights: _Insights, at: int) -> Stated:
    """Totals: reposts and quotes are both shares. What the network leaves out is not known."""
    totals = {metric.name: metric.values[0].value for metric in insights.data if metric.values}
    spread = [totals[name] for name in ("reposts", "quotes") if name in totals]
    id = NETWORK + insights.id
    return Stated(
        id=f"{id}#totals-{at}",
        at=at,
        target=id,
        shares=sum(spread) if spread else None,
        likes=totals.get("likes"),
        replies=totals.get("replies"),
        impressions=totals.get("views"),
    )


def _moment_ms(written: str) -> int:
    return int(datetime.fromisoformat(written).timestamp()) * 1000
