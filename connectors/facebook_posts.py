"""What Facebook's messages say: posts of a Page, what is pushed about them, comments and shares as they are listed.

A raw message is `{"post": ..., "page": id}`, `{"change": ..., "page": id, "time": s}` (pushed), `{"comment": ...,
"post_id": id}`, `{"share": ..., "post_id": id}` or `{"totals": ..., "at": ms}`.

A pushed `share` is a link that the Page itself published, and no share of its post by anybody: a post like others. Who
shared a post is listed for few alone (`sharedposts`); the rest is in the totals.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from connectors.connector import Normal
from connectors.messages import normalised, unnamed
from connectors.sightings import Authored, Removed, Shared, Stated

NETWORK: Final = "facebook:"
POSTS: Final = frozenset({"status", "post", "photo", "video", "share", "link", "album", "note", "event"})
_WRITTEN: Final = frozenset({"add", "edit", "edited"})


class _Account(msgspec.Struct):
    id: str | int


class _Attachment(msgspec.Struct):
    unshimmed_url: str | None = None


class _Attachments(msgspec.Struct):
    data: list[_Attachment] = []


class _Post(msgspec.Struct):
    """Of a post, a comment, or a post that shares another."""

    id: str
    created_time: str | int
    from_: _Account | None = msgspec.field(name="from", default=None)
    message: str = ""
    attachments: _Attachments | None = None
    parent: _Account | None = None


class Change(msgspec.Struct):
    """What is pushed in the field `feed`."""

    item: str
    verb: str
    post_id: str = ""
    comment_id: str = ""
    parent_id: str = ""
    created_time: str | int | None = None
    from_: _Account | None = msgspec.field(name="from", default=None)
    message: str = ""
    link: str | None = None
    published: int = 1


class _Count(msgspec.Struct, frozen=True):
    count: int


class _Summary(msgspec.Struct, frozen=True):
    total_count: int | None = None


class _Summarised(msgspec.Struct, frozen=True):
    summary: _Summary = _Summary()


class _Totals(msgspec.Struct):
    id: str
    shares: _Count = _Count(0)  # left out where there are none
    reactions: _Summarised = _Summarised()
    comments: _Summarised = _Summarised()


class _Raw(msgspec.Struct):
    post: _Post | None = None
    change: Change | None = None
    comment: _Post | None = None
    share: _Post | None = None
    post_id: str = ""
    totals: _Totals | None = None
    page: str = ""
    time: int = 0
    at: int = 0


def normalise(raw: Any) -> Sequence[Normal]:
    """What a message says. Pure; never raises."""
    return normalised(raw, "facebook", _Raw, _seen)


def moment_ms(time: str | int) -> int:
    """A time as Meta writes it, in seconds or as a date. Raises `ValueError`."""
    return (time if isinstance(time, int) else int(datetime.fromisoformat(time).timestamp())) * 1000


def _seen(message: _Raw) -> Sequence[Normal]:
    if message.post is not None:
        return [_authored(message.post, message.page)]
    if message.change is not None:
        return _changed(message.change, message.time)
    if message.comment is not None:
        return [_commented(message.comment, message.post_id)]
    if message.share is not None:
        return [_shared(message.share, message.post_id)]
    return [] if message.totals is None else [_stated(message.totals, message.at)]


def _authored(post: _Post, page: str) -> Normal:
    links = post.attachments.data if post.attachments is not None else []
    return Authored(
        id=NETWORK + post.id,
        actor=f"{NETWORK}{post.from_.id if post.from_ is not None else page}",
        at=moment_ms(post.created_time),
        text=post.message,
        urls=tuple(dict.fromkeys(link.unshimmed_url for link in links if link.unshimmed_url)),
    )


def _changed(change: Change, time_s: int) -> Sequence[Normal]:
    is_comment = change.item == "comment"
    id = change.comment_id if is_comment else change.post_id
    if not id or not change.published or not (is_comment or change.item in POSTS):
        return []
    if change.verb == "remove":
        # Whoever removed it, the author or the Page: it is gone.
        return [Removed(target=NETWORK + id, at=time_s * 1000)]
    if change.verb not in _WRITTEN or change.created_time is None:
        return []
    if change.from_ is None:
        return [unnamed(f"a {change.item}")]
    above = (change.parent_id or change.post_id) if is_comment else None
    return [
        Authored(
            id=NETWORK + id,
            actor=f"{NETWORK}{change.from_.id}",
            at=moment_ms(change.created_time),
            text=change.message,
            urls=(change.link,) if change.link else (),
            replies_to=None if above is None else NETWORK + above,
            thread=None if above is None else NETWORK + change.post_id,
        )
    ]


def _commented(comment: _Post, post_id: str) -> Normal:
    if comment.from_ is None:
        return unnamed("a comment")
    above = post_id if comment.parent is None else str(comment.parent.id)
    return Authored(
        id=NETWORK + comment.id,
        actor=f"{NETWORK}{comment.from_.id}",
        at=moment_ms(comment.created_time),
        text=comment.message,
        replies_to=NETWORK + above,
        thread=NETWORK + post_id,
    )


def _shared(share: _Post, post_id: str) -> Normal:
    """A share, with words of its own or without: Facebook names the post, not through whom it came."""
    if share.from_ is None:
        return unnamed("a share")
    at, actor = moment_ms(share.created_time), f"{NETWORK}{share.from_.id}"
    return Shared(id=NETWORK + share.id, actor=actor, at=at, of=NETWORK + post_id)


def _stated(totals: _Totals, at: int) -> Normal:
    id = NETWORK + totals.id
    return Stated(
        id=f"{id}#totals-{at}",
        at=at,
        target=id,
        shares=totals.shares.count,
        likes=totals.reactions.summary.total_count,
        replies=totals.comments.summary.total_count,
    )
