"""What no stream tells of the posts of offers: their totals, and who boosted or quoted those of others.

The employer's own account is notified of every boost, but nobody is of boosts of an employee's post. So now and then
each post is asked for, and each quote, which is boosted and quoted in its turn; where totals have changed, also who
boosted it. That list gives accounts and no times, and nothing is made of it alone: the boost itself is looked for among
the newest statuses of its account, which say when it was. One that is not found there stays a number in the totals.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from connectors.api import Missing
from connectors.connector import Root
from connectors.mastodon_instance import Instance, read
from connectors.mastodon_statuses import NETWORK, TOTALS, account_of, boost_of, status_of
from connectors.questions import Questions

PAUSE_S = 2.0
"""Half of what an instance allows: 300 calls in five minutes."""
_LOCAL: Final = re.compile(r"/statuses/(\d+)\Z")


class _Booster(msgspec.Struct):
    id: str
    acct: str


class _Search(msgspec.Struct):
    statuses: list[msgspec.Raw] = []


_search: Final = msgspec.json.Decoder(_Search).decode
_booster: Final = msgspec.json.Decoder(_Booster).decode


class Sweep:
    """Asks about posts, one question at a time. `has` tells ids that are known already."""

    def __init__(self, instances: Sequence[Instance], has: Callable[[str], bool]) -> None:
        self._instances, self._has = instances, has
        self._questions = Questions(PAUSE_S)
        self._asked: dict[str, tuple[int, int]] = {}
        """By post, the boosts and quotes there were when these were last asked for."""
        self._refused_before: str | None = None

    def begin(self, roots: Iterable[Root]) -> None:
        """Plan the questions about some posts and quotes."""
        self._refused_before = self._questions.refused
        self._questions.begin()
        for root in roots:
            self._questions.plan(partial(self._post, root.id.removeprefix(NETWORK)))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be asked."""
        return self._questions.is_over

    @property
    def refused(self) -> str | None:
        """What was first refused in this round, else in the last one."""
        return self._questions.refused or self._refused_before

    def step(self) -> list[bytes]:
        """Ask one question, if it is time for one."""
        return self._questions.step()

    def _post(self, uri: str) -> list[bytes]:
        """Totals of a post, or that it is gone: known for sure of one that this instance wrote itself."""
        host = urlsplit(uri).netloc
        home = next((one for one in self._instances if host in (one.domain, one.host)), None)
        number = _LOCAL.search(uri)
        if home is not None and number is not None:
            try:
                answer = home.ask("statuses", lambda client: client.status(number[1]))
            except Missing:
                return [home.message("delete", number[1])]
            return self._stated(home, answer.body)
        instance = home or self._instances[0]
        found = instance.ask("search", lambda client: client.search_v2(uri, resolve=True, result_type="statuses"))
        statuses = read(found.body, _search).statuses
        return self._stated(instance, bytes(statuses[0])) if statuses else []

    def _stated(self, instance: Instance, body: bytes) -> list[bytes]:
        status = read(body, status_of)
        counts = status.reblogs_count, status.quotes_count
        before = self._asked.get(status.uri, (0, 0))
        if counts[0] > before[0]:
            self._questions.plan(partial(self._boosters, instance, status.id, status.uri, None))
        if counts[1] > before[1]:
            self._questions.plan(partial(self._quotes, instance, status.id))
        self._asked[status.uri] = counts
        return [instance.message(TOTALS, body.decode())]

    def _boosters(self, instance: Instance, id: str, uri: str, before: Any) -> list[bytes]:
        """Who boosted a post: each whose boost is not known is asked about."""
        answer = instance.ask(
            "reblogged_by",
            lambda client: client.status_reblogged_by(id) if before is None else client.fetch_next(before),
        )
        for row in answer.rows():
            booster = read(row, _booster)
            if not self._has(boost_of(account_of(booster.acct, instance.domain), uri)):
                self._questions.plan(partial(self._boost, instance, booster.id, uri))
        if instance.client.get_pagination_info(answer.object, "next") is not None:
            self._questions.plan(partial(self._boosters, instance, id, uri, answer.object))
        return []

    def _boost(self, instance: Instance, account: str, uri: str) -> list[bytes]:
        """An account's boost of a post, from the newest forty of its statuses."""
        answer = instance.ask(
            "accounts/statuses", lambda client: client.account_statuses(account, exclude_replies=True, limit=40)
        )
        for body in answer.rows():
            boosted = read(body, status_of).reblog
            if boosted is not None and boosted.uri == uri:
                return [instance.message("update", body.decode())]
        return []

    def _quotes(self, instance: Instance, id: str) -> list[bytes]:
        """Quotes of a post, as the newest page has them; servers before 4.5 have none."""
        answer = instance.ask("statuses/quotes", lambda client: client.status_quotes(id, limit=40))
        return [instance.message("update", body.decode()) for body in answer.rows()]
