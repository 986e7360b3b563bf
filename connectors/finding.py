"""Looks followers up, beside a connector: a thread of its own, within the budget, through a sink of its own.

A list comes as `ties`, whole and marked complete, or as far as the budget reached and then not. A call is noted as paid
before it is made, each page is kept, and an account counts as looked up once its events are safe: what is interrupted
goes on where it was. A list says who followed when its first page was asked for, however late the last one came.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from tenacity import (
    RetryCallState,
    wait_random_exponential,
)

from connectors.clock import now_ms
from connectors.connector import Declaration, Finder, NotConnected, Refused
from connectors.door import DoorError
from connectors.journal import JournalError
from connectors.lasting import Lasting, Log, Sink, guarded
from connectors.lookups import Budget, Lookups, OpenList, Side, cost, sides
from spread.events import MAX_BATCH, AnyEvent, Profile, Ties

_IDLE_S: Final = 2.0
_FLUSH_S: Final = 60.0

_T = TypeVar("_T")


@dataclass
class Findings:
    """How the look-ups of a connector do. Written by their thread, read by anybody."""

    name: str
    calls: int = 0
    rows: int = 0
    dollars: float = 0.0
    waiting: int = 0
    """Accounts that would be looked up."""
    unaffordable: int = 0
    """Of these, accounts that today's budget does not reach."""
    cut: int = 0
    """Lists that ended with the budget."""
    budget_left: float = 1.0
    """The part of the day's budget that is left, of calls or of dollars, whichever is less."""
    why: str = ""


