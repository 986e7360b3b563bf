"""The main loop of `ricochet run`: sources in, the web beside it, until a signal ends it."""

import asyncio
import signal
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from connectors.jsonl import JsonlTail
from ricochet import metrics, serving, web
from ricochet.ambassadors import Ambassadors
from ricochet.connecting import Connecting, receiving
from ricochet.connector_metrics import ConnectorCollector
from ricochet.errors import RicochetError
from ricochet.followed import Followed
from ricochet.hopper import Hopper
from ricochet.logs import logger
from ricochet.settings import Settings
from ricochet.view import View
from spread.events import AnyEvent, Rejected, decode
from spread.hashing import Hashing
from streams.clock import wall_clock
from streams.embedded import Embedded
from streams.offer_file import OfferFile
from streams.watch import Alert

_IDLE_S = 0.2
_TURNS = 25
"""Rounds of the loop that the web has between two batches: an answer takes some, from the connection on."""

log = logger(__name__)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT or SIGTERM sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return stop


async def run(settings: Settings, engine: Embedded, sock: socket.socket, names: Sequence[str]) -> None:
    """Follow the configured files and the offers, and run connectors, until told to stop."""
    offers = Followed(settings.near_misses if names else None)
    async with offers.following(OfferFile(settings.state)):
        await _run(settings, engine, sock, names, offers)
    offers.close()


async def _run(
    settings: Settings, engine: Embedded, sock: socket.socket, names: Sequence[str], offers: Followed
) -> None:
    hoppers: list[Hopper] = []

    def hopper(hashing: Hashing) -> Hopper:
        hoppers.append(Hopper(hashing))
        return hoppers[-1]

    ambassadors = Ambassadors.of(settings)
    connecting = Connecting(settings, names, offers, hopper)
    stop = stop_on_signals()
    sources = [_open(path, engine) for path in settings.tail]
    engine.warm_up()
    engine.watch(offers.about, settings.thresholds.thresholds())
    view = View(engine, offers.registry, names=ambassadors.names)
    trouble: str | None = "starting"
    registry = metrics.registry(view, settings.offers_shown)
    registry.register(ConnectorCollector(connecting.statuses, connecting.findings))
    app = web.application(view, registry, lambda: trouble or connecting.trouble(), web.here)

    async def turn() -> bool:
        busy = False
        for take in [
            *(partial(step, source, engine) for source in sources),
            *(partial(fed, one, engine) for one in hoppers),
        ]:
            busy |= take()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        return busy

    async with serving.guarded(app, sock, settings.token), receiving(settings, connecting):
        connecting.start()
        log.info("running", web=serving.address(sock), state=str(settings.state), sources=[s.name for s in sources])
        while not stop.is_set():
            tell(engine.look(wall_clock()))
            if not await turn():
                trouble = None
                if engine.is_corrected():
                    engine.feed([], None, wall_clock())
                await wait(stop, _IDLE_S)
        ending = asyncio.create_task(connecting.stop())
        while not ending.done():
            if not await turn():
                await asyncio.wait([ending], timeout=_IDLE_S)
        await ending
    for source in sources:
        source.close()
    log.info("stopped")


def tell(alerts: Iterable[Alert]) -> None:
    """Say what is told of the offers in the log too."""
    for alert in alerts:
        log.info("alert", offer=alert.offer, condition=alert.condition, state=alert.state, **alert.values)


def fed(hopper: Hopper, engine: Embedded) -> bool:
    """Take what waits in a hopper to the engine; whether there was any."""
    engine.health.rejected.update(hopper.rejected())
    return hopper.feed(lambda events: engine.feed(events, None, wall_clock()))


def step(source: JsonlTail, engine: Embedded) -> bool:
    """Take one batch from a source to the engine; whether there was any."""
    try:
        lines, position = source.read()
    except OSError as error:
        raise RicochetError(f"{error.filename}: {error.strerror}") from None
    if not lines:
        return False
    events: list[AnyEvent] = []
    rejected: list[Rejected] = []
    for line in lines:
        for result in decode(line) if line.strip() else ():
            if isinstance(result, Rejected):
                rejected.append(result)
            else:
                events.append(result)
    if rejected:
        engine.health.rejected.update(one.reason for one in rejected)
        first = rejected[0]
        log.warning(
            "rejected", n=len(rejected), source=source.name, before=position, first=first.reason, why=first.detail
        )
    engine.feed(events, {source.name: position}, wall_clock())
    return True


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _open(path: Path, engine: Embedded) -> JsonlTail:
    return JsonlTail(path, engine.position(JsonlTail(path).name))
