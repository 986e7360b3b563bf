"""What X's messages say: lines of its stream and answers of its API, in its old field names and its new ones.

X calls tweets posts and retweets reposts by now, and its messages change name by name: `referenced_tweets` or
`referenced_posts`, `edit_history_tweet_ids` or `edit_history_post_ids`, `retweet_count` or `repost_count`, includes of
`tweets` or `posts`. Both are understood, mixed too.

- A retweet names the original post, whatever way it came: there is no `via`.
- Every edit of a post is a post of its own. All of them are the first of their chain here: its id, its moment.
- What is only shown beside another message, or was asked for (`Asked`), is no news where it is known.
- An id that was asked about is gone where X does not show it any more: it is not found, its account is protected or
  suspended, or it is withheld anywhere. X's terms ask that all of that be deleted, though some of it may come back.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from connectors.connector import Normal
from connectors.sightings import Authored, Removed, Shared, Stated
from connectors.x_rules import offer_of
from spread.events import MAX_ID_BYTES, UNREADABLE, Rejected

NETWORK: Final = "x:"
_EPOCH_MS: Final = 1_288_834_974_657
"""Where the moments in ids begin: an id is that many ms later, times 2^22, and a number."""
_GONE: Final = (
    "/problems/resource-not-found",
    "/problems/not-authorized-for-resource",
    "/problems/resource-unavailable",
)
"""Deleted, of a protected account, of a suspended one. A field that may not be seen is another problem."""
_POSTS: Final = (None, "tweet", "post")

_T = TypeVar("_T")


class Asked(msgspec.Struct, omit_defaults=True):
    """A question that an answer belongs to, asked at `at` (ms).

    `what` is `search`, `retweets` (of a post), `quotes` (of one), `retweeted_by` (`accounts` so many) or `posts`
    (`ids`).
    """

    what: str
    at: int
    of: str = ""
    ids: list[str] = []
    accounts: int = 0


class _Link(msgspec.Struct):
    url: str | None = None
    expanded_url: str | None = None
    unwound_url: str | None = None


class _Hashtag(msgspec.Struct):
    tag: str


class _Entities(msgspec.Struct):
    urls: list[_Link] | None = None
    hashtags: list[_Hashtag] | None = None


class _Note(msgspec.Struct):
    """The whole of a long post, whose `text` is its beginning."""

    text: str
    entities: _Entities | None = None


class _Reference(msgspec.Struct):
    type: str
    id: str


class _Metrics(msgspec.Struct):
    followers_count: int | None = None
    retweet_count: int | None = None
    repost_count: int | None = None
    quote_count: int | None = None
    like_count: int | None = None
    reply_count: int | None = None
    impression_count: int | None = None


class _User(msgspec.Struct):
    id: str
    public_metrics: _Metrics | None = None


class _Post(msgspec.Struct):
    id: str
    author_id: str
    created_at: datetime
    text: str = ""
    conversation_id: str | None = None
    referenced_tweets: list[_Reference] | None = None
    referenced_posts: list[_Reference] | None = None
    edit_history_tweet_ids: list[str] | None = None
    edit_history_post_ids: list[str] | None = None
    entities: _Entities | None = None
    note_tweet: _Note | None = None
    note_post: _Note | None = None
    public_metrics: _Metrics | None = None
    withheld: object = None
    """Where it may not be shown, and why."""
    author: _User | None = None
    """Of a post that was taken out of its message (`flat`)."""

    def versions(self) -> list[str]:
        return self.edit_history_tweet_ids or self.edit_history_post_ids or [self.id]

    def reference(self, *types: str) -> str | None:
        given = self.referenced_tweets or self.referenced_posts or ()
        return next((one.id for one in given if one.type in types), None)

    def links(self) -> Iterable[_Entities]:
        note = self.note_tweet or self.note_post
        return (one for one in (self.entities, note and note.entities) if one)


class _Includes(msgspec.Struct):
    users: list[msgspec.Raw] | None = None
    tweets: list[msgspec.Raw] | None = None
    posts: list[msgspec.Raw] | None = None


class _Matched(msgspec.Struct):
    tag: str | None = None


class _Problem(msgspec.Struct):
    type: str = ""
    resource_type: str | None = None
    resource_id: str | None = None
    value: str | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    includes: _Includes | None = None
    matching_rules: list[_Matched] | None = None
    errors: list[msgspec.Raw] | None = None
    asked: Asked | None = None
    answer: msgspec.Raw = msgspec.Raw()


_message: Final = msgspec.json.Decoder(_Message).decode
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_post: Final = msgspec.json.Decoder(_Post).decode
_user: Final = msgspec.json.Decoder(_User).decode
_problem: Final = msgspec.json.Decoder(_Problem).decode


def moment(id: str) -> int:
    """When a post came to be (ms), by its id; 0 for what is no id."""
    return (int(id) >> 22) + _EPOCH_MS if id.isdigit() and len(id) < 20 else 0


def answered(asked: Asked, answer: object) -> bytes:
    """An answer as a message, with the question it belongs to."""
    return msgspec.json.encode({"asked": asked, "answer": answer})


def sightings(raw: bytes | str) -> Sequence[Normal]:
    """What a message says. Pure; never raises."""
    try:
        message = _message(raw)
        if message.asked is None:
            return _told(message, raw)
        return _found(message.asked, bytes(message.answer))
    except UNREADABLE as error:
        return [_rejected(error, raw)]


def _rejected(error: Exception, raw: bytes | str) -> Rejected:
    reason = "mistyped field" if isinstance(error, msgspec.ValidationError) else "not JSON"
    return Rejected(reason, str(error), raw.encode() if isinstance(raw, str) else raw)


def _found(asked: Asked, answer: bytes) -> Sequence[Normal]:
    """What an answer says, by what was asked."""
    if asked.what == "retweeted_by":
        id = f"{NETWORK}{asked.of}"
        return [Stated(id=f"{id}#retweeted_by-{asked.at}", at=asked.at, target=id, shares=asked.accounts)]
    message = _message(answer)
    if asked.what == "posts":
        return _checked(message, asked)
    return _told(message, answer, asked)


def _told(message: _Message, raw: bytes | str, asked: Asked | None = None) -> list[Normal]:
    """What posts say, and those beside them. A message without any is a note of X's own, before it hangs up."""
    context = _Context(message, asked)
    seen: list[Normal] = []
    for one in _data(message, raw):
        try:
            post = _post(one)
        except msgspec.ValidationError as error:
            seen.append(_rejected(error, bytes(one)))
        else:
            seen += context.of(post)
    return seen


