"""What a break hid of X, as far as its API still tells: new posts and answers, then retweets and quotes.

One question at a time, beside the stream, so that what is live does not wait; a limit is waited for without losing the
stream. First the offers' terms are searched for, then each post and quote that is known by then is asked about, those
that came with the answers too. What can't be had is remembered, and told as a gap at the end.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.clock import now_ms
from connectors.connector import Blind, NotConnected, Page, RateLimited, Root
from connectors.x_api import Forbidden, Unfit, Unpaid, XApi
from connectors.x_posts import Asked, answered, moment

REWIND_MS: Final = 30_000
"""So much before the break is asked for again: X delivers within some seconds, and clocks differ."""
_TRIES: Final = 3
_PAUSE_S: Final = 60.0
_PAGES: Final = 50


@dataclass(frozen=True)
class _Question:
    what: str
    of: str
    """A query, or a post."""
    page: str | None = None
    pages: int = 1
    failed: int = 0
    accounts: int = 0


class Filling:
    """Fills in after breaks. `posts` gives those that can be shared and quoted, as they are known by then."""

    def __init__(self, api: XApi, posts: Callable[[], Sequence[Root]]) -> None:
        self._api, self._posts = api, posts
        self.since: int | None = None
        """From when on (ms) all is being filled in; None where nothing is."""
        self._until = self._now = 0
        self._questions: deque[_Question] = deque()
        self._planned: set[_Question] = set()
        self._lost: dict[str, None] = {}
        self._is_news = False
        self._due = 0.0

    def begin(self, since_ms: int, queries: Sequence[str]) -> None:
        """Fill in what happened from then on. What was asked for a break before begins anew."""
        self.since, self._until = since_ms, now_ms()
        self._questions.clear()
        self._planned.clear()
        self._lost.clear()
        self._is_news = False
        for query in queries:
            self._plan(_Question("search", query))

    def step(self) -> Page | None:
        """Ask one question, if it is time for one. The last page has no messages, and the gap if there is one."""
        if self.since is None or time.monotonic() < self._due:
            return None
        if not self._questions:
            for post in self._posts():
                native = post.id.removeprefix("x:")
                self._plan(_Question("retweets", native))
                self._plan(_Question("quotes", native))
        if not self._questions:
            return self._finish(self.since)
        question = self._questions.popleft()
        try:
            return self._ask(question, self.since)
        except RateLimited as error:
            self._later(question, error.after_s)
        except Unpaid:
            raise
        except (Forbidden, Unfit) as error:
            self._unanswered(question, error)
        except NotConnected as error:
            if question.failed + 1 < _TRIES:
                self._later(replace(question, failed=question.failed + 1), error.after_s)
            else:
                self._lost[str(error)] = None
        return None

    def _plan(self, question: _Question) -> None:
        if question not in self._planned:
            self._planned.add(question)
            self._questions.append(question)

    def _later(self, question: _Question, after_s: float | None) -> None:
        self._questions.appendleft(question)
        self._due = time.monotonic() + (_PAUSE_S if after_s is None else after_s)

    def _unanswered(self, question: _Question, error: Forbidden | Unfit) -> None:
        """Go on without an answer. Where retweets are not given, their number may be."""
        if question.what == "retweets":
            self._plan(_Question("retweeted_by", question.of))
        elif isinstance(error, Forbidden) or question.what == "search":
            self._lost[str(error)] = None

    def _ask(self, question: _Question, since: int) -> Page | None:
        what, of, page = question.what, question.of, question.page
        answer: dict[str, Any]
        if what == "search":
            answer = self._api.search(of, since - REWIND_MS, page)
        else:
            ask = {"retweets": self._api.retweets, "quotes": self._api.quotes, "retweeted_by": self._api.retweeted_by}
            answer = ask[what](of, page)
        data, meta = answer.get("data"), answer.get("meta")
        rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
        following = meta.get("next_token") if isinstance(meta, dict) else None
        if what == "retweeted_by":
            question = replace(question, accounts=question.accounts + len(rows))
        moments = [moment(str(row.get("id"))) for row in rows]
        is_behind = what != "retweeted_by" and min(moments, default=0) < since - REWIND_MS
        self._is_news |= what != "retweeted_by" and max(moments, default=0) > since
        is_last = not following or following == page or is_behind
        if not is_last and question.pages < _PAGES:
            self._questions.appendleft(replace(question, page=following, pages=question.pages + 1, failed=0))
        elif not is_last:
            self._lost[f"more than {_PAGES} pages"] = None
        if what != "retweeted_by":
            return Page([answered(Asked(what, now_ms(), of), answer)], source="backfill") if rows else None
        if not is_last and question.pages < _PAGES:
            return None
        self._lost["X tells how many retweeted, and not when"] = None
        return Page([answered(Asked(what, now_ms(), of, accounts=question.accounts), {})], source="backfill")

    def _finish(self, since: int) -> Page | None:
        self.since = None
        blind = Blind(since, max(since, self._until), "; ".join(self._lost)) if self._lost else None
        return Page(blind=blind) if blind is not None or self._is_news else None
