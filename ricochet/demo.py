"""The demo: simulated offers through the embedded engine, with a live table and the web beside it.

Event time runs faster than the clock; what is shown as "now" is event time.
"""

import contextlib
import io
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ricochet import metrics, serving, web
from ricochet.live import stop_on_signals, wait
from ricochet.settings import Settings
from ricochet.simulator import Arrival, Scenario, SimulatedOffer, simulate
from ricochet.view import View
from spread.events import AnyEvent, Rejected, decode
from spread.offer import Offer
from spread.registry import JobOffer
from streams.clock import wall_clock
from streams.embedded import Embedded

_TICK_S = 0.25
_LOOK_MS = 5 * 60_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class Player:
    """Plays a scenario: hands out what is due, batch by batch."""

    def __init__(self, scenario: Scenario, start: int) -> None:
        self._arrivals = scenario.events
        self._start = start
        self._next = 0
        self.elapsed = 0
        self.now = start

    @property
    def over(self) -> bool:
        """Whether everything has been handed out."""
        return self._next == len(self._arrivals)

    def until(self, elapsed_ms: int) -> list[Arrival]:
        """What has come due by `elapsed_ms` of event time since the start."""
        first = self._next
        while not self.over and self._arrivals[self._next].due <= elapsed_ms:
            self._next += 1
        self.elapsed = min(elapsed_ms, self._arrivals[-1].due)
        self.now = self._start + self.elapsed
        return list(self._arrivals[first : self._next])


async def demo(settings: Settings, sock: socket.socket, *, seed: int, speed: float, for_s: float | None) -> None:
    """Run the demo until a signal, or for some seconds."""
    stop = stop_on_signals()
    start = wall_clock() // _HOUR_MS * _HOUR_MS - _DAY_MS
    scenario = simulate(seed, start, _DAY_MS / _HOUR_MS)
    player = Player(scenario, start)
    registry = {offer.id: _job(offer) for offer in scenario.offers}
    with Embedded() as engine:
        view = View(engine, registry, lambda: player.now)
        engine.watch(view.about, settings.thresholds.thresholds())
        app = web.application(view, metrics.registry(view, settings.offers_shown), lambda: None, web.here)
        async with serving.guarded(app, sock, settings.token):
            started = time.monotonic()
            with _screen(view, serving.address(sock), player) as draw:
                while not stop.is_set() and (for_s is None or time.monotonic() - started < for_s):
                    pass_time(player, engine, int((time.monotonic() - started) * speed * 1000))
                    draw()
                    await wait(stop, _TICK_S)


def pass_time(player: Player, engine: Embedded, elapsed_ms: int) -> None:
    """Play up to `elapsed_ms`, and look at the offers as often as they move, however fast the time goes by."""
    while True:
        moment = min(elapsed_ms, player.elapsed + _LOOK_MS)
        play(player.until(moment), engine)
        engine.look(player.now)
        if player.over or moment == elapsed_ms:
            return


def play(arrivals: list[Arrival], engine: Embedded) -> None:
    """Take arrivals to the engine."""
    events: list[AnyEvent] = []
    for arrival in arrivals:
        for result in decode(msgspec.json.encode(arrival.event)):
            if isinstance(result, Rejected):
                engine.health.rejected[result.reason] += 1
            else:
                events.append(result)
    engine.feed(events)


def _job(offer: SimulatedOffer) -> JobOffer:
    return JobOffer(
        id=offer.id,
        title=offer.title,
        company=offer.company,
        place=offer.place,
        posted=offer.posted,
        closes=offer.closes,
    )


@contextlib.contextmanager
def _screen(view: View, address: str, player: Player) -> Iterator[Callable[[], None]]:
    """A live table where stdout is a terminal; else it is printed once, at the end."""
    console = Console()
    if not console.is_terminal:
        console.print(_where(address), soft_wrap=True)
        yield lambda: None
        console.print(table(view, player))
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda: live.update(Group(table(view, player), Text(_where(address))), refresh=True)


def _where(address: str) -> str:
    return f"metrics: {address}/metrics   offers: {address}/offers   Ctrl-C ends it"


def table(view: View, player: Player) -> Table:
    """The offers, the widest spread first.

    Reach is its lower and upper bound; "sure" the share of parents that the network itself declared; a state such as
    "closed +3" counts the shares since closing.
    """
    moment = datetime.fromtimestamp(player.now / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    title = f"Simulated offers at {moment} UTC" + (", the day is over" if player.over else "")
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("offer")  # the one column that gives way where the terminal is narrow
    for column in ("nodes", "depth", "virality", "reach", "per min", "sure"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("state", no_wrap=True)
    for offer in sorted(view.engine.busy(), key=lambda offer: (-offer.line().nodes, offer.id)):
        shown.add_row(*_row(view, offer))
    return shown


def _row(view: View, offer: Offer) -> tuple[str | Text, ...]:
    job, line, speed = view.job(offer), offer.line(), offer.velocity(view.now())
    bases = offer.bases()
    edges = sum(bases.values())
    virality = max((cascade.structural_virality for cascade in offer.cascades()), default=0.0)
    state = str(view.state(offer))
    if job.closes is not None and (late := offer.shares_after(job.closes)):
        state += f" +{late}"
    high = "?" if line.reach.high is None else f"{line.reach.high:,}"
    return (
        Text(job.title, no_wrap=True, overflow="ellipsis"),
        f"{line.nodes:,}",
        str(line.depth),
        f"{virality:.2f}",
        f"{line.reach.low:,}-{high}" if high != f"{line.reach.low:,}" else high,
        f"{speed.shares_per_minute:.1f}",
        f"{bases['declared'] / edges:.0%}" if edges else "-",
        state,
    )


def picture(seed: int = 1, hours: float = 5.0) -> str:
    """The live table some hours into a day, as SVG: the picture in the README."""
    start = 1_767_225_600_000  # 2026-01-01, so that the same code gives the same picture
    scenario = simulate(seed, start, _DAY_MS / _HOUR_MS)
    player = Player(scenario, start)
    console = Console(record=True, width=96, file=io.StringIO())
    with Embedded() as engine:
        view = View(engine, {offer.id: _job(offer) for offer in scenario.offers}, lambda: player.now)
        play(player.until(int(hours * _HOUR_MS)), engine)
        console.print(table(view, player))
    svg = console.export_svg(title="ricochet demo")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fonts from another host


if __name__ == "__main__":
    print(picture(), end="")