class Finding(Lasting):
    """Looks up what `lookups` has as worth it, at most `daily` a day."""

    def __init__(
        self,
        declared: Declaration,
        finder: Finder,
        lookups: Lookups,
        daily: Budget,
        open_sink: Callable[[], Sink],
        *,
        log: Log,
        wait_s: float = 1.0,
    ) -> None:
        super().__init__(f"look-ups {declared.name}", open_sink, wait_random_exponential(multiplier=wait_s, max=300))
        assert declared.prices is not None  # it has a finder
        self.findings = Findings(declared.name)
        self._network, self._prices = declared.network, declared.prices
        self._finder, self._lookups, self._daily = finder, lookups, daily
        self._log = log

    def _run(self) -> None:
        try:
            self._persist()
        except (Refused, JournalError) as error:
            self.findings.why = str(error)
            self._log.error("no more look-ups", connector=self.findings.name, why=str(error))
        finally:
            self._finder.close()
            self._drop_sink()

    def _session(self, tries: RetryCallState) -> None:
        try:
            if self._sink is None:
                self._sink = self._open_sink()
            while not self._stop.is_set():
                self.findings.why = ""
                if guarded(self._look_up):
                    tries.attempt_number = 1
                else:
                    self._stop.wait(_IDLE_S)
        except DoorError as error:
            self._drop_sink()
            raise NotConnected(str(error)) from None

    def _look_up(self) -> bool:
        """Look one thing up; whether there was any that the budget covers."""
        now = now_ms()
        return self._count(now) or self._list(now)

    def _count(self, now: int) -> bool:
        """Ask how many follow some accounts."""
        at_once = self._finder.counts_at_once
        accounts = self._lookups.uncounted(now, at_once) if at_once else []
        if not accounts or not self._may_call(now, len(accounts)):
            return False
        counts, back = self._called(now, len(accounts), lambda: self._finder.counts(accounts), len)
        self._lookups.repay(now, back)
        self._publish(
            [
                Profile(
                    v=1,
                    id=f"{account}#profile-{now}",
                    network=self._network,
                    at=now,
                    source="poll",
                    actor=account,
                    followers=followers,
                )
                for account, followers in counts.items()
            ]
        )
        self._lookups.counted(counts, accounts, now)
        return True

    def _list(self, now: int) -> bool:
        """Ask for the lists of the account that would tell most."""
        waiting = self._lookups.unlisted(now)
        # A follower count may have grown since, so that only a whole page is sure to be paid for.
        is_affordable = self._may_call(now, self._finder.page_rows)
        self.findings.waiting, self.findings.unaffordable = len(waiting), 0 if is_affordable else len(waiting)
        if not waiting or not is_affordable:
            return False
        one = waiting[0]
        if all(self._side(one.account, side) for side in sides(one)):
            self._lookups.listed(one.account, now_ms())
        return True

    def _side(self, account: str, side: Side) -> bool:
        """Have one list of an account from where it stands, as far as the budget reaches; whether all was told."""
        rows = self._finder.page_rows
        had = self._lookups.open_list(account, side, now_ms())
        is_new = False
        while had.page is not None:
            now = now_ms()
            if self._stop.is_set():
                return False
            if not self._may_call(now, rows):
                self.findings.cut += 1
                if is_new:
                    self._tell(had, f"+{had.members}")
                self._lookups.cut(account, now)
                return False
            asked = had.page or None
            (some, page), back = self._called(now, rows, partial(self._finder.listed, account, side, asked), _rows)
            is_whole = page is None and self._finder.is_whole(account, side, had.members + len(some))
            had, is_new = self._lookups.add_page(had._replace(page=page, whole=is_whole), some, now, back), True
        self._tell(had)
        return True

    def _tell(self, had: OpenList, as_far: str = "") -> None:
        """Tell a list, or `as_far` as it was had."""
        accounts = self._lookups.members(had)
        if accounts or had.whole:
            self._publish(list(self._ties(had, accounts, f"{had.account}#{had.side}-{had.begun}{as_far}")))

    def _ties(self, had: OpenList, accounts: list[str], name: str) -> Iterator[Ties]:
        """A list as events: in pages of one list where it is whole, else as what is known."""
        parts = [accounts[at : at + MAX_BATCH] for at in range(0, len(accounts), MAX_BATCH)] or [[]]
        for number, some in enumerate(parts):
            yield Ties(
                v=1,
                id=f"{name}-{number}",
                network=self._network,
                at=had.begun,
                source="poll",
                actor=had.account,
                follows=some if had.side == "follows" else None,
                followed_by=some if had.side == "followed_by" else None,
                complete=True if had.whole else None,
                part=number if had.whole and len(parts) > 1 else None,
                of=len(parts) if had.whole and len(parts) > 1 else None,
                list=name if had.whole and len(parts) > 1 else None,
            )

    def _may_call(self, now: int, rows: int) -> bool:
        left, daily = self._lookups.left(now, self._daily), self._daily
        parts = [left.calls / daily.calls if daily.calls else 0.0]
        if daily.money:
            parts.append(left.money / daily.money)
        self.findings.budget_left = max(0.0, min(parts))
        return left.covers(self._prices, rows)

    def _called(self, now: int, most: int, call: Callable[[], _T], rows_of: Callable[[_T], int]) -> tuple[_T, float]:
        """Make a call that is paid for first; its answer, and what is to be given back since it did not cost it."""
        paid = cost(self._prices, most)
        self._lookups.spend(now, paid)
        self.findings.calls += 1
        self.findings.dollars += paid
        answer = call()
        rows = rows_of(answer)
        back = max(0.0, paid - cost(self._prices, rows))
        self.findings.rows += rows
        self.findings.dollars -= back
        return answer, back

    def _publish(self, events: Sequence[AnyEvent]) -> None:
        """Send events, and wait until they are safe."""
        assert self._sink is not None
        self._sink.publish(events)
        self._sink.flush(_FLUSH_S)

    def _waits(self, error: BaseException | None, seconds: float) -> None:
        self.findings.why = str(error)
        self._log.warning("look-ups wait", connector=self.findings.name, why=str(error), wait_s=round(seconds, 1))

    def _drop_sink(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None


def _rows(answer: tuple[list[str], str | None]) -> int:
    return len(answer[0])
