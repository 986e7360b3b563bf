"""The command line."""

import asyncio
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from connectors.door import DoorError
from connectors.near_misses import NearMissError
from ricochet import (
    answers,
    connect_cli,
    digest_cli,
    export_cli,
    forget_cli,
    import_cli,
    kafka_cli,
    live,
    logs,
    offers_cli,
    publisher,
    rejected_cli,
    serving,
    settings,
)
from ricochet import demo as demo_
from ricochet import replay as replay_
from ricochet.errors import RicochetError, complain
from spread.events import DAY_MS, Rejected
from streams.cluster import ClusterError
from streams.embedded import Embedded
from streams.keeping import Keeping
from streams.state import StateError


class _Speed(click.FloatRange):
    """A number in a range, and a number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        speed = float(super().convert(value, param, ctx))
        if math.isnan(speed):
            self.fail(f"{value!r} is no number", param, ctx)
        return speed


_PATH = click.Path(path_type=Path)
_REJECTED_SHOWN: Final = 10


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("ricochet"), message="%(prog)s %(version)s")
def ricochet() -> None:
    """How far each job offer really spreads through follower networks: live, and honest about what is not known."""


@ricochet.command()
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Another seed is another day."
)
@click.option(
    "--speed",
    default=720.0,
    show_default=True,
    type=_Speed(0, 1e9, min_open=True),
    help="Event time against the clock.",
)
@click.option(
    "--for", "for_", metavar="DURATION", callback=lambda *a: _duration(a[2]), help="End after this, such as 60s or 5m."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the web server; a free one by default.")
def demo(seed: int, speed: float, for_: float | None, port: int) -> None:
    """Watch simulated offers spread: a live table, and the web on a loopback port.

    Everything runs in this process, with no key, no Kafka and no network. By default a day passes in two minutes.
    """
    chosen = settings.load()
    logs.configure(chosen.log_format, "warning")
    with _interruptible():
        asyncio.run(demo_.demo(chosen, serving.listen("127.0.0.1", port), seed=seed, speed=speed, for_s=for_))


@ricochet.command()
@click.option(
    "--tail", multiple=True, type=_PATH, metavar="FILE", help="Follow this file of events (JSON lines); repeatable."
)
@click.option("--connect", "names", multiple=True, metavar="NAME", help="Run this connector too; repeatable.")
@click.option("--state", type=_PATH, help="State file.")
@click.option("--host", help="Address of the web server.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web server; 0 takes a free one.")
def run(tail: tuple[Path, ...], names: tuple[str, ...], state: Path | None, host: str | None, port: int | None) -> None:
    """Run the embedded engine: sources in, metrics and offers out, one process, no Kafka.

    Stopped or killed at any moment, the next start goes on where the state file stands: nothing is lost or counted
    twice. Options not given come from the settings (see `ricochet settings`).
    """
    chosen = settings.load(tail=tail, state=state, host=host, port=port)
    logs.configure(chosen.log_format, chosen.log_level)
    if not chosen.tail and not names:
        raise RicochetError("nothing to read: give --tail FILE or --connect NAME, or set RICOCHET_TAIL")
    with _engine(chosen.state, chosen.keeping) as engine, _interruptible():
        asyncio.run(live.run(chosen, engine, serving.listen(chosen.host, chosen.port), names))


@ricochet.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--to",
    type=click.Choice(["embedded", "kafka"]),
    default="embedded",
    show_default=True,
    help="Where the events go: through an engine in this process, or to the workers' topic.",
)
@click.option("--state", type=_PATH, help="Keep the embedded engine's state in this file, and not only until the end.")
@click.option(
    "--speed",
    default=0.0,
    show_default=True,
    type=_Speed(0, 1e9),
    help="Event time against the clock; 0 is flat out.",
)
@click.option("--report", type=_PATH, help="Write the report here, as JSON lines; `-` is standard output.")
@click.option("--edges", type=_PATH, help="Write who passed it on to whom here, as JSON lines; `-` likewise.")
def replay(
    *, files: tuple[str, ...], to: str, state: Path | None, speed: float, report: Path | None, edges: Path | None
) -> None:
    """Take events from files (JSON lines; `-` is standard input, `.gz` is unpacked) through the pipeline.

    The events are already hashed, or not personal; on the way to Kafka they are hashed if the settings hold a key. Bad
    lines are counted and named on stderr; the rest is used.
    """
    rejected = _Rejections()
    with _progress(files, speed) as progress:
        if to == "kafka":
            if state is not None:
                raise click.UsageError("--state is for --to embedded")
            kafka_cli.quiet()
            chosen = settings.load()
            published = publisher.publish(files, chosen, speed=speed, progress=progress, on_rejected=rejected.add)
            census = published.census
            if census.oldest < census.newest - chosen.retention_days * DAY_MS:
                days = f"retention_days={chosen.retention_days}"
                click.echo(
                    f"some events are older than the newest by more than {days}: workers leave them out", err=True
                )
        else:
            with _engine(state, settings.load().keeping_all) as engine:
                census = replay_.replay(files, engine.feed, speed=speed, progress=progress, on_rejected=rejected.add)
                if report is not None:
                    replay_.write_lines(engine.report_lines, census.offers, report, census.line())
                if edges is not None:
                    replay_.write_lines(engine.edge_lines, census.offers, edges)
    if to == "kafka" and (report is not None or edges is not None):
        with answers.workers(chosen, published.positions) as workers:
            if report is not None:
                replay_.write_lines(workers.report_lines, census.offers, report, census.line())
            if edges is not None:
                replay_.write_lines(workers.edge_lines, census.offers, edges)
    rejected.sum_up()
    line = census.line()
    counts = f"{line.events:,} events, {line.rejected:,} rejected, {line.duplicates:,} duplicates"
    click.echo(f"{counts}; {len(census.offers):,} offers", err=Path("-") in (report, edges))


@ricochet.command()
@click.option("--state", type=_PATH, help="State file.")
@click.option(
    "--out", type=_PATH, default=Path("-"), help="Write the report here; `-`, the default, is standard output."
)
@click.option("--edges", type=_PATH, help="Write who passed it on to whom here, as JSON lines.")
def report(state: Path | None, out: Path, edges: Path | None) -> None:
    """Write the report of all offers in a state file that no process is using."""
    chosen = settings.load(state=state)
    if not chosen.state.exists():
        raise RicochetError(f"{chosen.state}: no such state file")
    with _engine(chosen.state, chosen.keeping_all) as engine:
        offers = engine.offers()
        replay_.write_lines(engine.report_lines, offers, out)
        if edges is not None:
            replay_.write_lines(engine.edge_lines, offers, edges)


ricochet.add_command(connect_cli.connect)
ricochet.add_command(import_cli.import_)
ricochet.add_command(export_cli.export)
ricochet.add_command(forget_cli.forget)
ricochet.add_command(kafka_cli.topics)
ricochet.add_command(kafka_cli.worker)
ricochet.add_command(kafka_cli.doctor)
ricochet.add_command(offers_cli.offers)
ricochet.add_command(rejected_cli.rejected)
ricochet.add_command(digest_cli.digest)


@ricochet.command("settings")
def settings_() -> None:
    """Show the settings in force and where each comes from."""
    chosen = settings.load()
    shown = Table(
        title=f"settings, from the environment ({settings.PREFIX}NAME), {settings.settings_file()} and defaults"
    )
    shown.add_column("setting", no_wrap=True)
    for column in ("value", "from", "what it does"):
        shown.add_column(column, overflow="fold")
    for name, field in settings.Settings.model_fields.items():
        value = getattr(chosen, name)
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        shown.add_row(name, text, settings.origin(chosen, name), field.description or "")
    Console().print(shown)


def main() -> None:
    """Run a command. What goes wrong for the user is one line on stderr and exit code 2."""
    try:
        code = ricochet.main(standalone_mode=False, prog_name="ricochet")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except (RicochetError, StateError, ClusterError, DoorError, NearMissError) as error:
        sys.exit(complain(str(error)))
    except click.ClickException as error:
        sys.exit(complain(error.format_message()))
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _engine(state: Path | None, keeping: Keeping) -> Iterator[Embedded]:
    with Embedded(state, keeping=keeping) as engine:
        yield engine


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is a normal end."""
    try:
        yield
    except KeyboardInterrupt:
        return