def _data(message: _Message, raw: bytes | str) -> list[msgspec.Raw]:
    data = bytes(message.data)
    if data in (b"", b"null"):
        return [] if message.id is None else [msgspec.Raw(raw)]
    return _raws(data) if data[:1] == b"[" else [message.data]


class _Context:
    """What stands around the posts of a message: their authors, the posts they refer to, the rules they match."""

    def __init__(self, message: _Message, asked: Asked | None) -> None:
        includes = message.includes or _Includes()
        self._asked = asked
        users = _readable(includes.users, _user)
        self._followers = {one.id: one.public_metrics.followers_count for one in users if one.public_metrics}
        self._beside = {one.id: one for one in _readable([*(includes.tweets or ()), *(includes.posts or ())], _post)}
        self._first = {id: one.versions()[0] for one in self._beside.values() for id in one.versions()}
        offers = {offer for rule in message.matching_rules or () if (offer := offer_of(rule.tag or "")) is not None}
        self._named = offers.pop() if len(offers) == 1 else None

    def of(self, post: _Post) -> list[Normal]:
        """What one post says, after what is beside it."""
        self._first.update(dict.fromkeys(post.versions(), post.versions()[0]))
        if any(len(id) > MAX_ID_BYTES - len(NETWORK) for id in (post.id, post.author_id, *post.versions())):
            return [Rejected("too long", "an id", b"")]
        original = post.reference("retweeted", "reposted")
        if original is None and self._asked is not None and self._asked.what == "retweets":
            original = self._asked.of
        if original is None:
            beside = (post.reference("quoted"), post.reference("replied_to"))
            above = [self._authored(self._beside[id], None, True) for id in beside if id in self._beside]
            return [*above, self._authored(post, self._named, self._asked is not None)]
        # A retweet matches a rule by what it passes on: the rule's offer is that of the original.
        seen: list[Normal] = []
        if original in self._beside:
            seen.append(self._authored(self._beside[original], self._named, True))
        shared = Shared(
            id=self._id(post.id),
            actor=f"{NETWORK}{post.author_id}",
            at=_at(post),
            of=self._id(original),
            followers=self._followed_by(post),
            beside=self._asked is not None,
        )
        return [*seen, shared]

    def _authored(self, post: _Post, named: str | None, beside: bool) -> Authored:
        note = post.note_tweet or post.note_post
        links = [link for entities in post.links() for link in entities.urls or ()]
        tags = [hashtag.tag for entities in post.links() for hashtag in entities.hashtags or ()]
        quoted, above = post.reference("quoted"), post.reference("replied_to")
        return Authored(
            id=self._id(post.id),
            actor=f"{NETWORK}{post.author_id}",
            at=_at(post),
            text=post.text if note is None else note.text,
            urls=tuple(dict.fromkeys(url for link in links for url in (link.unwound_url, link.expanded_url) if url)),
            tags=tuple(dict.fromkeys(tags)),
            quotes=quoted and self._id(quoted),
            replies_to=above and self._id(above),
            thread=self._id(post.conversation_id) if above and post.conversation_id else None,
            followers=self._followed_by(post),
            named=named,
            beside=beside,
        )

    def _id(self, native: str) -> str:
        return f"{NETWORK}{self._first.get(native, native)}"

    def _followed_by(self, post: _Post) -> int | None:
        if post.author is not None and post.author.public_metrics is not None:
            return post.author.public_metrics.followers_count
        return self._followers.get(post.author_id)


