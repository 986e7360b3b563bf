"""Connectors at work: made from the settings, each with its journal and a sink of its own.

Names of people leave a connector hashed, so without a key none of them starts.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from connectors import catalogue
from connectors.completion import Completion
from connectors.connector import Connector, ConnectorError, KnowsNothing, Options, Root
from connectors.finding import Finding, Findings
from connectors.journal import Journal, JournalError
from connectors.lasting import Sink
from connectors.lookups import Budget, Lookups
from connectors.runner import Runner, Status
from connectors.webhook import Hook
from ricochet import receiver, serving
from ricochet.errors import RicochetError
from ricochet.followed import Followed
from ricochet.logs import logger
from ricochet.settings import Settings
from spread.events import DAY_MS, AnyEvent
from spread.hashing import Hashing
from spread.registry import JobOffer

SinkOf = Callable[[Hashing], Sink]
"""Opens a sink for a connector, whose names are hashed this way."""

log = logger(__name__)


class Connecting:
    """Some connectors with all that is theirs. Raises `RicochetError` where one can't be had as it is asked for."""

    def __init__(self, settings: Settings, names: Sequence[str], offers: Followed, sink_of: SinkOf) -> None:
        if len(set(names)) != len(names):
            raise RicochetError("a connector runs once")
        self.runners: list[Runner] = []
        self.hooks: list[Hook] = []
        self._findings: list[Finding] = []
        self._journals: list[Journal | Lookups] = []
        try:
            for name in names:
                self._add(settings, name, offers, sink_of)
        except (ConnectorError, JournalError, catalogue.OptionError) as error:
            self.close()
            raise RicochetError(str(error)) from None

    def _add(self, settings: Settings, name: str, offers: Followed, sink_of: SinkOf) -> None:
        kind = catalogue.connector(name)
        options = settings.connectors.of(name)
        journal = Journal(settings.journals / f"{name}.journal", settings.own)
        self._journals.append(journal)
        hashing = settings.hashing_with(journal.own)
        if hashing is None:
            raise RicochetError("connectors bring names of people: set hash_key or hash_key_file, to hash them")
        connector = kind(options, _Known(journal, offers))
        declared = connector.declared
        completion = Completion(
            journal,
            offers.match,
            declared.network,
            in_order=declared.in_order,
            deleted=offers.deleted,
            unseen=offers.unseen,
        )
        self.hooks += connector.hooks
        saw = self._look_up(settings, connector, options, lambda: sink_of(hashing))
        runner = Runner(
            connector,
            journal,
            completion,
            lambda: sink_of(hashing),
            log,
            retention_ms=settings.retention_ms(declared.network),
            saw=saw,
        )
        self.runners.append(runner)

    def _look_up(
        self, settings: Settings, connector: Connector, options: Options, open_sink: Callable[[], Sink]
    ) -> Callable[[list[AnyEvent]], None]:
        """Have followers looked up, where there is a budget for it; what is to be told the events."""
        declared, finder = connector.declared, connector.finder()
        if finder is None or declared.prices is None or not options.number("lookup_calls"):
            return lambda _: None
        expiry_ms = int(options.number("lookup_days") * DAY_MS)
        retention_ms = settings.retention_ms(declared.network)
        lookups = Lookups(settings.journals / f"{declared.name}.lookups", expiry_ms, retention_ms)
        self._journals.append(lookups)
        daily = Budget(int(options.number("lookup_calls")), options.number("lookup_money"))
        self._findings.append(Finding(declared, finder, lookups, daily, open_sink, log=log))
        return lookups.saw

    def start(self) -> None:
        """Start them all."""
        for runner in self.runners:
            runner.start()
        for finding in self._findings:
            finding.start()

    def findings(self) -> list[Findings]:
        """How their look-ups do."""
        return [one.findings for one in self._findings]

    def statuses(self) -> list[Status]:
        """How each does."""
        return [runner.status for runner in self.runners]

    def trouble(self) -> str | None:
        """What is wrong with the first that does not read."""
        return next((wrong for status in self.statuses() if (wrong := status.trouble()) is not None), None)

    def ended(self) -> str | None:
        """Why they have all come to an end, None while one runs."""
        if any(runner.alive() for runner in self.runners):
            return None
        return "; ".join(f"{status.name}: {status.why or status.state}" for status in self.statuses())

    async def stop(self) -> None:
        """Stop them all, with what was read safe if that is possible, and close their journals."""
        stops = [runner.stop for runner in self.runners] + [finding.stop for finding in self._findings]
        await asyncio.gather(*map(asyncio.to_thread, stops))
        self.close()

    def close(self) -> None:
        """Close the journals."""
        for journal in self._journals:
            journal.close()


@contextlib.asynccontextmanager
async def receiving(settings: Settings, connecting: Connecting) -> AsyncIterator[None]:
    """Serve the connectors' webhooks, if they have any, while the block runs."""
    if not connecting.hooks:
        yield
        return
    sock = serving.listen(settings.receiver_host, settings.receiver_port)
    async with serving.bare(receiver.application(connecting.hooks), sock):
        log.info("receiving", web=serving.address(sock), paths=[hook.path for hook in connecting.hooks])
        yield


class _Known:
    """What a connector may ask of the rest."""

    def __init__(self, journal: Journal, offers: Followed) -> None:
        self.roots: Callable[[int], list[Root]] = journal.roots
        self.quotes: Callable[[int], list[Root]] = journal.quotes
        self.ids: Callable[[int, str, int], list[str]] = journal.ids
        self.takes_part: Callable[[str], bool] = journal.takes_part
        self.has: Callable[[str], bool] = journal.has
        self.offers: Callable[[], Sequence[JobOffer]] = offers.offers


def check(settings: Settings, names: Iterable[str]) -> Iterable[tuple[str, bool]]:
    """What each connector will see with the options given, as lines; whether a line is good news."""
    for name in names:
        options: Options = settings.connectors.of(name)
        try:
            connector: Connector = catalogue.connector(name)(options, KnowsNothing())
            found = connector.check()
        except ConnectorError as error:
            yield f"{name}: {error}", False
            continue
        yield f"{name}:", True
        yield from ((f"  sees    {line}", True) for line in found.sees)
        yield from ((f"  misses  {line}", True) for line in found.misses)