@contextmanager
def _progress(files: tuple[str, ...], speed: float) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal and the size is known."""
    console = Console(stderr=True)
    if not console.is_terminal or "-" in files or speed:
        yield lambda _: None
        return
    columns = (TextColumn("replay"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("replay", total=sum(Path(file).stat().st_size for file in files if Path(file).exists()))
        yield lambda done: bar.update(task, completed=done)


class _Rejections:
    """The first rejections in full, the others as a number."""

    def __init__(self) -> None:
        self._n = 0

    def add(self, file: str, line: int, rejected: Rejected) -> None:
        self._n += 1
        if self._n <= _REJECTED_SHOWN:
            where = f"{file}:{line}" if rejected.index is None else f"{file}:{line}[{rejected.index}]"
            click.echo(f"{where}: rejected, {rejected.reason}: {rejected.detail}", err=True)

    def sum_up(self) -> None:
        if self._n > _REJECTED_SHOWN:
            click.echo(f"... and {self._n - _REJECTED_SHOWN:,} more rejected", err=True)


_UNITS: Final[dict[str, float]] = {"s": 1, "m": 60, "h": 3600}


def _duration(text: Any) -> float | None:
    """Seconds of a duration such as 90, 60s, 5m or 2h."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration such as 60s or 5m") from None
    if not 0 < seconds < math.inf:
        raise click.BadParameter("a duration is above 0, and has an end")
    return seconds
