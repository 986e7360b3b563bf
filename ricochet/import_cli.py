"""`ricochet import`."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from connectors.exports import Export
from ricochet import imports
from ricochet.followed import open_store
from ricochet.offers_cli import chosen, kept
from spread.events import AnyEvent

_SHOWN: Final = 10
"""Bad rows that are told, and events that a dry run shows."""
_NETWORK: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class _Network(click.ParamType):
    """The name of a network as events have it."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _NETWORK.fullmatch(value):
            self.fail(f"{value!r} is no name of a network, such as viadeo", param, ctx)
        return value


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--network", required=True, type=_Network(), metavar="NAME", help="The network that it is an export of.")
@click.option(
    "--columns",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file that says which column holds what; see docs/imports.md.",
)
@click.option("--column", "given", multiple=True, metavar="FIELD=COLUMN", help="The column of one field; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would be read, and everything that is wrong; write nothing.")
@kept
def import_(
    *,
    files: tuple[str, ...],
    network: str,
    columns: Path | None,
    given: tuple[str, ...],
    dry_run: bool,
    to: str | None,
    state: Path | None,
) -> int:
    """Bring in what was exported of a network: CSV or JSON lines, a row for each post, share or follow.

    All files are read as one export, by time. Good rows are used and bad ones told with file, row and column; with
    --dry-run all of these, and exit code 1 if there is any. It can be done again: nothing is counted twice.

    Fields: kind, id, at, actor, offer, of, via, whom, followers, text, urls, tags, shares, likes, replies, impressions,
    clicks. A column that is named like a field needs no --column; others are not read. With `--network outcomes` the
    files hold clicks, applications and hires: id, at, stage, n, offer, url, utm_content, utm_campaign, utm_source.
    """
    loaded = chosen(to, state)
    with (
        imports.rehearsed(loaded, network) if dry_run else nullcontext(loaded) as used,
        closing(open_store(used)) as store,
    ):
        with _progress("looking through", sum(map(_nbytes, files))) as looked:
            export = imports.opened(files, network, columns, given, looked)
        with closing(export):
            if dry_run:
                return _dry_run(export, partial(imports.import_, export, network, store, used))
            told = _Told(_SHOWN)
            with imports.taker(used) as take, _progress("importing", len(export)) as done:
                census = imports.import_(export, network, store, used, take, progress=done, on_rejected=told.add)
    told.sum_up()
    click.echo(f"{network}: {census}")
    return 0


def _dry_run(export: Export, import_: Callable[..., imports.Census]) -> int:
    first: list[AnyEvent] = []
    mapped = {name: export.columns.column(name) for name in export.fields}
    click.echo(f"columns   {', '.join(f'{name} = {column}' for name, column in mapped.items() if export.has(column))}")
    click.echo(f"not read  {', '.join(export.unread) or 'none'}")
    census = import_(take=lambda events: first.extend(events[: _SHOWN - len(first)]), on_rejected=_Told(None).add)
    for event in first:
        click.echo(msgspec.json.encode(event))
    click.echo(f"{census}; nothing was written")
    return 1 if census.rejected else 0


class _Told:
    """Tells of bad rows, the first `most` in full."""

    def __init__(self, most: int | None) -> None:
        self._most, self._n = most, 0

    def add(self, what: str) -> None:
        self._n += 1
        if self._most is None or self._n <= self._most:
            click.echo(what, err=True)

    def sum_up(self) -> None:
        if self._most is not None and self._n > self._most:
            click.echo(f"... and {self._n - self._most:,} more bad rows, see --dry-run", err=True)


def _nbytes(file: str) -> int:
    path = Path(file)
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], Any]]:
    """A progress bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
