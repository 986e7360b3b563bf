"""What LinkedIn's messages say: posts of an organisation, notifications of what others did with them, totals.

A raw message is `{"post": ...}`, `{"notification": ...}` or `{"statistics": ..., "at": ms}`, with the network's object
as it came; totals have no moment but that of the answer.

- A post is named by its URN as the Posts API has it (`urn:li:share:`, `urn:li:ugcPost:`). A notification names it by an
  activity, and by that URN only in what it shows beside (`decoratedSourcePost`); without, it can't be told which post.
- Assumed: the post that a share's notification names is the organisation's, also where it went through another share.
  So a share has no `via`, and one with words of its own is no quote.
- A share is named by its notification, whose id is the same pushed and pulled; a comment by its URN, so that its
  deletion, a notification of its own, finds it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from connectors.connector import Normal
from connectors.messages import normalised, unnamed
from connectors.sightings import Authored, Removed, Shared, Stated
from spread.events import Rejected

NETWORK: Final = "linkedin:"
COMMENTS: Final = ("COMMENT", "ADMIN_COMMENT", "COMMENT_EDIT")
ACTIONS: Final = (*COMMENTS, "COMMENT_DELETE", "SHARE", "SHARE_MENTION")

_COMMENT: Final = re.compile(r"urn:li:comment:\((?:urn:li:)?(\w+):(\d+),(\d+)\)")
_TAG: Final = re.compile(r"\{hashtag\|\\?#\|([^}|]+)\}")
_NAMED: Final = re.compile(r"@\[([^\]]*)\]\(urn:[^)]*\)")
_ESCAPED: Final = re.compile(r"\\([|{}@\[\]()<>#\\*_~])")


class _Article(msgspec.Struct):
    source: str | None = None


class _Content(msgspec.Struct):
    article: _Article | None = None


class _Reshare(msgspec.Struct):
    parent: str


class Post(msgspec.Struct):
    """A post as the Posts API has it."""

    id: str
    author: str
    commentary: str = ""
    publishedAt: int | None = None  # LinkedIn's names
    createdAt: int | None = None
    lastModifiedAt: int = 0
    lifecycleState: str = "PUBLISHED"
    content: _Content | None = None
    reshareContext: _Reshare | None = None


class _Beside(msgspec.Struct):
    """A post or a comment as it is shown beside a notification."""

    entity: str
    owner: str | None = None
    text: str = ""


class _Generated(msgspec.Struct):
    share: _Beside | None = None
    comment: _Beside | None = None


class Notification(msgspec.Struct):
    """What somebody did, as it is pushed and pulled."""

    notificationId: int
    organizationalEntity: str
    action: str
    lastModifiedAt: int
    sourcePost: str | None = None
    decoratedSourcePost: _Beside | None = None
    generatedActivity: str | None = None
    decoratedGeneratedActivity: _Generated | None = None


class _Figures(msgspec.Struct):
    shareCount: int | None = None
    likeCount: int | None = None
    commentCount: int | None = None
    impressionCount: int | None = None
    clickCount: int | None = None


class _Statistics(msgspec.Struct):
    totalShareStatistics: _Figures
    share: str | None = None
    ugcPost: str | None = None


class _Raw(msgspec.Struct):
    post: Post | None = None
    notification: Notification | None = None
    statistics: _Statistics | None = None
    at: int = 0


def normalise(raw: Any) -> Sequence[Normal]:
    """What a message says. Pure; never raises."""
    return normalised(raw, "linkedin", _Raw, _seen)


def post_urn(notification: Notification) -> str | None:
    """The post that a notification is about, as the Posts API names it; None where only an activity is named."""
    if notification.decoratedSourcePost is not None:
        return notification.decoratedSourcePost.entity
    source = notification.sourcePost or ""
    return source if source.startswith(("urn:li:share:", "urn:li:ugcPost:")) else None


def written(commentary: str) -> tuple[str, tuple[str, ...]]:
    """The text and the hashtags of a commentary, which escapes signs and writes tags and names in a form of its own."""
    tags = tuple(dict.fromkeys(_TAG.findall(commentary)))
    text = _NAMED.sub(r"\1", _TAG.sub(r"#\1", commentary))
    return _ESCAPED.sub(r"\1", text), tags


def _seen(message: _Raw) -> Sequence[Normal]:
    if message.post is not None:
        return _authored(message.post)
    if message.notification is not None:
        return _notified(message.notification)
    return [] if message.statistics is None else _stated(message.statistics, message.at)


def _authored(post: Post) -> Sequence[Normal]:
    if post.lifecycleState != "PUBLISHED":
        return []
    if (at := post.publishedAt or post.createdAt) is None:
        return [Rejected("missing field", "a post without a moment", b"")]
    id, actor = NETWORK + post.id, NETWORK + post.author
    parent = None if post.reshareContext is None else NETWORK + post.reshareContext.parent
    text, tags = written(post.commentary)
    if parent is not None and not text.strip():
        return [Shared(id=id, actor=actor, at=at, of=parent)]
    article = post.content and post.content.article
    urls = (article.source,) if article and article.source else ()
    return [Authored(id=id, actor=actor, at=at, text=text, urls=urls, tags=tags, quotes=parent)]


def _notified(told: Notification) -> Sequence[Normal]:
    beside = told.decoratedGeneratedActivity or _Generated()
    if told.action in COMMENTS:
        return [_commented(told, beside.comment)]
    if told.action == "COMMENT_DELETE":
        comment = _comment_urn(told, beside.comment)
        return [unnamed("a deletion") if comment is None else Removed(target=NETWORK + comment, at=told.lastModifiedAt)]
    if told.action == "SHARE":
        return [] if _is_own(told, beside.share) else [_shared(told, beside.share)]
    if told.action == "SHARE_MENTION" and beside.share is not None and beside.share.owner is not None:
        id, actor = NETWORK + beside.share.entity, NETWORK + beside.share.owner
        text, tags = written(beside.share.text)
        return [Authored(id=id, actor=actor, at=told.lastModifiedAt, text=text, tags=tags)]
    return []


def _shared(told: Notification, beside: _Beside | None) -> Normal:
    post = post_urn(told)
    if post is None or beside is None or beside.owner is None:
        return unnamed("a share")
    id, actor = f"{NETWORK}notification:{told.notificationId}", NETWORK + beside.owner
    return Shared(id=id, actor=actor, at=told.lastModifiedAt, of=NETWORK + post)


def _commented(told: Notification, beside: _Beside | None) -> Normal:
    post, comment = post_urn(told), _comment_urn(told, beside)
    if post is None or comment is None or beside is None or beside.owner is None:
        return unnamed("a comment")
    id, actor, of = NETWORK + comment, NETWORK + beside.owner, NETWORK + post
    return Authored(id=id, actor=actor, at=told.lastModifiedAt, text=beside.text, replies_to=of, thread=of)


def _comment_urn(told: Notification, beside: _Beside | None) -> str | None:
    """A comment's name in one form: LinkedIn writes it in two."""
    found = _COMMENT.fullmatch((beside.entity if beside is not None else told.generatedActivity) or "")
    return None if found is None else f"urn:li:comment:(urn:li:{found[1]}:{found[2]},{found[3]})"


def _is_own(told: Notification, share: _Beside | None) -> bool:
    """Whether the organisation shared its own post: that comes as a post of it, too."""
    return share is not None and share.owner == told.organizationalEntity


def _stated(statistics: _Statistics, at: int) -> Sequence[Normal]:
    urn = statistics.share or statistics.ugcPost
    if urn is None:
        return []  # those of the organisation as a whole
    figures = statistics.totalShareStatistics
    return [
        Stated(
            id=f"{NETWORK}{urn}#totals-{at}",
            at=at,
            target=NETWORK + urn,
            shares=figures.shareCount,
            likes=figures.likeCount,
            replies=figures.commentCount,
            impressions=figures.impressionCount,
            clicks=figures.clickCount,
        )
    ]
