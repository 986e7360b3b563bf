"""What a gap hid of Bluesky, as far as its AppView still tells: quotes, reposts and totals of the posts of offers.

Quotes are quoted and reposted in their turn: those that are known are asked about like posts, and those that come with
the answers too. It comes in messages of Jetstream's shape, one question at a time, so that what is live does not wait
long. The AppView does not say through which repost a repost came: what is filled in has no `via`. What was taken back
meanwhile is not there any more, so the gap stays told.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from connectors.appview import AppView
from connectors.connector import Known
from connectors.questions import Questions

_NETWORK: Final = "bluesky:"
_PAUSE_S: Final = 0.2
_PAGES: Final = 50


class Backfill:
    """Fills in after a gap. What is `known` to have acted on a post already is not asked for, or not told, again."""

    def __init__(self, appview: AppView, known: Known) -> None:
        self._appview, self._known = appview, known
        self._questions = Questions(_PAUSE_S)
        self._roots: set[str] = set()
        self._passed_on: set[str] = set()
        """Posts and quotes whose quotes and reposts are asked for."""

    def begin(self, since_ms: int) -> None:
        """Plan the questions about the posts and quotes that are not older; those of an earlier gap are asked anew."""
        self._questions.begin()
        self._passed_on.clear()
        roots, quotes = (
            [post.id.removeprefix(_NETWORK) for post in posts]
            for posts in (self._known.roots(since_ms), self._known.quotes(since_ms))
        )
        self._roots = set(roots)
        for uri in roots:
            self._questions.plan(partial(self._totals, uri))
        for uri in [*roots, *quotes]:
            self._pass_on(uri)

    @property
    def refused(self) -> str | None:
        """What the AppView first refused to tell after this gap."""
        return self._questions.refused

    def step(self) -> list[bytes]:
        """Ask one question, if it is time for one."""
        return self._questions.step()

    def _pass_on(self, uri: str) -> None:
        if uri not in self._passed_on:
            self._passed_on.add(uri)
            self._questions.plan(partial(self._quotes, uri, None, 0))
            self._questions.plan(partial(self._reposters, uri, None, 0))

    def _totals(self, uri: str) -> list[bytes]:
        answer = self._appview.ask("app.bsky.feed.getPosts", {"uris": [uri]})
        return [_totals(uri, post) for post in _dicts(answer.get("posts"))]

    def _quotes(self, uri: str, cursor: str | None, pages: int) -> list[bytes]:
        answer = self._appview.ask("app.bsky.feed.getQuotes", {"uri": uri, "limit": 100, "cursor": cursor})
        posts = [*_dicts(answer.get("posts"))]
        if posts and answer.get("cursor") and pages < _PAGES:
            self._questions.plan(partial(self._quotes, uri, answer["cursor"], pages + 1))
        lines: list[bytes] = []
        for post in posts:
            line = _line(post.get("uri"), post.get("indexedAt"), post.get("record"))
            if line is not None:
                self._pass_on(post["uri"])
                lines += self._unknown(post["uri"], line)
        return lines

    def _reposters(self, uri: str, cursor: str | None, pages: int) -> list[bytes]:
        answer = self._appview.ask("app.bsky.feed.getRepostedBy", {"uri": uri, "limit": 100, "cursor": cursor})
        actors = [*_dicts(answer.get("repostedBy"))]
        for actor in actors:
            did = actor.get("did")
            # Whoever acted on a post is likely to have done so by this; a quote is shared by those who shared its root.
            if isinstance(did, str) and not (uri in self._roots and self._known.takes_part(f"{_NETWORK}{did}")):
                self._questions.plan(partial(self._reposts, uri, did))
        if actors and answer.get("cursor") and pages < _PAGES:
            self._questions.plan(partial(self._reposters, uri, answer["cursor"], pages + 1))
        return []

    def _reposts(self, uri: str, did: str) -> list[bytes]:
        """The repost of a post by an account, from the newest hundred of what it posted and reposted."""
        answer = self._appview.ask("app.bsky.feed.getAuthorFeed", {"actor": did, "limit": 100})
        for item in _dicts(answer.get("feed")):
            reason, post = item.get("reason"), item.get("post")
            if isinstance(reason, dict) and isinstance(post, dict) and post.get("uri") == uri:
                subject = {"subject": {"uri": uri, "cid": post.get("cid")}}
                line = _line(reason.get("uri"), reason.get("indexedAt"), subject)
                return [] if line is None else self._unknown(reason["uri"], line)
        return []

    def _unknown(self, uri: str, line: bytes) -> list[bytes]:
        """A line, if what it tells is not known: then its moment is, and through whom it came."""
        return [] if self._known.has(f"{_NETWORK}{uri}") else [line]


def _line(uri: Any, indexed_at: Any, record: Any) -> bytes | None:
    """A record as a Jetstream would have told it; None where the AppView leaves something out."""
    try:
        did, collection, rkey = uri.removeprefix("at://").split("/")
        time_us = int(datetime.fromisoformat(indexed_at).timestamp() * 1_000_000)
    except (AttributeError, TypeError, ValueError):
        return None
    commit = {"operation": "create", "collection": collection, "rkey": rkey, "record": record}
    return msgspec.json.encode({"did": did, "time_us": time_us, "kind": "commit", "commit": commit})


def _totals(uri: str, post: dict[str, Any]) -> bytes:
    """Totals, with now as their moment: a shape that a Jetstream does not have."""
    names = ("repostCount", "quoteCount", "likeCount", "replyCount")
    totals = {name: post[name] for name in names if isinstance(post.get(name), int)} | {"uri": uri}
    return msgspec.json.encode({"did": "", "time_us": time.time_ns() // 1000, "kind": "totals", "totals": totals})


def _dicts(rows: Any) -> Iterator[dict[str, Any]]:
    return (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else iter(())
