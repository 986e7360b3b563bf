"""X: posts of offers, retweets, quotes and replies, through the filtered stream.

Off until the options name the contract with X that allows it: its terms bar much of what is measured here.

X's stream has no past. So its cursor is a moment until when all was read: after a break the connector reads on at once,
and what happened meanwhile is asked for beside (`connectors.x_filling`); until that is done the cursor stays. Deletions
are not told either; the posts that are kept are asked about again (`connectors.x_recheck`).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import ClassVar, Final, TypeVar

from connectors import x_rules
from connectors.clock import now_ms
from connectors.connector import (
    Abilities,
    Blind,
    Check,
    Connector,
    CursorRejected,
    Declaration,
    Known,
    Normal,
    NotConnected,
    Option,
    Options,
    Page,
    Prices,
    RateLimited,
    Root,
    lookup_options,
)
from connectors.x_api import AT_ONCE, SEARCHED_MS, TooManyRules, Unfit, Unpaid, XApi
from connectors.x_filling import REWIND_MS, Filling
from connectors.x_followers import XFollowers
from connectors.x_posts import sightings
from connectors.x_recheck import KEPT_MS, Recheck
from connectors.x_stream import Stream

_LINES: Final = 500
_QUIET_MS: Final = 300_000
"""So often the cursor moves while nothing comes."""
_MARGIN_MS: Final = 3_600_000
_RULES_S: Final = 5.0
"""So often the rules are compared with the offers."""
_PAUSE_S: Final = 60.0

_T = TypeVar("_T")


class X(Connector):
    """The connector."""

    declared: ClassVar = Declaration(
        name="x",
        network="x",
        summary="Posts with the offers' links and hashtags, and what shares, quotes and answers them",
        abilities=Abilities(
            reshares="retweets and quotes, live",
            parents="of quotes; a retweet names the original alone",
            followers="counts with each post; lists are dear, off by default",
            deletes="found by asking again, so many posts a day",
            resume="new posts 7 days back; retweets and quotes of known posts",
        ),
        options=(
            Option(
                "contract", "The agreement with X that allows this, by its name: without one X is off.", required=True
            ),
            Option("bearer_token", "Bearer token of the app.", secret=True, required=True),
            Option("api", "Address of X's API.", "https://api.x.com"),
            Option("silence_s", "Seconds without a line or a keep-alive after which the stream is lost.", 21.0),
            Option(
                "recheck_posts", "Posts a day that are asked about again, for deletions and totals; 0: none.", 1_000
            ),
            *lookup_options(calls=0),
        ),
        in_order=False,
        prices=Prices(row=0.010),
    )

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._api = self._new_api()
        self._filling = Filling(self._api, self._posts)
        self._recheck = Recheck(self._api, known, options.number("recheck_posts"))
        self._stream: Stream | None = None
        self._seen = self._told = 0
        """Until when (ms) all was read, and as of which the cursor was told."""
        self._is_new = False
        self._unpaid_since: int | None = None
        self._wanted: x_rules.Wanted | None = None
        self._foreign = 0
        """Rules of others, which take their part of the number."""
        self._rules_due = 0.0

    def connect(self, cursor: str | None) -> None:
        """Set the rules and open the stream; what happened since the cursor is asked for beside it."""
        self._hang_up()
        now = now_ms()
        self._is_new = cursor is None
        self._seen = now
        since = None
        if cursor is not None:
            since = self._read(cursor)
            oldest = now - SEARCHED_MS + _MARGIN_MS
            if since < oldest - _MARGIN_MS + REWIND_MS:
                raise CursorRejected("the cursor is older than the 7 days that X searches", _cursor(oldest), oldest)
        with self._paid(now if since is None else since):
            self._set_rules()
            self._stream = Stream(self.options.text("api"), self.options.text("bearer_token"), self._silence_s)
        self._told = self._seen = self._stream.seen_ms
        if since is not None:
            self._filling.begin(since, x_rules.queries(self.known.offers(), self._posts()))

    def read(self, timeout_s: float) -> Page | None:
        """Some hundred messages at most; after a break now and then one answer of what it hid."""
        assert self._stream is not None
        with self._paid(self._seen):
            if self._is_new:
                self._is_new = False
                return self._behind(Page())
            if self._unpaid_since is not None:
                since, self._unpaid_since = self._unpaid_since, None
                return Page(blind=Blind(since, max(since, now_ms()), "X took no calls: its credits had run out"))
            page = self._filling.step() or self._recheck.step(now_ms())
            if page is not None:
                return self._behind(page)
            self._keep_rules()
            lines = self._stream.read(timeout_s, _LINES)
            self._seen = self._stream.seen_ms
        return self._behind(Page(lines)) if lines or self._seen - self._told > _QUIET_MS else None

    def close(self) -> None:
        """Leave the stream and the API."""
        self._hang_up()
        self._api.close()

    def finder(self) -> XFollowers:
        """Ask the API, with connections of its own."""
        return XFollowers(self._new_api())

    def check(self) -> Check:
        """Ask which rules there are, which costs nothing and tells whether the token is taken."""
        present = self._api.rules()
        self._api.close()
        ours = sum(x_rules.is_ours(rule.tag) for rule in present)
        most = x_rules.MOST - len(present) + ours
        sees = [
            f"what the contract {self.options.text('contract')} allows, and no more",
            f"posts, retweets, quotes and replies of open offers, by up to {most:,} rules ({ours:,} are there)",
            "how many follow whoever acts, with each post",
            "after a break: new posts of 7 days, retweets and quotes of known posts",
        ]
        misses = ["through whom a retweet came: X names the original", "what protected accounts do"]
        if self.options.number("recheck_posts") > 0:
            sees.append(
                f"deletions: up to {self.options.number('recheck_posts'):,.0f} posts a day are asked about again"
            )
        else:
            misses.append("deletions: recheck_posts is 0")
        if self.options.number("lookup_calls") and self.options.number("lookup_money"):
            dollars = self.options.number("lookup_money")
            sees.append(f"lists of followers for up to ${dollars:,.2f} a day, a cent for each follower")
        else:
            misses.append("lists of followers, a cent for each: lookup_calls or lookup_money is 0")
        return Check(tuple(sees), tuple(misses))

    @classmethod
    def normalise(cls, raw: bytes | str) -> Sequence[Normal]:
        """What a line of the stream, or an answer with its question, says."""
        return sightings(raw)

    def _new_api(self) -> XApi:
        return XApi(self.options.text("api"), self.options.text("bearer_token"))

    @property
    def _silence_s(self) -> float:
        return self.options.number("silence_s")

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @contextmanager
    def _paid(self, since_ms: int) -> Iterator[None]:
        """Keep in mind from when on X took no calls."""
        try:
            yield
        except Unpaid:
            if self._unpaid_since is None:
                self._unpaid_since = since_ms
            raise

    def _read(self, cursor: str) -> int:
        """Take a cursor up, and with it where the re-check stands; the moment that it is of."""
        try:
            name, since, asked, after = cursor.split(" ")
            moments = int(since), int(asked)
        except ValueError:
            name, moments, after = "", (0, 0), ""
        if name != "x":
            raise CursorRejected("the cursor is none of X")
        self._recheck.asked_ms, self._recheck.after = moments[1], after.removeprefix("-")
        return moments[0]

    def _behind(self, page: Page) -> Page:
        """A page with the cursor behind it, which stays where what it hid is not filled in yet."""
        seen = self._seen if self._filling.since is None else self._filling.since
        self._told = self._seen
        return replace(page, cursor=_cursor(seen, self._recheck.asked_ms, self._recheck.after), heard=seen)

    def _posts(self) -> list[Root]:
        """Posts and quotes of open offers, the newest first."""
        oldest = now_ms() - KEPT_MS
        offers = {offer.id for offer in self.known.offers()}
        found = [*self.known.roots(oldest), *self.known.quotes(oldest)]
        return sorted((post for post in found if post.offer in offers), key=lambda post: (-post.at, post.id))

    def _keep_rules(self) -> None:
        """Add and remove rules where offers have opened or closed, or something new can be shared."""
        if time.monotonic() < self._rules_due:
            return
        self._rules_due = time.monotonic() + _RULES_S
        if self._wanted == self._want():
            return
        try:
            self._set_rules()
        except Unpaid:
            raise
        except (RateLimited, NotConnected) as error:
            self._rules_due = time.monotonic() + (_PAUSE_S if error.after_s is None else error.after_s)

    def _want(self) -> x_rules.Wanted:
        return x_rules.wanted(self.known.offers(), self._posts(), max(0, x_rules.MOST - self._foreign))

    def _set_rules(self) -> None:
        present = self._api.rules()
        self._foreign = sum(not x_rules.is_ours(rule.tag) for rule in present)
        wanted = self._want()
        added, removed = x_rules.changes(present, wanted.rules)
        if len(present) + len(added) > x_rules.MOST:
            self._remove(removed)
            removed = []
        not_taken = self._add(added)  # before others go, so that nothing falls between them
        self._remove(removed)
        self._wanted = wanted
        missing = [f"{wanted.left_out} links, hashtags or posts found no room in X's rules"] if wanted.left_out else []
        missing += [f"{not_taken} rules X did not take"] if not_taken else []
        self.warns = f"not all is seen: {', '.join(missing)}" if missing else None

    def _add(self, rules: Sequence[x_rules.Rule]) -> int:
        """Add rules; how many X did not take. It takes none of a call if it does not like one: then they go singly."""
        not_taken = 0
        for some in _parts(rules):
            try:
                self._api.add_rules(some)
            except Unfit as error:
                if len(some) == 1 or isinstance(error, TooManyRules):
                    not_taken += len(some)
                else:
                    not_taken += sum(self._add([one]) for one in some)
        return not_taken

    def _remove(self, ids: Sequence[str]) -> None:
        for some in _parts(ids):
            self._api.remove_rules(some)


def _parts(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while some := [*islice(rest, AT_ONCE)]:
        yield some


def _cursor(seen_ms: int, rechecked_ms: int = 0, after: str = "") -> str:
    """Until when all was read, when posts were last asked about, and the last of these."""
    return f"x {seen_ms} {rechecked_ms} {after or '-'}"
