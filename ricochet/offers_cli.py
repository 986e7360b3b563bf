"""The commands about job offers."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from connectors.near_misses import NearMisses
from connectors.short_links import ShortLinks
from ricochet import kafka_cli, settings
from ricochet import offers as offers_
from ricochet.errors import RicochetError
from ricochet.followed import Store, open_store, resolved
from ricochet.settings import Settings
from spread.matching import Match, Mention, Registry
from spread.matching import match as match_
from spread.registry import JobOffer
from spread.urls import canonical, links
from streams.clock import wall_clock

_HASHTAG: Final = re.compile(r"#(\w+)")
_Command = Callable[..., Any]


def kept(command: _Command) -> _Command:
    """The options that say where the offers are kept."""
    to = click.option(
        "--to",
        type=click.Choice(["embedded", "kafka"]),
        help="Where the offers are kept: the state file, or their topic; by default the setting `engine` says it.",
    )
    state = click.option("--state", type=click.Path(path_type=Path), help="State file.")
    return to(state(command))


@click.group()
def offers() -> None:
    """Keep the job offers, and say which posts are theirs.

    An offer is open, closing (its last week), closed (its date has passed, or it has gone from where it was read) or
    re-posted.
    """


@offers.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--empty", is_flag=True, help="Take a source without any offer for true, and close those it had.")
@kept
def import_(sources: tuple[str, ...], empty: bool, to: str | None, state: Path | None) -> None:
    """Bring in the offers of files (.yaml, .csv), feeds (greenhouse:acme) and pages (a link).

    Only what changed is written. An offer that has gone from its source is closed; one that comes back is re-posted.
    If anything is wrong with any source, nothing is written: `ricochet offers check` tells it all.
    """
    read, faults = offers_.read_sources(sources, settings.load().private_hosts)
    if faults:
        more = f" (and {len(faults) - 1} more, see `ricochet offers check`)" if len(faults) > 1 else ""
        raise RicochetError(f"{faults[0]}{more}")
    read, notes = offers_.resolved(read, ShortLinks())
    with _store(to, state, make=True) as (_, store):
        plans = offers_.planned(read, _known(store), wall_clock(), may_empty=empty)
        store.write([offer for plan in plans for offer in plan.changed])
    for note in notes:
        click.echo(f"note: {note}", err=True)
    for plan in plans:
        click.echo(str(plan))


@offers.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
def check(sources: tuple[str, ...]) -> int:
    """Say what is wrong with the offers of files and feeds, a line each; exit code 1 if anything is.

    Also named are links that lead to several offers: a post with such a link is given to the first of them.
    """
    read, faults = offers_.read_sources(sources, settings.load().private_hosts)
    found = [offer for some in read.values() for offer in some]
    registry = Registry(found)
    shared = {url: registry.linked(url) for offer in found for url in map(canonical, offer.urls)}
    faults += [f"{url} leads to {', '.join(ids)}" for url, ids in shared.items() if len(ids) > 1]
    for fault in faults:
        click.echo(fault)
    if not faults:
        click.echo(f"{len(found)} offers, nothing is wrong with them")
    return 1 if faults else 0


@offers.command("list")
@kept
def list_(to: str | None, state: Path | None) -> None:
    """List the offers with their state."""
    with _store(to, state) as (_, store):
        known = _known(store)
    now = wall_clock()
    table = _table("offer", "state", "title", "company", "place", "family", "closes", "links")
    for id, offer in sorted(known.items()):
        closes = "" if offer.closes is None else _day(offer.closes)
        about = (offer.title, offer.company, offer.place, offer.family, closes, str(len(offer.urls)))
        table.add_row(id, offer.state(now).value, *about)
    Console().print(table)


@offers.command()
@click.argument("text_or_url", metavar="TEXT_OR_URL")
@click.option("--explain", is_flag=True, help="Say why, how sure that is, and what else it may be.")
@click.option("--account", default="", metavar="NETWORK:ID", help="The account that is to have written it.")
@click.option("--post", default="", metavar="NETWORK:ID", help="The id that it is to have.")
@kept
def match(*, text_or_url: str, explain: bool, account: str, post: str, to: str | None, state: Path | None) -> int:
    """Say which offer a text or a link belongs to; exit code 1 if to none.

    Links and hashtags are taken from the text; short links are resolved.
    """
    with _store(to, state) as (_, store):
        registry = Registry(_known(store).values())
    tags = tuple(_HASHTAG.findall(text_or_url))
    mention = resolved(Mention(id=post, account=account, text=text_or_url, tags=tags), ShortLinks())
    found = match_(mention, registry)
    if explain:
        for line in _explained(found, mention):
            click.echo(line)
    elif found.offer is not None:
        click.echo(found.offer)
    return 0 if found.offer is not None else 1


@offers.command()
@click.argument("root")
@click.argument("offer")
@kept
def assign(root: str, offer: str, to: str | None, state: Path | None) -> None:
    """Give the post ROOT to OFFER, with all that was and will be shared of it.

    ROOT is its id as the report has it, or as the network has it (x:123...), which is hashed where the settings hold a
    key. The latest assignment of a post counts.
    """
    event = offers_.correction(root, offer, wall_clock())
    with _store(to, state) as (loaded, store):
        if offer not in _known(store):
            click.echo(f"note: {offer} is not among the offers (`ricochet offers list`)", err=True)
    if offers_.assign(loaded, event):
        click.echo(f"{root} belongs to {offer}")
    else:
        click.echo(f"{root} is going to belong to {offer}, once what runs has taken it in")


@offers.command()
def near() -> None:
    """List the posts that nearly match an offer, the newest first.

    `ricochet offers assign` decides of one. They stay for 30 days, at most 1,000, on the machine of the connectors.
    """
    loaded = settings.load()
    table = _table("seen", "post", "offer", "sure", "why")
    if loaded.near_misses.exists():
        with NearMisses(loaded.near_misses) as found:
            for miss in found.waiting(wall_clock()):
                for number, guess in enumerate(miss.guesses):
                    first = ("", "") if number else (_day(miss.seen), miss.post)
                    table.add_row(*first, guess.offer, f"{guess.confidence:.2f}", guess.reason)
    Console().print(table)


def _explained(found: Match, mention: Mention) -> Iterator[str]:
    for url in (*links(mention.text), *mention.urls):
        yield f"link      {url} is compared as {canonical(url)}"
    if found.offer is None:
        yield f"no offer: {found.reason}"
    else:
        yield f"offer     {found.offer}, confidence {found.confidence:.2f}: {found.reason}"
    if found.also:
        yield f"also      {', '.join(found.also)}"
    for guess in found.near:
        yield f"near      {guess.offer}, confidence {guess.confidence:.2f}: {guess.reason}"


def chosen(to: str | None, state: Path | None) -> Settings:
    """The settings, with what the options of `kept` say."""
    if to == "kafka" and state is not None:
        raise click.UsageError("--state is for --to embedded")
    kafka_cli.quiet()
    return settings.load(state=state, engine=to)


@contextmanager
def _store(to: str | None, state: Path | None, *, make: bool = False) -> Iterator[tuple[Settings, Store]]:
    """The settings, and where the offers are kept; `make` that if it is a state file that does not exist."""
    loaded = chosen(to, state)
    if loaded.engine == "embedded" and not make and not loaded.state.exists():
        raise RicochetError(f"{loaded.state}: no such state file")
    with closing(open_store(loaded)) as store:
        yield loaded, store


def _known(store: Store) -> dict[str, JobOffer]:
    return {id: offer for id, offer in store.changed().items() if offer is not None}


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