def _at(post: _Post) -> int:
    """When a post was first published (ms). X tells whole seconds; so does this of a version before."""
    first = post.versions()[0]
    if first != post.id and moment(first):
        return moment(first) // 1000 * 1000
    return int(post.created_at.timestamp() * 1000)


def _checked(message: _Message, asked: Asked) -> list[Normal]:
    """Totals of the posts that are still there, and those that are gone."""
    given = _readable(_data(message, b""), _post)
    there = [post for post in given if post.withheld is None]
    seen: list[Normal] = [
        _stated(post, post.public_metrics, asked.at)
        for post in there
        if post.public_metrics is not None and post.reference("retweeted", "reposted") is None
    ]
    gone = {
        problem.resource_id or problem.value
        for problem in _readable(message.errors, _problem)
        if problem.type.endswith(_GONE) and problem.resource_type in _POSTS
    } - {post.id for post in given} | {post.id for post in given if post.withheld is not None}
    return [*seen, *(Removed(target=f"{NETWORK}{id}", at=asked.at) for id in asked.ids if id in gone)]


def _stated(post: _Post, metrics: _Metrics, at: int) -> Stated:
    """Totals: retweets and quotes are both shares."""
    id = f"{NETWORK}{post.versions()[0]}"
    retweets = metrics.retweet_count if metrics.retweet_count is not None else metrics.repost_count
    return Stated(
        id=f"{id}#totals-{at}",
        at=at,
        target=id,
        shares=None if retweets is None else retweets + (metrics.quote_count or 0),
        likes=metrics.like_count,
        replies=metrics.reply_count,
        impressions=metrics.impression_count,
    )


def _readable(raws: Iterable[msgspec.Raw] | None, decode: Callable[[msgspec.Raw], _T]) -> list[_T]:
    """Those that can be read: one that can't, beside a post, takes nothing from the post."""
    found = []
    for raw in raws or ():
        with suppress(msgspec.ValidationError):
            found.append(decode(raw))
    return found
